"""Jobs and registrations by day, from journals, beside a recount event by event."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.report.history import day_figures, inventory_figures, job_seconds
from registration_pipeline.state.layout import inventory_folder
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.state.markers import FileSet
from registration_pipeline.tracking.journal.journal import FoldedChunk
from registration_pipeline.tracking.journal.states import ChunkState, JournalEvent, JournalEventKind, fold_events

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.tracking.snapshot import SourceSnapshot

BEGIN = datetime(2026, 3, 27, 21, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
OBJECTS = 10
ATTEMPTS = st.lists(
    st.tuples(st.integers(0, 80 * 3600), st.integers(0, 7200), st.integers(0, OBJECTS), st.booleans()), max_size=3
)
"""Of each attempt: seconds before it, seconds it takes, objects that are registered after it, whether there is a job."""


def events_of(chunk_id: str, attempts: list[tuple[int, int, int, bool]]) -> list[JournalEvent]:
    events, at = list[JournalEvent](), BEGIN
    for attempt, (pause, seconds, registered, has_job) in enumerate(attempts, start=1):
        at += timedelta(seconds=pause)
        named: dict[str, Any] = {"chunk_id": chunk_id, "attempt": attempt}
        events.append(JournalEvent(kind=JournalEventKind.INTENT, at=at, **named))
        if has_job:
            events.append(JournalEvent(kind=JournalEventKind.JOB, at=at, job_id="job", **named))
        at += timedelta(seconds=seconds)
        failed = OBJECTS - registered
        state = ChunkState.PARTIALLY_FAILED if failed else ChunkState.SUCCEEDED
        verdict: dict[str, Any] = {"state": state, "registered": registered, "failed": failed}
        events.append(JournalEvent(kind=JournalEventKind.VERDICT, at=at, **named, **verdict))
    return events


def snapshot_of(journals: dict[str, list[JournalEvent]], chunks: set[str]) -> SourceSnapshot:
    folded = {name: FoldedChunk((), fold_events(name, events), None) for name, events in journals.items()}
    return cast("SourceSnapshot", SimpleNamespace(journals=folded, chunks=dict.fromkeys(chunks)))


@given(st.lists(ATTEMPTS, max_size=5), ATTEMPTS)
def test_days_are_those_of_a_recount(chunks: list[Any], part: list[Any]) -> None:
    journals = {f"chunk-{number}": events_of(f"chunk-{number}", found) for number, found in enumerate(chunks)}
    journals["chunk-0-a"] = events_of("chunk-0-a", part)
    snapshot = snapshot_of(journals, {name for name in journals if name != "chunk-0-a"})

    jobs, days = day_figures(snapshot, BERLIN)

    gained, seconds = defaultdict[Any, int](int), defaultdict[Any, list[float]](list)
    spans = list[tuple[datetime, datetime]]()
    for name, events in journals.items():
        before, sent = 0, None
        for event in events:
            if event.kind is JournalEventKind.INTENT:
                sent = None
            elif event.kind is JournalEventKind.JOB:
                sent = event.at
            else:
                day = event.at.astimezone(BERLIN).date()
                gained[day] += event.registered - before if name != "chunk-0-a" else 0
                before = event.registered
                if sent is not None:
                    spans.append((sent, event.at))
                    seconds[day].append((event.at - sent).total_seconds())
    assert {one.day: one.registered for one in days} == gained
    assert [one.day for one in days] == sorted(gained)
    assert {one.day: one.jobs.jobs for one in days} == {day: len(seconds[day]) for day in gained}
    for one in days:
        if seconds[one.day]:
            ranked = sorted(seconds[one.day])
            assert one.jobs.median_seconds == statistics.median(ranked)
            assert one.jobs.p95_seconds == ranked[math.ceil(len(ranked) * 0.95) - 1]
    if days:
        assert days[-1].registered_total == sum(gained.values())
    assert sorted(job_seconds(snapshot)) == sorted(value for found in seconds.values() for value in found)
    assert jobs.busy_seconds == covered(spans)


def covered(spans: list[tuple[datetime, datetime]]) -> float:
    """Return the seconds that at least one span covers, counted between all ends of spans."""
    ends = sorted({end for span in spans for end in span})
    inside = ((one, other) for one, other in itertools.pairwise(ends))
    return sum(
        (other - one).total_seconds()
        for one, other in inside
        if any(begin <= one and other <= end for begin, end in spans)
    )


def commit_inventory(store: LocalStateStore, inventory_id: str, objects: int) -> None:
    at = datetime.strptime(inventory_id, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).isoformat()
    marker = {"objects": objects, "bytes": objects * 7, "parts": [], "requests": 1, "listing": "l", "digest": "d"}
    files = FileSet(store, inventory_folder("fleet", inventory_id))
    files.commit({**marker, "inventory_id": inventory_id, "source": "fleet", "started_at": at, "finished_at": at})


def test_inventories_come_from_their_markers_the_newest_first_when_few_are_read(tmp_path: Path) -> None:
    store = LocalStateStore(tmp_path)
    for night in range(1, 6):
        commit_inventory(store, f"2026112{night}T020000Z", 100 * night)

    assert [one.objects for one in inventory_figures(store, "fleet")] == [100, 200, 300, 400, 500]
    assert [one.objects for one in inventory_figures(store, "fleet", most_read=2)] == [400, 500]
