"""Regular expressions that may take exponential time are refused, and no others."""

from __future__ import annotations

import re
import time

import pytest

from registration_pipeline.settings.expressions import expression_problem

EXPONENTIAL = {
    "a repetition within a repetition": (r"(?P<a>(x+)+)y", "x" * 26),
    "lazy ones": (r"(?P<a>(x+?)*?)y", "x" * 26),
    "an option within a repetition": (r"(?P<a>(x?x)+)y", "x" * 26),
    "alternatives within a repetition": (r"(?P<a>(xx|x)+)y", "x" * 34),
    "within alternatives": (r"(?P<a>q|(x+)+)y", "x" * 26),
    "within a look-ahead": (r"(?P<a>x)(?=(x+)+y)", "x" * 26),
    "within what gives nothing back": (r"(?P<a>(?>(x+)+y))", "x" * 26),
    "few rounds within few rounds": (r"(?P<a>(?:(?:(?:x?){3}){3}){2})y", "x" * 17),
    "many rounds of a repetition": (r"(?P<a>(x+){10})y", "x" * 28),
}
FAST = {
    "the interface's own": r"^clips/(?P<clip>[^/]+)/(?P<frame>\d+)\.png$",
    "several names": r"^(?P<day>\d{4}-\d{2}-\d{2})/(?P<rig>[^/]+)/(?:cam-)?(?P<cam>left|right)_(?P<frame>\d+)\.(?:jpe?g|png)$",
    "any folders that give nothing back": r"^(?:[^/]++/)*(?P<clip>[^/]+)/(?P<frame>\d+)\.png$",
    "possessive alternatives": r"(?P<a>(?>xx|x)++)y",
    "a part that is there or not": r"(?P<a>\w+)(?:-(?P<b>\w+))?/",
    "two rounds": r"(?P<a>(?:\d+-){2})",
    "a fixed length within a repetition": r"(?P<a>(?:\d{3}-)+)",
    "a set of characters within a repetition": r"(?P<a>(?:a|b|[0-9])+)",
    "look-behind": r"(?<!x)(?P<a>\w+)",
    "the same text again": r"(?P<a>\w+)/(?P=a)_(?P<frame>\d+)",
    "a condition": r"(x)?(?P<a>\w+)(?(1)y|z)",
}


@pytest.mark.parametrize(("expression", "key"), EXPONENTIAL.values(), ids=EXPONENTIAL)
def test_what_takes_exponential_time_is_refused(expression: str, key: str) -> None:
    problem = expression_problem(expression)

    assert problem is not None
    assert "exponential time" in problem
    assert "[^/]++" in problem


@pytest.mark.parametrize(("expression", "key"), EXPONENTIAL.values(), ids=EXPONENTIAL)
def test_what_is_refused_really_takes_long(expression: str, key: str) -> None:
    """Eight characters more take many times as long: of a power they would take less than twice."""
    shorter, longer = (_processor_seconds(expression, key[: len(key) - cut]) for cut in (16, 8))

    assert longer > 8 * shorter


@pytest.mark.parametrize("expression", FAST.values(), ids=FAST)
def test_what_users_write_is_accepted(expression: str) -> None:
    assert expression_problem(expression) is None


@pytest.mark.parametrize("expression", FAST.values(), ids=FAST)
@pytest.mark.parametrize(
    "key", ["x" * 1024, "a/" * 512, "0" * 1024, "1-" * 512], ids=["letters", "folders", "digits", "signs"]
)
def test_what_is_accepted_takes_milliseconds_for_the_longest_key(expression: str, key: str) -> None:
    assert _processor_seconds(expression, key) < 1


@pytest.mark.parametrize(
    ("expression", "problem"),
    [("(?P<a>", "is not a regular expression: missing )"), ("(?P<a>x)" + "(" * 5000 + ")" * 5000, "nested too deeply")],
    ids=["unclosed", "too deep"],
)
def test_what_is_not_an_expression_is_refused_with_the_reason(expression: str, problem: str) -> None:
    assert problem in (expression_problem(expression) or "")


def _processor_seconds(expression: str, key: str) -> float:
    search = re.compile(expression).search
    started = time.process_time()
    search(key)
    return time.process_time() - started
