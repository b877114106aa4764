"""What a process has folded it does not read again, and it never takes an old fold for a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.tracking.journal import journal as journal_module
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import ChunkState
from registration_pipeline_tests.unit.tracking.journal.test_journal import CLOSED, INTENT, JOB, VERDICT
from registration_pipeline_tests.unit.tracking.journal.test_summary import (
    CountingStore,
    progress,
    without_summary,
    write,
)

if TYPE_CHECKING:
    from typing import IO

NIGHTS = st.lists(
    st.dictionaries(
        st.sampled_from(["c-1", "c-1-a", "c-2", "d"]), st.sampled_from([*CLOSED, (INTENT,), (INTENT, JOB)])
    ),
    min_size=1,
    max_size=5,
)


class OpenCountingStore(CountingStore):
    """Counts what is opened, too."""

    def open(self, name: str) -> IO[bytes]:
        self.reads += 1
        return super().open(name)


@pytest.fixture
def store() -> OpenCountingStore:
    store = OpenCountingStore()
    for number in range(20):
        write(store, f"c-{number:05d}", [(INTENT, JOB, VERDICT)])
    return store


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few chunks be worth a summary."""
    monkeypatch.setattr(journal_module, "_FEWEST_MISSING", 0)


@settings(deadline=None, max_examples=60)
@given(nights=NIGHTS, summarised=st.lists(st.booleans(), min_size=5, max_size=5))
def test_whatever_is_written_between_two_looks_is_seen(nights: list[dict[str, Any]], summarised: list[bool]) -> None:
    store = CountingStore()
    for night, is_summarised in zip(nights, summarised, strict=False):
        before = {one.chunk_id: one for one in progress(store)}
        for chunk_id, kinds in night.items():
            known = before.get(chunk_id)
            if known is None or not known.is_attempt_open:
                write(store, chunk_id, [kinds], first=known.attempt + 1 if known else 1)
            elif known.state is ChunkState.INTENDED and kinds == (INTENT, JOB):
                write(store, chunk_id, [(JOB,)], first=known.attempt)
        if is_summarised:
            Journal(store, "fleet").summarise()

        assert progress(store) == without_summary(store)


def test_what_was_folded_is_not_read_again(store: OpenCountingStore) -> None:
    first = progress(store)
    store.reads = 0

    assert progress(store) == first

    assert store.reads == 0


def test_only_a_chunk_that_went_on_is_read_again(store: OpenCountingStore) -> None:
    progress(store)
    write(store, "c-00003", [(INTENT, JOB)], first=2)
    store.reads = 0

    found = {one.chunk_id: one for one in progress(store)}

    assert found["c-00003"].state is ChunkState.SUBMITTED
    assert store.reads == 5


def test_another_sources_chunk_of_the_same_name_is_another(store: OpenCountingStore) -> None:
    assert len(progress(store)) == 20
    assert list(Journal(store, "other").all_progress()) == []


def test_another_store_knows_nothing_of_this_one(store: OpenCountingStore) -> None:
    progress(store)

    assert progress(OpenCountingStore()) == []


def test_a_night_in_which_nothing_changed_reads_the_summary_once(store: OpenCountingStore) -> None:
    assert Journal(store, "fleet").summarise()
    night = OpenCountingStore()
    night._store = store._store

    assert len(progress(night)) == 20
    assert not Journal(night, "fleet").summarise()
    assert len(progress(night)) == 20

    assert night.reads == 1


def test_what_was_folded_before_the_summary_does_not_keep_it_from_being_written_once(store: OpenCountingStore) -> None:
    progress(store)

    assert Journal(store, "fleet").summarise()
    assert not Journal(store, "fleet").summarise()
