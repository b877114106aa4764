"""What may follow what in a journal, and how it is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from registration_pipeline.errors import StateConflictError, StateCorruptError
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.sealed import open_sealed, sealed_json
from registration_pipeline.tracking.journal.journal import Journal, decode_event, encode_event, entry_name
from registration_pipeline.tracking.journal.states import (
    CLOSING_EVENTS,
    TRANSITIONS,
    ChunkState,
    JournalEvent,
    JournalEventKind,
    fold_events,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

AT = datetime(2026, 11, 21, 2, tzinfo=UTC)
INTENT, JOB, SPLIT, NOT_SENT, LOST, VERDICT = (
    JournalEventKind.INTENT,
    JournalEventKind.JOB,
    JournalEventKind.SPLIT,
    JournalEventKind.NOT_SENT,
    JournalEventKind.LOST,
    JournalEventKind.VERDICT,
)

OPEN_STATE = {INTENT: ChunkState.INTENDED, JOB: ChunkState.SUBMITTED, SPLIT: ChunkState.SPLIT}


def event(kind: JournalEventKind, attempt: int = 1, **facts: Any) -> JournalEvent:
    if kind is JOB:
        facts = {"job_id": f"job-{attempt}"} | facts
    if kind is VERDICT:
        facts = {"state": ChunkState.PARTIALLY_FAILED, "registered": 1, "failed": 1} | facts
    return JournalEvent(kind=kind, chunk_id="c1", attempt=attempt, at=AT + timedelta(hours=attempt), **facts)


def events(*attempts: Sequence[JournalEventKind]) -> list[JournalEvent]:
    return [event(kind, number) for number, kinds in enumerate(attempts, start=1) for kind in kinds]


def closed_attempts() -> list[tuple[JournalEventKind, ...]]:
    """Return every way from an intent to a closing event, following ``TRANSITIONS``."""
    found: list[tuple[JournalEventKind, ...]] = []
    paths: list[tuple[JournalEventKind, ...]] = [(kind,) for kind in TRANSITIONS[None]]
    while paths:
        path = paths.pop()
        if path[-1] in CLOSING_EVENTS:
            found.append(path)
        paths += [(*path, kind) for kind in TRANSITIONS[path[-1]]]
    return found


CLOSED = closed_attempts()


@given(
    st.lists(st.sampled_from(CLOSED), max_size=4),
    st.sampled_from([(), (INTENT,), (INTENT, JOB), (INTENT, SPLIT), (SPLIT,)]),
)
def test_every_legal_sequence_folds_to_its_last_word(closed: list[Any], still_open: Any):
    attempts = [*closed, *([still_open] if still_open else [])]

    progress = fold_events("c1", events(*attempts))

    concluded = [number for number, kinds in enumerate(closed, start=1) if kinds[-1] is VERDICT]
    assert progress.attempt == len(attempts)
    assert progress.is_attempt_open == bool(still_open)
    assert (progress.verdict.attempt if progress.verdict else 0) == (concluded[-1] if concluded else 0)
    intents = [number for number, kinds in enumerate(attempts, start=1) if INTENT in kinds]
    assert (progress.first_intent.attempt if progress.first_intent else 0) == (intents[0] if intents else 0)
    assert progress.is_split == any(SPLIT in kinds for kinds in attempts)
    assert progress.tries == len(concluded)
    if still_open:
        assert progress.state is OPEN_STATE[still_open[-1]]
        assert progress.job_id == (f"job-{len(attempts)}" if JOB in still_open else None)
    elif not closed or closed[-1][-1] is LOST or not concluded:
        assert progress.state is ChunkState.PLANNED
    else:
        assert progress.state is ChunkState.PARTIALLY_FAILED


@given(st.lists(st.integers(-120, 120), max_size=12))
def test_verdicts_close_to_one_that_was_counted_are_one_try(minutes_apart: list[int]):
    at, entries = AT, []
    for number, minutes in enumerate([0, *minutes_apart], start=1):
        at += timedelta(minutes=minutes)
        entries += [replace(event(kind, number), at=at) for kind in (INTENT, VERDICT)]

    tries = fold_events("c1", entries).tries

    assert 1 <= tries <= len(minutes_apart) + 1
    if all(0 <= minutes < 30 for minutes in minutes_apart):
        assert tries <= sum(minutes_apart) // 30 + 1
    if all(not 0 <= minutes < 30 for minutes in minutes_apart):
        assert tries == len(minutes_apart) + 1


@given(st.lists(st.sampled_from(JournalEventKind), min_size=1, max_size=4))
def test_every_sequence_that_the_transitions_do_not_allow_is_corrupt(kinds: list[JournalEventKind]):
    before = [None, *kinds]
    legal = all(after in TRANSITIONS[earlier] for earlier, after in zip(before, kinds, strict=False))

    if legal:
        assert fold_events("c1", events(kinds)).attempt == 1
    else:
        with pytest.raises(StateCorruptError, match="journal of chunk c1"):
            fold_events("c1", events(kinds))


CORRUPT = [
    pytest.param([event(INTENT, 2)], "attempt 1 should be", id="the first attempt is missing"),
    pytest.param([*events((INTENT, LOST)), event(INTENT, 3)], "attempt 2 should be", id="an attempt is missing"),
    pytest.param([event(INTENT, 1), event(INTENT, 2)], "attempt 1 was not closed", id="an attempt was not closed"),
    pytest.param([event(INTENT, 1), event(INTENT, 1)], "intent after intent", id="two intents"),
]


@pytest.mark.parametrize(("found", "message"), CORRUPT)
def test_a_journal_with_a_gap_is_corrupt(found: list[JournalEvent], message: str):
    with pytest.raises(StateCorruptError, match=message):
        fold_events("c1", found)


@given(
    st.builds(
        JournalEvent,
        kind=st.sampled_from(JournalEventKind),
        chunk_id=st.text(max_size=5),
        attempt=st.integers(1, 9999),
        at=st.datetimes(timezones=st.just(UTC)),
        folder_uuid=st.none() | st.text(max_size=5),
        job_id=st.none() | st.text(max_size=5),
        state=st.none() | st.sampled_from(ChunkState),
        registered=st.integers(0, 10**9),
        failed=st.integers(0, 10**9),
        message=st.none() | st.text(),
    )
)
def test_an_event_reads_back_as_it_was_written(written: JournalEvent):
    data = encode_event(written)

    assert decode_event(data, name=entry_name("fleet", written)) == written
    assert data.endswith(b"}\n")
    assert data.isascii()


def test_times_are_written_in_utc():
    moved = AT.astimezone(timezone(timedelta(hours=9)))
    written = JournalEvent(kind=INTENT, chunk_id="c", attempt=1, at=moved)

    assert b'"at":"2026-11-21T02:00:00+00:00"' in encode_event(written)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"null", b"\xff", b'{"kind":"intent"}', b'{"kind":"new","at":"2026-11-21T02:00:00+00:00"}'],
)
def test_a_file_that_is_no_event_is_corrupt(data: bytes):
    with pytest.raises(StateCorruptError, match=r"fleet/journal/c1/0001-intent\.json is not a journal entry"):
        decode_event(data, name="fleet/journal/c1/0001-intent.json")


@pytest.mark.parametrize(
    "added",
    [{"reviewed": True}, {"failures": [{"unit_id": "u", "shade": "blue"}]}],
    ids=["of the entry", "of a failure"],
)
def test_an_entry_with_what_a_newer_version_added_is_not_called_damaged(added: dict[str, Any]):
    written = event(JournalEventKind.INTENT)
    data = sealed_json({**open_sealed(encode_event(written)), **added})

    with pytest.raises(StateCorruptError, match=r"newer version: it has '\w+'.* Nothing is damaged: use the version"):
        decode_event(data, name=entry_name("fleet", written))


@pytest.fixture
def store() -> BucketStateStore:
    return BucketStateStore(MemoryStore(), "memory://state")


def test_a_second_process_can_not_append_the_same_event(store: BucketStateStore):
    Journal(store, "fleet").append(event(INTENT))

    with pytest.raises(StateConflictError):
        Journal(store, "fleet").append(event(INTENT, message="from another process"))


def test_the_journals_of_many_chunks_fold_apart(store: BucketStateStore):
    """A chunk of wave ``x-2`` sorts between the files of ``x``'s neighbours; each must stay whole."""
    journal = Journal(store, "fleet")
    chunk_ids = ["w-images-000001", "w-images-000001-2", "w-2-images-000001", "w", "w_"]
    for chunk_id in chunk_ids:
        for kind, attempt in [(INTENT, 1), (JOB, 1), (VERDICT, 1), (INTENT, 2), (JOB, 2)]:
            journal.append(JournalEvent(kind=kind, chunk_id=chunk_id, attempt=attempt, at=AT, job_id=chunk_id))

    found = {progress.chunk_id: progress for progress in journal.all_progress()}

    assert sorted(found) == sorted(chunk_ids)
    assert all(progress == journal.progress(chunk_id) for chunk_id, progress in found.items())
    assert {progress.job_id for progress in found.values()} == set(chunk_ids)


def test_a_chunk_that_was_never_attempted_is_planned(store: BucketStateStore):
    progress = Journal(store, "fleet").progress("c1")

    assert (progress.state, progress.attempt, progress.is_attempt_open) == (ChunkState.PLANNED, 0, False)
