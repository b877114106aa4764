"""A document of the state under the name of another of its kind: no reader takes it, and a verification names the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from obstore.store import MemoryStore

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.facts.sets import latest_facts
from registration_pipeline.planning.history import load_history
from registration_pipeline.planning.wave import load_waves
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.version import require_layout
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.verification.state import verify_state
from registration_pipeline_tests.state_layouts.describe import kind_of, numbers
from registration_pipeline_tests.state_layouts.going_on import LAYOUT_1

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.state.store import StateStore

FILES: Final = {
    path.relative_to(LAYOUT_1 / "state").as_posix(): path.read_bytes()
    for path in sorted((LAYOUT_1 / "state").rglob("*"))
    if path.is_file()
}
SEALED: Final = [
    name
    for name in FILES
    if name.endswith(".json") and name.split("/")[1] in {"inventory", "plan", "lineage", "ledger", "journal"}
]
READERS: Final[dict[str, Callable[[StateStore], Any]]] = {
    "numbers": numbers,
    "waves": lambda store: [wave.wave_id for wave in load_waves(store, "fleet")],
    "history": lambda store: load_history(store, "fleet", is_trusted=False).wave_ids,
    "journals": lambda store: [
        (one.chunk_id, one.state, one.attempt) for one in Journal(store, "fleet").all_progress()
    ],
}


def state_of(files: dict[str, bytes], *, without: str = " ") -> BucketStateStore:
    store = BucketStateStore(MemoryStore(), "memory://state")
    for name, data in files.items():
        if not name.startswith(without):
            store.create(name, data)
    return store


def next_of_its_kind(name: str) -> str | None:
    """Return another document of the same kind; of a journal, the entry that has the same base name."""
    kind = kind_of(name.partition("/")[2])
    alike = [one for one in SEALED if kind_of(one.partition("/")[2]) == kind]
    if "/journal/" in name:
        alike = [one for one in alike if one.rsplit("/", 1)[-1] == name.rsplit("/", 1)[-1]]
    place = (alike.index(name) + 1) % len(alike)
    return None if alike[place] == name else alike[place]


def answer(read: Callable[[StateStore], Any], store: StateStore) -> Any:
    """Return what a reader says, or the error that it ends with."""
    try:
        return read(store)
    except StateCorruptError as error:
        return error


COPIES: Final = [(other, name) for name in SEALED if (other := next_of_its_kind(name)) is not None]


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    store = state_of(FILES)
    return {reader: read(store) for reader, read in READERS.items()}


@pytest.mark.parametrize(("copied", "name"), COPIES, ids=[name for _, name in COPIES])
def test_a_copy_over_another_document_is_refused_by_readers_and_named_by_a_verification(
    expected: dict[str, Any], copied: str, name: str
):
    store = state_of({**FILES, name: FILES[copied]}, without="fleet/journal_summary/")

    assert name in verify_state(store, "fleet").damaged
    for reader, read in READERS.items():
        said = answer(read, store)
        assert said == expected[reader] or name.rsplit("/", 1)[-1] in str(said), reader


def test_no_reader_of_journals_takes_the_verdict_of_another_chunk():
    first, second = (
        name
        for name in FILES
        if name.endswith("/0001-closed.json")
        and "20261121T020002Z-images" in name
        and not name.split("/")[2].endswith(("3", "4"))
    )
    store = state_of({**FILES, second: FILES[first]}, without="fleet/journal_summary/")

    with pytest.raises(
        StateCorruptError, match=rf"{second} is not a journal entry \(it is a copy of another entry, {first}"
    ):
        numbers(store)


def test_two_entries_of_the_lineage_in_each_others_place_are_both_named():
    first, second = (f"fleet/lineage/0000000{number}.json" for number in (1, 2))
    store = state_of({**FILES, first: FILES[second], second: FILES[first]})

    assert {first, second} <= verify_state(store, "fleet").damaged.keys()
    with pytest.raises(StateCorruptError, match="is out of order"):
        load_waves(store, "fleet")


def test_two_entries_of_one_wave_are_named():
    third, fourth = (f"fleet/lineage/0000000{number}.json" for number in (3, 4))

    report = verify_state(state_of({**FILES, fourth: FILES[third]}), "fleet")

    assert report.damaged[fourth].problem == f"has wave 20261121T020003Z, as {third} has: one of them is a copy"


def test_a_wave_without_an_entry_is_named_with_the_number_that_it_had():
    missing = "fleet/lineage/00000002.json"

    report = verify_state(state_of({name: data for name, data in FILES.items() if name != missing}), "fleet")

    assert report.damaged[missing].problem.startswith(
        "is missing, though fleet/plan/20261121T020002Z/_SUCCESS.json has"
    )


def test_an_entry_of_a_journal_that_only_the_summary_knows_is_named_as_missing():
    missing = "fleet/journal/20261121T020001Z-images-000001/0001-closed.json"

    report = verify_state(state_of({name: data for name, data in FILES.items() if name != missing}), "fleet")

    assert report.damaged[missing].problem == "is missing, though fleet/journal_summary/00000001.jsonl.gz has it"


def test_the_state_of_another_source_is_refused():
    files = {f"ships/{name.partition('/')[2]}": data for name, data in FILES.items()}

    with pytest.raises(StateCorruptError, match=r"says that its source is 'fleet', not 'ships' as its name"):
        require_layout(state_of(files), "ships")


def test_a_set_of_facts_under_the_name_of_another_is_refused():
    store = state_of(FILES)
    facts = latest_facts(store, "fleet", "headers")
    assert facts is not None
    marker = f"fleet/facts/headers/{facts.facts_id}/_SUCCESS.json"
    later = marker.replace(facts.facts_id, "20261122T020100Z")
    store.create(later, store.read(marker))

    with pytest.raises(StateCorruptError, match="says that its facts_id is"):
        latest_facts(store, "fleet", "headers")
    assert later in verify_state(store, "fleet").damaged


def test_a_state_where_nothing_was_copied_is_read_as_ever(expected: dict[str, Any]):
    assert verify_state(state_of(FILES), "fleet").damaged == {}
    assert numbers(state_of(FILES)) == expected["numbers"]
