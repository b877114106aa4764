"""The form of a finding, and the words for how it compares with what the pipeline's rules assume.

What does not belong here: the questions themselves (the other modules of this package).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+")
_LONGEST_TEXT: Final = 300
_FINE_SECONDS: Final = 10


class Verdict(StrEnum):
    """How what was seen compares with what the rules assume."""

    HOLDS = "holds"
    """A rule of the pipeline assumes it, and it is so."""
    SETTLED = "settled"
    """The rules work either way; now it is known which."""
    DIFFERS = "differs"
    """A rule of the pipeline assumes something else."""
    OPEN = "open"
    """It could not be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The answer to one question.

    Args:
        name: short, for programs.
        rule: what is asked, as the statement that the rules assume or leave open.
        found: what was seen.
        verdict: how the two compare.
        consequence: what it means for the user; empty where there is nothing to know or do.
    """

    name: str
    rule: str
    found: str
    verdict: Verdict
    consequence: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question that can be answered in different ways."""

    name: str
    rule: str

    def holds(self, found: str, consequence: str = "") -> Finding:
        """It is as the rules assume."""
        return self._finding(found, Verdict.HOLDS, consequence)

    def settled(self, found: str, consequence: str = "") -> Finding:
        """The rules work either way."""
        return self._finding(found, Verdict.SETTLED, consequence)

    def differs(self, found: str, consequence: str) -> Finding:
        """It is not as the rules assume."""
        return self._finding(found, Verdict.DIFFERS, consequence)

    def open(self, why: str) -> Finding:
        """It could not be seen."""
        return self._finding(why, Verdict.OPEN, "")

    def _finding(self, found: str, verdict: Verdict, consequence: str) -> Finding:
        return Finding(name=self.name, rule=self.rule, found=found, verdict=verdict, consequence=consequence)


def quoted(text: str) -> str:
    """Return what Encord said without its URLs, which can carry signatures, and not longer than a line or two."""
    hidden = _URL.sub("<URL>", " ".join(text.split()))
    return repr(hidden if len(hidden) <= _LONGEST_TEXT else f"{hidden[:_LONGEST_TEXT]}…")


def has_url(text: str) -> bool:
    """Return whether a text holds a URL."""
    return _URL.search(text) is not None


def seconds(value: float) -> str:
    """Return a time for people."""
    return f"{value:.1f} s" if value < _FINE_SECONDS else f"{value:.0f} s"
