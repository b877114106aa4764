"""Soak tries more examples of every property test than a change does.

What does not belong here: what the doses are (``doses.py``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

from registration_pipeline_tests import doses

TESTS: Final = Path(__file__).parents[1]
FIXED: Final = re.compile(r"\bmax_examples=(?P<number>[\d_]+)")
BOTH: Final = re.compile(r"\bexamples\((?P<change>[\d_]+), thorough=(?P<soak>[\d_]+)\)")
STATE_MACHINES: Final = {"test_model.py", "test_upsert_model.py"}
"""Each has a campaign of its own beside the few examples of the fast tier."""


def not_raised(text: str) -> list[str]:
    """Return every number of examples in a module that soak does not raise."""
    same = [found[0] for found in BOTH.finditer(text) if int(found["soak"]) <= int(found["change"])]
    return [*(found[0] for found in FIXED.finditer(text)), *same]


def test_soak_raises_the_examples_of_every_property_test() -> None:
    texts = {
        str(path.relative_to(TESTS)): path.read_text(encoding="utf-8")
        for path in TESTS.rglob("test_*.py")
        if path.name not in STATE_MACHINES and path != Path(__file__)
    }

    assert {name: wrong for name, text in texts.items() if (wrong := not_raised(text))} == {}
    assert sum(len(BOTH.findall(text)) for text in texts.values()) > 40


@pytest.mark.parametrize(
    "text", ["@settings(max_examples=40)", "@settings(deadline=None, max_examples=examples(20, thorough=20))"]
)
def test_a_number_that_soak_does_not_raise_is_found(text: str) -> None:
    assert len(not_raised(text)) == 1


@pytest.mark.parametrize(("is_thorough", "number"), [(False, 15), (True, 400)], ids=["a change", "soak"])
def test_the_profile_chooses_the_number(is_thorough: bool, number: int, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    monkeypatch.setattr(doses, "IS_THOROUGH", is_thorough)

    assert doses.examples(15, thorough=400) == number


def test_tests_without_a_number_try_more_in_soak() -> None:
    assert settings.get_profile("thorough").max_examples > 10 * settings.get_profile("project").max_examples
