"""What users see is written in plain international English: pages, help, messages and descriptions.

What does not belong here: whether what they see is true or complete (``test_docs.py`` and the tests of each command).
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import typer.main

from registration_pipeline.cli.app import app, run

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[3]
PACKAGE: Final = ROOT / "registration_pipeline"
PAGES: Final = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.yaml")),
    *sorted(ROOT.glob("*.yaml")),
    *sorted(PACKAGE.rglob("*.yaml")),
]
MODULES: Final = sorted(PACKAGE.rglob("*.py"))
COMMANDS: Final = sorted(getattr(typer.main.get_command(app), "commands", {}))

BANNED: Final = {
    "fix": r"\bmend(?:s|ed|ing)?\b",
    "check, read, inspect, search for": r"\blook(?:s|ed|ing)?\b(?![ -]?ups?\b)",
    "another process, no one, a user, a person": r"\b(?:some|no|any)body\b|\bwhoever\b",
    "again, new, from zero": r"\banew\b",
    "log, notify, pass, distinguish": r"\b(?:tells?|telling|told)\b",
    "is, represents": r"\b(?:stands?|stood)\b(?!-in)",
    "is not a": r"(?<!there )\b(?:is|are) no (?!longer\b|more\b|one\b)",
    "accepted, used, in use": r"\btaken\b(?! over\b)",
    "accepts": r"\b(?:Encord|sandbox|service|sequence|commands?) takes?\b(?! \d+ (?:ms|s|min))",
    "a number": r"\bso many\b",
    "task": r"\berrands?\b",
    "location": r"\bwhereabouts\b",
    "unknown": r"\bstrangers?\b",
    "retries exhausted, not retried": r"\bleft alone\b",
}
"""What to write instead, and what is not written; a look-up and a stand-in are standard terms, "there is no file" is plain."""

ALLOWED: Final[dict[str, str]] = {}
"""Literals that may hold a banned word, with the reason: keys and values of others, which are not ours to word."""


def banned_in(text: str) -> list[str]:
    """Return the banned words of a text, each with what to write instead."""
    flat = " ".join(text.split())
    return [
        f"{flat[max(0, hit.start() - 40) : hit.end() + 40]!r}: not {hit[0]!r} but {better}"
        for better, pattern in BANNED.items()
        for hit in re.finditer(pattern, flat, re.IGNORECASE)
    ]


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and text of every string that is not a docstring; an f-string is one text."""
    inner = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inner.update(id(part) for part in node.values)
            yield node.lineno, "".join(_text_of(part) for part in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.lineno, node.value


def shown_docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the docstrings that Dagster shows as descriptions: of what it decorates, and of its configuration."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            marks = node.decorator_list
        elif isinstance(node, ast.ClassDef):
            marks = node.bases
        else:
            continue
        if any(ast.unparse(mark).startswith("dg.") for mark in marks):
            yield node.lineno, ast.get_docstring(node) or ""


def _text_of(part: ast.expr) -> str:
    return part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "{}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_use_plain_words(page: Path) -> None:
    assert banned_in(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("command", [None, *COMMANDS], ids=lambda command: command or "no command")
def test_help_uses_plain_words(command: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"] if command else ["--help"]) == 0
    shown = capsys.readouterr().out
    assert "Usage" in shown
    assert banned_in(shown.replace("│", " ")) == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_texts_of_the_package_use_plain_words(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    found = {
        line: words
        for line, text in [*literals(tree), *shown_docstrings(tree)]
        if text not in ALLOWED and (words := banned_in(text))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "Mend the file",
        "2 of 6 looks",
        "it was looked\nat",
        "Nobody can open it",
        "whoever waits",
        "counted anew",
        "can't be told",
        "it stands there",
        "'x' is no wave id",
        "the key is taken",
        "Encord takes 300",
        "so many requests",
        "an errand",
        "its whereabouts",
        "a stranger",
        "failed, left alone",
    ],
)
def test_a_banned_word_is_found(text: str) -> None:
    assert len(banned_in(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "there is no source",
        "looked up by UUID",
        "the limit of look-ups",
        "a local stand-in",
        "Encord no longer knows it",
        "is no longer there",
        "it takes a minute",
        "Encord takes 20 ms",
        "the source was taken over",
        "an amendment",
        "standard output",
    ],
)
def test_plain_words_are_not_banned(text: str) -> None:
    assert banned_in(text) == []


def test_texts_in_pieces_are_read_as_a_whole_and_docstrings_are_not_literals() -> None:
    tree = ast.parse('def f(x):\n    """So many looks."""\n    return f"{x} is " f"no name", "an errand"\n')
    assert sorted(text for _, text in literals(tree)) == ["an errand", "{} is no name"]
    assert list(shown_docstrings(tree)) == []


def test_docstrings_that_dagster_shows_are_read() -> None:
    tree = ast.parse('@dg.op(name="x")\ndef f():\n    """Mends it."""\n\nclass C(dg.Config):\n    """An errand."""\n')
    assert [text for _, text in shown_docstrings(tree)] == ["Mends it.", "An errand."]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_comments_and_docstrings_have_no_word_that_translates_badly(module: Path) -> None:
    patterns = {better: BANNED[better] for better in ("fix", "another process, no one, a user, a person", "again, new, from zero")}
    text = module.read_text(encoding="utf-8")

    assert [hit[0] for pattern in patterns.values() for hit in re.finditer(pattern, text, re.IGNORECASE)] == []
