"""A snapshot is read once, kept while nothing has changed, and never mistaken for one of a state that has."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.planning.history import load_history
from registration_pipeline.state.lease import hold_lease
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import ChunkState
from registration_pipeline.tracking.snapshot import current_snapshot, read_snapshot
from registration_pipeline_tests.doses import examples
from registration_pipeline_tests.unit.tracking.journal.test_journal import CLOSED, INTENT, JOB, VERDICT
from registration_pipeline_tests.unit.tracking.journal.test_summary import (
    CountingStore,
    progress,
    without_summary,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.tracking.snapshot import Held, SourceSnapshot

NIGHTS = st.lists(
    st.dictionaries(
        st.sampled_from(["c-1", "c-1-a", "c-2", "d"]), st.sampled_from([*CLOSED, (INTENT,), (INTENT, JOB)])
    ),
    min_size=1,
    max_size=5,
)


class ListingStore(CountingStore):
    """Counts what is read of the journals and how often they are listed."""

    def __init__(self, other: CountingStore | None = None) -> None:
        super().__init__()
        self._store = other._store if other else self._store
        self.listings = 0

    @contextmanager
    def local_file(self, name: str) -> Iterator[Path]:
        self.reads += 1
        with super().local_file(name) as path:
            yield path

    def names(self, prefix: str) -> Iterator[str]:
        self.listings += prefix == "fleet/journal/"
        return super().names(prefix)


@pytest.fixture
def store() -> ListingStore:
    store = ListingStore()
    for number in range(20):
        write(store, f"c-{number:05d}", [(INTENT, JOB, VERDICT)])
    return store


def submission(store: ListingStore, source: str = "fleet") -> Any:
    """Hold the lease, as the one that writes journals does."""
    return hold_lease(
        store, source, clock=lambda: datetime(2026, 11, 21, tzinfo=UTC), notify=print, stop=threading.Event()
    )


def snapshot(store: ListingStore, held: Held, source: str = "fleet") -> SourceSnapshot:
    return current_snapshot(store, source, held)


@settings(deadline=None, max_examples=examples(15, thorough=400))
@given(nights=NIGHTS, summarised=st.lists(st.booleans(), min_size=5, max_size=5))
def test_whatever_is_written_between_two_readings_is_seen(nights: list[dict[str, Any]], summarised: list[bool]) -> None:
    store, held = ListingStore(), dict[Any, Any]()
    for night, is_summarised in zip(nights, summarised, strict=False):
        before = snapshot(store, held)
        with submission(store):
            for chunk_id, kinds in night.items():
                known = before.progress_of(chunk_id)
                if not known.is_attempt_open:
                    write(store, chunk_id, [kinds], first=known.attempt + 1)
                elif known.state is ChunkState.INTENDED and kinds == (INTENT, JOB):
                    write(store, chunk_id, [(JOB,)], first=known.attempt)
        if is_summarised:
            Journal(store, "fleet").summarise(snapshot(store, held).journals)

        found = [folded.progress for folded in snapshot(store, held).journals.values()]
        assert found == progress(store) == without_summary(store)


def test_nothing_is_read_twice_while_nothing_changes(store: ListingStore) -> None:
    held: Held = {}
    first = snapshot(store, held)
    store.reads = store.listings = 0

    assert snapshot(store, held) is first
    assert (store.reads, store.listings) == (0, 0)


def test_after_a_submission_only_the_chunk_that_went_on_is_read_again(store: ListingStore) -> None:
    held: Held = {}
    snapshot(store, held)
    with submission(store):
        write(store, "c-00003", [(INTENT, JOB)], first=2)
    store.reads = store.listings = 0

    assert snapshot(store, held).progress_of("c-00003").state is ChunkState.SUBMITTED
    assert (store.reads, store.listings) == (5, 1)


def test_while_another_process_submits_every_snapshot_is_read(store: ListingStore) -> None:
    held: Held = {}
    with submission(store):
        snapshot(store, held)
        write(store, "c-00003", [(INTENT, JOB)], first=2)

        assert snapshot(store, held).progress_of("c-00003").state is ChunkState.SUBMITTED
        write(store, "c-00004", [(INTENT, JOB)], first=2)

        assert snapshot(store, held).progress_of("c-00004").state is ChunkState.SUBMITTED


def test_a_submission_that_began_and_ended_meanwhile_is_seen(store: ListingStore) -> None:
    held: Held = {}
    with submission(store):
        pass
    snapshot(store, held)
    with submission(store):
        write(store, "c-00003", [(INTENT, JOB)], first=2)

    assert snapshot(store, held).progress_of("c-00003").state is ChunkState.SUBMITTED


def test_another_sources_chunk_of_the_same_name_is_another(store: ListingStore) -> None:
    held: Held = {}

    assert len(snapshot(store, held).journals) == 20
    assert not snapshot(store, held, "other").journals
    assert len(held) == 1


def test_another_state_has_a_snapshot_of_its_own(store: ListingStore) -> None:
    held: Held = {}
    snapshot(store, held)
    other = ListingStore()
    other._uri = "memory://other"

    assert not snapshot(other, held).journals


def test_a_wave_that_another_process_planned_is_seen(fleet_of: Any) -> None:
    fleet = fleet_of("a.jpg", "b.jpg")
    held: Held = {}
    before = current_snapshot(fleet.store, "fleet", held)
    fleet.put("raw/c.jpg").sync()
    after = current_snapshot(fleet.store, "fleet", held)

    assert len(after.history.wave_ids) == len(before.history.wave_ids) + 1
    assert len(after.chunks) == len(before.chunks) + 1
    assert after == read_snapshot(fleet.store, "fleet")


def test_a_wave_that_was_planned_a_moment_ago_is_handed_in(fleet_of: Any) -> None:
    fleet = fleet_of("a.jpg", "b.jpg")
    history = load_history(fleet.store, "fleet")

    assert current_snapshot(fleet.store, "fleet", {}, history=history).history is history


def test_a_night_in_which_nothing_changed_reads_the_summary_once(store: ListingStore) -> None:
    assert Journal(store, "fleet").summarise()
    night, held = ListingStore(store), dict[Any, Any]()

    assert len(snapshot(night, held).journals) == 20
    assert not Journal(night, "fleet").summarise(snapshot(night, held).journals)
    assert len(snapshot(night, held).journals) == 20

    assert (night.reads, night.listings) == (1, 1)


def test_what_was_folded_before_the_summary_does_not_keep_it_from_being_written_once(store: ListingStore) -> None:
    progress(store)

    assert Journal(store, "fleet").summarise()
    assert not Journal(store, "fleet").summarise()


def test_a_snapshot_is_as_of_the_next_term_and_of_no_other(store: ListingStore) -> None:
    with submission(store):
        pass
    seen = snapshot(store, {})

    with submission(store) as next_one:
        assert seen.is_as_of(next_one.term)
        assert not snapshot(store, {}).is_as_of(next_one.term), "read while the lease was held"
    with submission(store) as later:
        assert not seen.is_as_of(later.term), "another one was between the two"
    assert not seen.is_as_of(None)


def test_a_snapshot_of_a_state_that_was_never_submitted_is_as_of_the_first_term(store: ListingStore) -> None:
    seen = snapshot(store, {})

    with submission(store) as first:
        assert seen.is_as_of(first.term)


def test_the_plan_is_read_again_only_if_there_are_other_waves(
    store: ListingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: Held = {}
    first = snapshot(store, held)
    read: list[str] = []

    def loading(store: ListingStore, source: str) -> PlanHistory:
        read.append(source)
        return load_history(store, source)

    monkeypatch.setattr("registration_pipeline.tracking.snapshot.load_history", loading)

    with submission(store):
        write(store, "c-90000", [(INTENT, JOB, VERDICT)])
    later = snapshot(store, held)
    assert (later.history is first.history, "c-90000" in later.journals, read) == (True, True, [])

    store.create("fleet/plan/20261122T020000Z/_SUCCESS.json", b"{}")
    with suppress(StateCorruptError):
        snapshot(store, held)
    assert read == ["fleet"]
