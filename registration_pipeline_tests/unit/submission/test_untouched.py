"""A chunk that is known to be untouched asks the state for nothing before its intent, and is safe if it was touched."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.counting_store import CountingStore
from registration_pipeline.errors import StateCorruptError
from registration_pipeline.state.layout import COMMIT_MARKER, manifest_name, plan_folder
from registration_pipeline.submission.calls.retry import StoppedError
from registration_pipeline.submission.result import InDoubt
from registration_pipeline.submission.testing import StartScript
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import ChunkState, JournalEventKind
from registration_pipeline.tracking.snapshot import current_snapshot, read_snapshot, written_journals

if TYPE_CHECKING:
    from registration_pipeline.tracking.snapshot import Held


@pytest.fixture
def fleet(fleet_of: Any) -> Any:
    return fleet_of("a.jpg", "b.jpg")


def always(_chunk_id: str) -> bool:
    return True


class Asked(CountingStore):
    """Notes what is asked for by the kind of the files; ``files`` are those of another state in memory."""

    def __init__(self, fleet: Any) -> None:
        super().__init__()
        self.files = self._store = fleet.store._store
        self.read_of: Counter[str] = Counter()
        self.listed_of: Counter[str] = Counter()

    def read(self, name: str) -> bytes:
        self.read_of[name.split("/")[1]] += 1
        return super().read(name)

    def names(self, prefix: str) -> Any:
        self.listed_of[prefix.split("/")[1]] += 1
        return super().names(prefix)


@pytest.fixture
def submitted(fleet_of: Any) -> Asked:
    """Register five chunks that nothing has touched, and return what was asked of the state."""
    fleet = fleet_of(*(f"{number}.jpg" for number in range(10)))
    tasks = fleet.tasks()
    store = Asked(fleet)
    assert len(fleet.register(store=store, tasks=tasks, untouched=always, max_in_flight=3)) == 5
    fleet.assert_exactly_once()
    return store


def test_untouched_chunks_read_and_list_nothing_of_their_own(submitted: Asked) -> None:
    assert (submitted.read_of["journal"], submitted.read_of["manifests"]) == (0, 0)
    assert submitted.listed_of["journal"] == 0


def test_the_marker_of_a_wave_is_read_once_for_all_its_chunks(submitted: Asked) -> None:
    assert submitted.read_of["plan"] == 1


def test_a_chunk_whose_journal_is_not_known_is_asked_for_it(fleet: Any) -> None:
    store = Asked(fleet)

    fleet.submission(store=store).advance()

    assert (store.listed_of["journal"], store.read_of["manifests"]) == (1, 1)


@pytest.mark.parametrize("after_attempt", [None, 0], ids=["due", "named"])
def test_what_another_process_has_concluded_meanwhile_is_not_sent_again(fleet: Any, after_attempt: int | None) -> None:
    fleet.register()

    result = fleet.submission(untouched=always).advance(after_attempt=after_attempt)

    assert (result.is_new, result.state, result.attempt) == (False, ChunkState.SUCCEEDED, 1)
    assert len(fleet.encord.manifests) == 1
    fleet.assert_exactly_once()


def test_an_intent_that_another_process_has_written_meanwhile_leaves_the_chunk_in_doubt(fleet: Any) -> None:
    fleet.encord.starts = [StartScript.LOSE_REPLY]
    assert isinstance(fleet.submission().advance(), InDoubt)

    doubt = fleet.submission(untouched=always).advance()

    assert isinstance(doubt, InDoubt)
    assert len(fleet.encord.manifests) == 1
    assert fleet.submission().resolve(doubt, settled_seconds=120).state is ChunkState.SUCCEEDED
    fleet.assert_exactly_once()


def test_a_job_that_another_process_has_started_meanwhile_is_waited_for(fleet: Any) -> None:
    fleet.encord.job_seconds = 500
    first = fleet.submission()
    first._intend(first.manifest(), is_fresh=False)
    first._record.append(JournalEventKind.JOB, job_id=first._send(first.manifest()))

    result = fleet.submission(untouched=always).advance()

    assert (result.state, result.attempt) == (ChunkState.SUCCEEDED, 1)
    assert len(fleet.encord.manifests) == 1
    fleet.assert_exactly_once()


def test_after_its_first_entry_a_chunk_is_left_to_another_process_as_ever(fleet: Any) -> None:
    slow = fleet.submission(untouched=always)
    fleet.encord.starts = [StartScript.LOSE_REPLY]
    assert isinstance(slow.advance(), InDoubt)
    fleet.register()

    with pytest.raises(StoppedError, match="Another process works on chunk"):
        slow._record.append(JournalEventKind.LOST)


def test_a_manifest_that_is_there_with_other_bytes_is_found(fleet: Any) -> None:
    fleet.store.create(manifest_name("fleet", fleet.chunks[0].chunk_id), b"{}")

    with pytest.raises(StateCorruptError, match="the manifest or the plan was changed"):
        fleet.submission(untouched=always).advance()
    assert fleet.encord.manifests == []


def test_a_plan_without_its_marker_is_found_before_anything_is_sent(fleet: Any) -> None:
    chunk = fleet.chunks[0]
    fleet.store.delete(plan_folder("fleet", chunk.wave_id) + COMMIT_MARKER)
    for name in fleet.store.names("fleet/lineage/"):
        fleet.store.delete(name)

    with pytest.raises(StateCorruptError, match="has no plan"):
        fleet.submission(chunk, untouched=always).advance()
    assert fleet.encord.manifests == []


@pytest.mark.parametrize("starts", [[], [StartScript.REFUSE]], ids=["accepted", "in parts"])
def test_journals_that_were_written_are_neither_read_again_nor_other_than_read(fleet: Any, starts: Any) -> None:
    held: Held = {}
    current_snapshot(fleet.store, "fleet", held)
    fleet.encord.starts = list(starts)
    fleet.encord.fails = lambda url: "corrupt: " + "x" * 9_000 if url.endswith("b.jpg") else None
    with written_journals(held, fleet.store.uri, "fleet") as concluded:
        fleet.register(concluded=concluded)
    store = Asked(fleet)

    known = read_snapshot(store, "fleet", before=held[fleet.store.uri, "fleet"])
    assert store.read_of["journal"] == 0

    read = read_snapshot(fleet.store, "fleet")
    assert known.journals == read.journals
    assert all(one.events for one in read.journals.values())


def test_a_journal_that_another_process_went_on_with_is_read_again(fleet: Any) -> None:
    held: Held = {}
    current_snapshot(fleet.store, "fleet", held)
    fleet.encord.fails = lambda _: "corrupt"
    with written_journals(held, fleet.store.uri, "fleet") as concluded:
        fleet.register(concluded=concluded)
    fleet.encord.fails = lambda _: None
    fleet.register(retry_failed=True)

    found = current_snapshot(fleet.store, "fleet", held).progress_of(fleet.chunks[0].chunk_id)

    assert (found.state, found.attempt) == (ChunkState.SUCCEEDED, 2)


def test_a_summary_of_written_journals_says_what_one_of_read_journals_says(fleet: Any) -> None:
    held: Held = {}
    current_snapshot(fleet.store, "fleet", held)
    with written_journals(held, fleet.store.uri, "fleet") as concluded:
        fleet.register(concluded=concluded)
    store = Asked(fleet)
    Journal(store, "fleet").summarise(current_snapshot(store, "fleet", held).journals)
    name = "fleet/journal_summary/00000001.jsonl.gz"
    written = fleet.store.read(name)
    assert store.read_of["journal"] == 0

    fleet.store.delete(name)
    Journal(fleet.store, "fleet").summarise()
    assert fleet.store.read(name) == written
