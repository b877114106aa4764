"""What a person should know of a plan besides its counts: a bounded list, kept in the wave's commit marker.

What does not belong here: what is worth a warning (``grouping/notes.py``, ``grouping/oddities.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.counted import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_KEPT: Final = 20


@dataclass(frozen=True, slots=True)
class PlanWarnings:
    """The warnings of a plan.

    Args:
        total: how many there are.
        first: the first of them, at most 20.
    """

    total: int = 0
    first: tuple[str, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """Return what a person is shown: the first of them, and how many more there are."""
        others = self.total - len(self.first)
        return (*self.first, f"… and {counted(others, 'more warning')}") if others > 0 else self.first

    def to_json(self) -> dict[str, Any]:
        """Return the form it has in a commit marker."""
        return {"total": self.total, "first": list(self.first)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> PlanWarnings:
        """Read the form it has in a commit marker; waves of earlier versions have none.

        Raises:
            KeyError, TypeError, ValueError: it is not that form.
        """
        return cls() if value is None else cls(int(value["total"]), tuple(map(str, value["first"])))


@dataclass(slots=True)
class Noted:
    """How many there are, and the first of them."""

    count: int = 0
    first: str = ""

    def add(self, first: str, count: int = 1) -> None:
        """Take some; they come in their order."""
        if count and not self.count:
            self.first = first
        self.count += count


class WarningList:
    """Takes warnings and keeps the first."""

    def __init__(self) -> None:
        self._total, self._first = 0, list[str]()

    def add(self, warning: str) -> None:
        """Take one."""
        self._total += 1
        if len(self._first) < _MOST_KEPT:
            self._first.append(warning)

    def before(self, others: PlanWarnings) -> PlanWarnings:
        """Return what there is, and behind it warnings of which the first are known."""
        return PlanWarnings(self._total + others.total, tuple([*self._first, *others.first][:_MOST_KEPT]))

    def followed_by(self, others: WarningList) -> PlanWarnings:
        """Return what there is, and behind it the others."""
        return PlanWarnings(self._total + others._total, tuple([*self._first, *others._first][:_MOST_KEPT]))
