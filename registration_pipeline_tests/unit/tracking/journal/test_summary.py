"""A summary of the journals saves time and changes nothing, whatever state it is in."""

from __future__ import annotations

import gzip
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.tracking.journal import journal as journal_module
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import UnitFailure
from registration_pipeline_tests.doses import examples
from registration_pipeline_tests.unit.tracking.journal.test_journal import CLOSED, INTENT, JOB, VERDICT, event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registration_pipeline.tracking.journal.states import ChunkProgress

SUMMARY = "fleet/journal_summary/00000001.jsonl.gz"
ATTEMPTS = st.lists(st.sampled_from([*CLOSED, (INTENT,), (INTENT, JOB)]), min_size=1, max_size=3)


class CountingStore(BucketStateStore):
    """Counts what is read, and lists like a bucket."""

    def __init__(self) -> None:
        super().__init__(MemoryStore(), "memory://state")
        self.reads = 0

    def read(self, name: str) -> bytes:
        self.reads += 1
        return super().read(name)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture(autouse=True, params=[8_192, 0], ids=["small ones", "none is small"])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let summaries of few chunks be small, and too large to be written again and again."""
    monkeypatch.setattr(journal_module, "_SMALL", request.param)
    return int(request.param)


def write(store: Any, chunk_id: str, attempts: list[Any], first: int = 1) -> None:
    journal = Journal(store, "fleet")
    for number, kinds in enumerate(attempts, start=first):
        for kind in kinds:
            journal.append(replace(event(kind, number), chunk_id=chunk_id))
        if kinds in {(INTENT,), (INTENT, JOB)}:
            return


def progress(store: Any) -> list[ChunkProgress]:
    return list(Journal(store, "fleet").all_progress())


def without_summary(store: Any) -> list[ChunkProgress]:
    class Hidden(BucketStateStore):
        def names(self, prefix: str) -> Iterator[str]:
            return iter(()) if "summary" in prefix else super().names(prefix)

    return list(Journal(Hidden(store._store, "memory://state"), "fleet").all_progress())


@settings(deadline=None, max_examples=examples(15, thorough=500))
@given(
    chunks=st.dictionaries(
        st.sampled_from(["c-00001", "c-00001-a", "c-00001-b", "c-00002", "d"]), ATTEMPTS, min_size=1
    ),
    later=st.dictionaries(st.sampled_from(["c-00001-a", "c-00002", "e"]), ATTEMPTS),
)
def test_what_it_says_is_what_the_journals_say(chunks: dict[str, Any], later: dict[str, Any]) -> None:
    store = CountingStore()
    for chunk_id, attempts in chunks.items():
        write(store, chunk_id, attempts)
    Journal(store, "fleet").summarise()
    before = {chunk_id: one for one in progress(store) for chunk_id in [one.chunk_id]}
    for chunk_id, attempts in later.items():
        known = before.get(chunk_id)
        if known is None or not known.is_attempt_open:
            write(store, chunk_id, attempts, first=known.attempt + 1 if known else 1)

    fresh = CountingStore()
    fresh._store = store._store
    assert progress(fresh) == without_summary(store), "read by a process that remembers nothing"
    Journal(fresh, "fleet").summarise()
    assert progress(fresh) == without_summary(store)


def test_concluded_chunks_are_not_opened_again(store: CountingStore) -> None:
    for number in range(20):
        write(store, f"c-{number:05d}", [(INTENT, JOB, VERDICT)])
    write(store, "open", [(INTENT, JOB)])
    assert Journal(store, "fleet").summarise()
    store.reads = 0

    assert len(progress(store)) == 21

    assert store.reads == 2, "an open attempt goes on, so it is not in the summary"


def test_small_ones_are_merged_and_a_large_one_stays_beside_them(store: CountingStore, small: int) -> None:
    journal = Journal(store, "fleet")
    for night, chunks in enumerate([40, 1, 1, 1]):
        for number in range(chunks):
            write(store, f"c-{night}-{number:05d}", [(INTENT, JOB, VERDICT)])
        assert journal.summarise()
        assert not journal.summarise(), "there is nothing more to write"

    numbers = [int(name.split("/")[-1][:8]) for name in store.names("fleet/journal_summary/")]
    assert numbers == ([4] if small else [1, 3, 4])
    store.reads = 0
    assert progress(store) == without_summary(store)
    assert store.reads == 0, "no entry is opened"


def test_one_that_holds_nothing_any_more_is_removed(store: CountingStore) -> None:
    journal = Journal(store, "fleet")
    write(store, "c-1", [(INTENT, JOB, VERDICT)])
    journal.summarise()
    write(store, "c-1", [(INTENT, JOB, VERDICT)], first=2)
    journal.summarise()

    assert list(store.names("fleet/journal_summary/")) == ["fleet/journal_summary/00000002.jsonl.gz"]


def test_it_does_not_hold_what_only_the_failure_log_needs(store: CountingStore) -> None:
    failures = tuple(UnitFailure(unit_index=index, reason="unreadable", message="gone") for index in range(3))
    journal = Journal(store, "fleet")
    for one in (event(INTENT), event(JOB), replace(event(VERDICT), failures=failures)):
        journal.append(one)
    journal.summarise()

    with store.open(SUMMARY) as file:
        assert b"gone" not in gzip.decompress(file.read())
    assert journal.events("c1")[-1].failures == failures


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def with_lines(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: gzip.compress(change(gzip.decompress(data)))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(cut, id="cut"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"no gzip", id="another file"),
        pytest.param(lambda data: data[:-20] + b"\0" * 20, id="bytes overwritten"),
        pytest.param(with_lines(cut), id="lines cut"),
        pytest.param(with_lines(lambda lines: lines.replace(b'"chunk_id"', b'"chunk"')), id="another form"),
        pytest.param(with_lines(lambda lines: lines.replace(b'"kind":"job"', b'"kind":"task"')), id="unknown kind"),
        pytest.param(with_lines(lambda lines: lines.replace(b'"names"', b'"names_"')), id="no names"),
        pytest.param(with_lines(lambda lines: b"[]\n" + lines), id="a line that is no chunk"),
    ],
)
def test_a_damaged_one_costs_nothing_but_time(store: CountingStore, damage: Callable[[bytes], bytes]) -> None:
    for number in range(30):
        write(store, f"c-{number:05d}", [(INTENT, JOB, VERDICT)])
    Journal(store, "fleet").summarise()
    with store.open(SUMMARY) as file:
        data = file.read()
    store.delete(SUMMARY)
    store.create(SUMMARY, damage(data))

    assert progress(store) == without_summary(store)


def test_one_that_is_removed_while_it_is_about_to_be_read_is_done_without(store: CountingStore) -> None:
    class Removing(CountingStore):
        @contextmanager
        def local_file(self, name: str) -> Iterator[Path]:
            self.delete(name)
            with super().local_file(name) as path:
                yield path

    racing = Removing()
    racing._store = store._store
    write(store, "c-1", [(INTENT, JOB, VERDICT)])
    Journal(store, "fleet").summarise()

    assert progress(racing) == without_summary(store)
