"""A source over time: its inventories, and what journals say of jobs and registrations, by day.

What does not belong here: the present state (``tracking/status.py``).
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from statistics import median
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import StateNotFoundError
from registration_pipeline.inventory.inventory import recent_inventories
from registration_pipeline.report.data import DayFigures, InventoryFigures, JobFigures
from registration_pipeline.state.layout import reports_folder
from registration_pipeline.state.owned import own_names
from registration_pipeline.state.sealed import open_sealed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date, tzinfo

    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.journal.states import Conclusion
    from registration_pipeline.tracking.snapshot import SourceSnapshot

INVENTORIES: Final = 120
"""The newest ones that a report shows: each costs a request to a state in a bucket."""

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)

DAYS: Final = 120
"""The newest days with a verdict that a report shows."""


def inventory_figures(store: StateStore, source: str, *, most_read: int = INVENTORIES) -> tuple[InventoryFigures, ...]:
    """Return the newest inventories, the oldest first: also pruned ones, as far as the last report that was kept knew them.

    Args:
        store: the state.
        source: its name.
        most_read: markers of inventories that are read, each of which is a request; what the last report knew needs none.

    Raises:
        StateError: the state can't be read.
    """
    known = _known_inventories(store, source)
    for one in recent_inventories(store, source, most_read, known):
        known[one.inventory_id] = InventoryFigures(
            inventory_id=one.inventory_id,
            at=one.started_at,
            objects=one.objects,
            bytes=one.bytes,
            seconds=round((one.finished_at - one.started_at).total_seconds(), 3),
            requests=one.requests,
        )
    return tuple(known[inventory_id] for inventory_id in sorted(known)[-INVENTORIES:])


def _known_inventories(store: StateStore, source: str) -> dict[str, InventoryFigures]:
    """Return what the newest kept report says of inventories; nothing if there is none, or if it is damaged."""
    kept = [name for name in own_names(store, reports_folder(source)) if name.endswith(".json")]
    with suppress(StateNotFoundError, ValueError, KeyError, TypeError):
        found = open_sealed(store.read(max(kept, default="")))["inventories"] if kept else []
        figures = (InventoryFigures(**{**one, "at": datetime.fromisoformat(one["at"])}) for one in found)
        return {one.inventory_id: one for one in figures}
    return {}


@dataclass(slots=True)
class _Tally:
    """Jobs and registrations of a time. Its size is that of the number of jobs."""

    spans: list[tuple[datetime, datetime]] = field(default_factory=list)
    last_at: datetime = _LONG_AGO
    objects: int = 0
    gained: int = 0

    def add(self, conclusion: Conclusion, *, is_whole: bool) -> None:
        """Count a verdict; that of a part registers nothing that the verdict of its chunk does not."""
        self.last_at = max(self.last_at, conclusion.at)
        if is_whole:
            self.gained += conclusion.gained
        if conclusion.sent_at is not None:
            self.spans.append((conclusion.sent_at, conclusion.at))
            self.objects += conclusion.objects

    def jobs(self) -> JobFigures:
        """Return the figures of its jobs."""
        if not self.spans:
            return JobFigures()
        seconds = sorted(max(0.0, (ended - began).total_seconds()) for began, ended in self.spans)
        busy = _covered_seconds(self.spans)
        return JobFigures(
            jobs=len(seconds),
            median_seconds=round(median(seconds), 3),
            p95_seconds=round(seconds[ceil(0.95 * len(seconds)) - 1], 3),
            busy_seconds=round(busy, 3),
            objects_per_second=round(self.objects / busy, 3) if busy else None,
        )


def _covered_seconds(spans: Iterable[tuple[datetime, datetime]]) -> float:
    """Return how many seconds lie in at least one of the spans."""
    covered, until = 0.0, None
    for began, ended in sorted(spans):
        start = began if until is None else max(began, until)
        if ended > start:
            covered += (ended - start).total_seconds()
            until = ended
    return covered


def day_figures(snapshot: SourceSnapshot, zone: tzinfo) -> tuple[JobFigures, tuple[DayFigures, ...]]:
    """Return the figures of all jobs, and those of the newest days with a verdict, the oldest first.

    Args:
        snapshot: of the source.
        zone: in which a day begins.
    """
    whole, by_day = _Tally(), defaultdict["date", _Tally](_Tally)
    for chunk_id, folded in snapshot.journals.items():
        is_whole = chunk_id in snapshot.chunks
        for conclusion in folded.progress.conclusions:
            whole.add(conclusion, is_whole=is_whole)
            by_day[conclusion.at.astimezone(zone).date()].add(conclusion, is_whole=is_whole)
    total, days = 0, []
    for day, tally in sorted(by_day.items()):
        total += tally.gained
        days.append(
            DayFigures(
                day=day, last_at=tally.last_at, jobs=tally.jobs(), registered=tally.gained, registered_total=total
            )
        )
    return whole.jobs(), tuple(days[-DAYS:])


def job_seconds(snapshot: SourceSnapshot) -> list[float]:
    """Return how long each upload job took that ended with a verdict."""
    return [
        max(0.0, (conclusion.at - conclusion.sent_at).total_seconds())
        for folded in snapshot.journals.values()
        for conclusion in folded.progress.conclusions
        if conclusion.sent_at is not None
    ]
