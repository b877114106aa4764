"""Which chunks are archived follows from their journal, the setting and the time, and from nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.wave import PlannedChunk
from registration_pipeline.tracking.archive import archived_chunks
from registration_pipeline.tracking.journal.states import ChunkProgress, ChunkState, JournalEvent, JournalEventKind
from registration_pipeline.tracking.status import ChunkStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime(2026, 11, 27, 2, 0, tzinfo=UTC)


def status_of(chunk_id: str, state: ChunkState, verdict_age: timedelta | None) -> ChunkStatus:
    chunk = PlannedChunk(
        chunk_id=chunk_id,
        kind=MediaKind("images"),
        wave_id="wave",
        units=1,
        objects=1,
        bytes=1,
        first_key="a",
        last_key="a",
    )
    verdict = None
    if verdict_age is not None:
        verdict = JournalEvent(
            kind=JournalEventKind.VERDICT, chunk_id=chunk_id, attempt=1, at=NOW - verdict_age, state=state
        )
    return ChunkStatus(chunk=chunk, progress=ChunkProgress(chunk_id=chunk_id, state=state, verdict=verdict))


ages = st.none() | st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400))
journals = st.dictionaries(st.text("abc", min_size=1), st.tuples(st.sampled_from(ChunkState), ages))
statuses = journals.map(
    lambda found: {chunk_id: status_of(chunk_id, state, age) for chunk_id, (state, age) in found.items()}
)


@given(found=statuses, days=st.integers(1, 300), more=st.integers(0, 100), later=st.integers(0, 100))
def test_a_larger_number_brings_chunks_back_and_time_takes_more_away(
    found: Mapping[str, ChunkStatus], days: int, more: int, later: int
) -> None:
    archived = archived_chunks(found, keep_days=days, now=NOW)

    assert archived_chunks(dict(reversed(list(found.items()))), keep_days=days, now=NOW) == archived
    assert archived_chunks(found, keep_days=days + more, now=NOW) <= archived
    assert archived_chunks(found, keep_days=days, now=NOW + timedelta(days=later)) >= archived
    assert archived_chunks(found, keep_days=None, now=NOW) == frozenset()
    for chunk_id, status in found.items():
        verdict = status.progress.verdict
        is_old = verdict is not None and NOW - verdict.at > timedelta(days=days)
        assert (chunk_id in archived) == (status.progress.state is ChunkState.SUCCEEDED and is_old)


@pytest.mark.parametrize("state", [one for one in ChunkState if one is not ChunkState.SUCCEEDED], ids=str)
def test_a_chunk_that_is_not_registered_stays_however_old_its_verdict_is(state: ChunkState) -> None:
    found = {"one": status_of("one", state, timedelta(days=400))}

    assert archived_chunks(found, keep_days=1, now=NOW) == frozenset()
