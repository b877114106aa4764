"""What users see is written in plain international English: pages, help, messages and descriptions.

What does not belong here: whether what they see is true or complete (``test_docs.py`` and the tests of each command).
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import typer.main

from registration_pipeline.cli.app import app, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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

ANY_BANNED: Final = re.compile("|".join(BANNED.values()), re.IGNORECASE)
"""Nearly all texts are plain, and one search says so."""

TRANSLATED_BADLY: Final = re.compile(
    "|".join(
        BANNED[better] for better in ("fix", "another process, no one, a user, a person", "again, new, from zero")
    ),
    re.IGNORECASE,
)
"""What even comments and docstrings don't have."""

ALLOWED: Final[dict[str, str]] = {}
"""Literals that may hold a banned word, with the reason: keys and values of others, which are not ours to word."""


def banned_in(text: str) -> list[str]:
    """Return the banned words of a text, each with what to write instead."""
    flat = " ".join(text.split())
    if not ANY_BANNED.search(flat):
        return []
    return [
        f"{flat[max(0, hit.start() - 40) : hit.end() + 40]!r}: not {hit[0]!r} but {better}"
        for better, pattern in BANNED.items()
        for hit in re.finditer(pattern, flat, re.IGNORECASE)
    ]


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and text of every string that is not a docstring; an f-string is one text."""
    inner: set[int] = set()
    constants: list[ast.Constant] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                constants.append(node)
        elif isinstance(node, ast.JoinedStr):
            inner.update(id(part) for part in node.values)
            yield node.lineno, "".join(_text_of(part) for part in node.values)
        elif isinstance(node, ast.Expr):
            inner.add(id(node.value))
    yield from ((node.lineno, str(node.value)) for node in constants if id(node) not in inner)


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


def banned_in_module(text: str) -> list[str]:
    """Return the banned words of a module: of what it shows, of each with the line of the text, and of all that it says."""
    tree = ast.parse(text)
    shown = [
        f"line {line}: {words}"
        for line, literal in [*literals(tree), *shown_docstrings(tree)]
        if literal not in ALLOWED and (words := banned_in(literal))
    ]
    return [*shown, *(f"a comment or docstring: {hit[0]}" for hit in TRANSLATED_BADLY.finditer(text))]


def wrong_with(read: Callable[[str], list[str]], paths: Sequence[Path]) -> dict[str, list[str]]:
    """Return what is wrong with each file that has a banned word."""
    return {str(path.relative_to(ROOT)): wrong for path in paths if (wrong := read(path.read_text(encoding="utf-8")))}


def test_pages_use_plain_words() -> None:
    assert wrong_with(banned_in, PAGES) == {}
    assert len(PAGES) > 50


def test_texts_comments_and_docstrings_of_the_package_use_plain_words() -> None:
    assert wrong_with(banned_in_module, MODULES) == {}
    assert len(MODULES) > 500


@pytest.mark.parametrize(
    ("read", "text"),
    [
        pytest.param(banned_in, "A page.\n\nIt is looked\nat.\n", id="a page"),
        pytest.param(banned_in_module, '"""A module."""\n\nTEXT = "it is looked at"\n', id="a text"),
        pytest.param(banned_in_module, '@dg.op\ndef f():\n    """It stands."""\n', id="a description in Dagster"),
        pytest.param(banned_in_module, '"""A module."""\n# nobody\n', id="a comment"),
        pytest.param(banned_in_module, '"""Counted anew."""\n', id="a docstring"),
    ],
)
def test_a_file_with_a_banned_word_is_named(
    read: Callable[[str], list[str]], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text('"""Plain: a text is looked up, and a docstring may tell."""\n', encoding="utf-8")
    bad.write_text(text, encoding="utf-8")

    (named,) = wrong_with(read, [bad, good] if read is banned_in_module else [bad]).items()

    assert named[0] == "bad"
    assert len(named[1]) == 1


@pytest.mark.parametrize("command", [None, *COMMANDS], ids=lambda command: command or "no command")
def test_help_uses_plain_words(command: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"] if command else ["--help"]) == 0
    shown = capsys.readouterr().out
    assert "Usage" in shown
    assert banned_in(shown.replace("│", " ")) == []


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
