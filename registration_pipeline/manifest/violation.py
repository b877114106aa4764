"""What is wrong at one place of a manifest. Only the type belongs here, so that every checker can name it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that Encord would refuse or misread.

    Args:
        where: the place in the document, e.g. ``images[3].objectUrl``; ``manifest`` for the whole.
        problem: what is wrong there.
    """

    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where} {self.problem}"
