"""Registered units whose objects the bucket no longer has under their keys, and those that it has under other ones.

A source whose ``uri`` was changed gives the same objects other keys: its old keys are gone, and nothing is lost. What does not
belong here: finding out which keys are gone (``sides.py``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from registration_pipeline.audit.match import decoded
from registration_pipeline.audit.rows import AuditFinding, FindingRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from registration_pipeline.audit.rows import DifferingUnit, LedgerUnit
    from registration_pipeline.tables.spill import Spill, SpillRoom


class _Gone(NamedTuple):
    """The URL of a unit that is gone, and its finding as JSON."""

    url: str
    finding: str


class _PresentUrl(NamedTuple):
    """The URL of a registered unit that the bucket has."""

    url: str


class GoneUnits:
    """Sets findings of gone units aside until it is known which URLs the bucket still has.

    Args:
        room: where rows are set aside.
    """

    def __init__(self, room: SpillRoom) -> None:
        self._gone: Spill[_Gone] = room.spill("gone-by-url", _Gone)
        self._present: Spill[_PresentUrl] = room.spill("present-by-url", _PresentUrl)
        self._are_expected = False

    def expect(self) -> None:
        """Say that there are any; else the URLs of present units are not kept."""
        self._are_expected = True

    def add_present(self, units: Iterable[LedgerUnit], differing: Iterable[DifferingUnit]) -> None:
        """Take the units of a partition that are registered, but for those that are gone."""
        if not self._are_expected:
            return
        gone = {found.unit_id for found in differing if found.finding == AuditFinding.GONE}
        for unit in units:
            if unit.is_registered and unit.unit_id not in gone:
                self._present.add(decoded(unit.object_url), _PresentUrl(unit.object_url))

    def add(self, unit: LedgerUnit, finding: FindingRow) -> None:
        """Take the finding of a unit that is gone."""
        self._gone.add(decoded(unit.object_url), _Gone(unit.object_url, json.dumps(finding)))

    def report(self, report: Callable[[FindingRow], None]) -> None:
        """Report those whose URL no other registered unit has that is in the bucket."""
        for partition in self._gone.partitions:
            present = {decoded(row.url) for row in self._present.take(partition)}
            for gone in self._gone.take(partition):
                if decoded(gone.url) not in present:
                    report(FindingRow(*json.loads(gone.finding)))
