"""An inventory listed in key ranges is that of one listing, whatever the ranges and whoever listed them."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from registration_pipeline.errors import (
    ListingError,
    ServiceUnavailableError,
    StateConflictError,
    StateCorruptError,
    StateError,
    UsageError,
)
from registration_pipeline.inventory.inventory import latest_inventory, take_inventory
from registration_pipeline.inventory.key_ranges.listing import missing_ranges, read_range
from registration_pipeline.inventory.key_ranges.reading import KeyBounds, read_key_range
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.holder import Holder
from registration_pipeline.state.layout import inventory_folder, inventory_range_name, inventory_writer_name
from registration_pipeline.state.sealed import read_sealed, sealed_json
from registration_pipeline_tests.doses import examples
from registration_pipeline_tests.unit.inventory.key_ranges.keys_lister import (
    NOON,
    RUN,
    KeysLister,
    begin,
    commit,
    in_key_ranges,
    list_one,
    noon,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from registration_pipeline.inventory.inventory import Inventory

KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=4)
LETTERS = [f"{letter}{number}" for letter in "abcdefgh" for number in range(5)]
ENDS = ["b9", "d", "e3"]


def new_store() -> BucketStateStore:
    return BucketStateStore(MemoryStore(), "memory://state")


@pytest.fixture
def store() -> BucketStateStore:
    return new_store()


def at_once(store: BucketStateStore, lister: KeysLister) -> Inventory:
    return take_inventory(lister=lister, store=store, source="fleet", clock=noon)


@settings(max_examples=examples(10, thorough=250), deadline=None)
@given(st.sets(KEYS, max_size=40), st.sets(KEYS, max_size=6), st.integers(1, 5))
def test_any_boundaries_over_any_keys_give_the_rows_and_the_digest_of_one_listing(
    keys: set[str], ends: set[str], page_size: int
) -> None:
    first, second = new_store(), new_store()
    lister = KeysLister([*keys], sorted(ends), page_size)

    divided, whole = in_key_ranges(first, lister, ranges=len(ends) + 1), at_once(second, lister)

    assert rows_of(first, divided) == rows_of(second, whole)
    assert (divided.digest, divided.objects, divided.bytes) == (whole.digest, whole.objects, whole.bytes)
    assert divided.key_ranges == len(ends) + 1


@settings(max_examples=examples(6, thorough=150), deadline=None)
@given(st.sets(KEYS, min_size=1, max_size=40), st.integers(1, 12))
def test_the_next_inventory_is_divided_into_equal_ranges_by_the_rows_of_the_one_before(
    keys: set[str], ranges: int
) -> None:
    store, lister = new_store(), KeysLister([*keys])
    at_once(store, KeysLister([*keys]))

    division = begin(store, lister, ranges=ranges)
    for number in range(division.ranges):
        list_one(store, lister, division, number)
    listed = [read_range(store, "fleet", division.inventory_id, number) for number in range(division.ranges)]
    sizes = [one.objects for one in listed if one is not None]

    assert division.ranges == min(ranges, len(keys))
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == len(keys)
    assert division.requests == 0
    assert commit(store).objects == len(keys)


def test_what_is_left_in_the_state_is_what_one_listing_leaves(store: BucketStateStore) -> None:
    made = in_key_ranges(store, KeysLister(LETTERS, ENDS))

    folder = inventory_folder("fleet", made.inventory_id)
    expected = {"fleet/state.json", f"{folder}_SUCCESS.json", *(part.name for part in made.parts)}
    assert {*store.names("fleet/")} == expected
    assert latest_inventory(store, "fleet") == made
    assert (made.run, made.key_ranges, len(made.parts)) == (RUN, 4, 4)
    assert made.requests == 1 + 4 + 2 + 3 + 6  # for the boundaries, and pages of 3 of 10, 5, 9 and 16 keys


def test_a_range_that_was_listed_is_not_listed_again(store: BucketStateStore) -> None:
    lister = KeysLister(LETTERS, ENDS)
    division = begin(store, lister)
    for _ in range(3):
        list_one(store, lister, division, 1)

    assert lister.asked == [("b9", "d")]


def test_a_run_that_begins_again_goes_on_with_its_ranges(store: BucketStateStore) -> None:
    division = begin(store, KeysLister(LETTERS, ENDS))

    assert begin(store, KeysLister(LETTERS, ["x"])) == division
    assert begin(store, KeysLister(LETTERS, ["x"]), runs=("run-2", RUN)) == division


def test_a_range_that_fails_leaves_nothing_and_is_listed_again(store: BucketStateStore) -> None:
    division = begin(store, KeysLister(LETTERS, ENDS))
    before = {*store.names("fleet/")}

    with pytest.raises(ServiceUnavailableError):
        list_one(store, KeysLister(LETTERS, ENDS, fails_at="h4"), division, 3)

    assert {*store.names("fleet/")} == before
    with pytest.raises(StateConflictError, match="Key range 0 of 4"):
        commit(store)
    for number in range(4):
        list_one(store, KeysLister(LETTERS, ENDS), division, number)
    assert commit(store).objects == len(LETTERS)


def test_a_store_that_lists_other_keys_than_it_was_asked_for_is_refused(store: BucketStateStore) -> None:
    class Careless(KeysLister):
        def between(self, after: str | None, until: str | None) -> Careless:
            return Careless(self.keys, range=(after, f"{until}~"), page_size=100)

    division = begin(store, KeysLister(LETTERS, ENDS))

    with pytest.raises(ListingError, match="`key_ranges` of the source to 1"):
        list_one(store, Careless(LETTERS), division, 1)


def test_a_source_that_can_not_be_divided_has_one_range(store: BucketStateStore) -> None:
    class Report:
        requests, description = 7, "a report"

        def list_objects(self) -> Iterator[pa.RecordBatch]:
            return KeysLister(LETTERS).list_objects()

    lister = Report()
    division = begin(store, lister)
    list_one(store, lister, division, 0)

    assert division.ranges == 1
    assert commit(store).objects == len(LETTERS)


def test_two_processes_that_list_one_range_leave_one_of_both(store: BucketStateStore) -> None:
    class Overtaken(KeysLister):
        def between(self, after: str | None, until: str | None) -> Overtaken:
            return Overtaken(self.keys, range=(after, until))

        def list_objects(self) -> Iterator[pa.RecordBatch]:
            yield from super().list_objects()
            list_one(store, KeysLister(LETTERS), division, 2)

    division = begin(store, KeysLister(LETTERS, ENDS))
    list_one(store, Overtaken(LETTERS), division, 2)

    assert len([name for name in store.names("fleet/") if name.endswith(".parquet")]) == 1
    for number in (0, 1, 3):
        list_one(store, KeysLister(LETTERS), division, number)
    assert commit(store).objects == len(LETTERS)


def test_a_process_whose_inventory_was_given_up_meanwhile_leaves_nothing(store: BucketStateStore) -> None:
    class Overtaken(KeysLister):
        def between(self, after: str | None, until: str | None) -> Overtaken:
            return Overtaken(self.keys, range=(after, until))

        def list_objects(self) -> Iterator[pa.RecordBatch]:
            yield from super().list_objects()
            begin(store, KeysLister(LETTERS), runs=("run-2",), over=[RUN])

    division = begin(store, KeysLister(LETTERS, ENDS))
    with pytest.raises(StateConflictError, match="was given up"):
        list_one(store, Overtaken(LETTERS), division, 2)

    assert list(store.names(inventory_folder("fleet", division.inventory_id))) == []
    with pytest.raises(UsageError, match="has no inventory of source fleet under way"):
        commit(store)


@pytest.mark.parametrize("known", [[], ["run-0"]], ids=["nothing is known of runs", "another run is over"])
def test_what_a_run_lists_stays_while_the_run_is_not_known_to_be_over(
    store: BucketStateStore, known: Sequence[str]
) -> None:
    lister = KeysLister(LETTERS, ENDS)
    division = begin(store, lister)
    for number in range(3):
        list_one(store, lister, division, number)
    at_once(store, lister)
    begin(store, lister, runs=("run-2",), over=known)

    list_one(store, lister, division, 3)

    assert commit(store).objects == len(LETTERS)


@pytest.mark.parametrize(
    ("over", "later"),
    [([RUN], timedelta()), ([], timedelta(days=7, seconds=1))],
    ids=["its run is over", "nothing is known of its run, and it began a week ago"],
)
def test_what_a_run_left_is_cleared_away_by_the_next(
    store: BucketStateStore, over: Sequence[str], later: timedelta
) -> None:
    lister = KeysLister(LETTERS, ENDS)
    division = begin(store, lister)
    list_one(store, lister, division, 0)

    second = begin(store, lister, runs=("run-2",), clock=lambda: NOON + later, over=over)

    assert list(store.names(inventory_folder("fleet", division.inventory_id))) == []
    assert [name.rsplit("/", 1)[-1] for name in store.names("fleet/inventory_writers/")] == [
        f"{second.inventory_id}.json"
    ]


def test_earlier_versions_take_the_run_for_a_process_of_another_machine(store: BucketStateStore) -> None:
    division = begin(store, KeysLister(LETTERS, ENDS))

    claim = Holder.from_json(json.loads(store.read(inventory_writer_name("fleet", division.inventory_id))))

    assert not claim.is_dead_for_certain()


def test_a_run_that_committed_finds_its_inventory_though_another_has_come_since(store: BucketStateStore) -> None:
    made = in_key_ranges(store, KeysLister(LETTERS, ENDS))
    at_once(store, KeysLister(LETTERS))

    assert commit(store) == made
    assert commit(store, runs=("run-2", RUN)) == made


@pytest.mark.parametrize(
    ("change", "message"),
    [({"objects": 11}, "holds other rows than were listed"), ({"number": 2}, "is that of another range")],
    ids=["other counts", "another range's"],
)
def test_a_range_whose_file_does_not_agree_is_not_committed(
    store: BucketStateStore, change: dict[str, object], message: str
) -> None:
    lister = KeysLister(LETTERS, ENDS)
    division = begin(store, lister)
    for number in range(4):
        list_one(store, lister, division, number)
    name = inventory_range_name("fleet", division.inventory_id, 0)
    document = read_sealed(store, name)
    store.delete(name)
    store.create(name, sealed_json(document | change))

    with pytest.raises(StateCorruptError, match=message):
        commit(store)
    assert latest_inventory(store, "fleet") is None


def test_a_part_that_was_removed_is_not_committed(store: BucketStateStore) -> None:
    lister = KeysLister(LETTERS, ENDS)
    division = begin(store, lister)
    for number in range(4):
        list_one(store, lister, division, number)
    store.delete(next(name for name in store.names("fleet/") if name.endswith(".parquet")))

    with pytest.raises(StateConflictError, match="was removed before it was committed"):
        commit(store)


def test_a_range_whose_part_was_removed_is_listed_again_and_no_other(store: BucketStateStore) -> None:
    lister = KeysLister(LETTERS, ENDS)
    division = begin(store, lister)
    for number in range(4):
        list_one(store, lister, division, number)
    listed = read_range(store, "fleet", division.inventory_id, 1)
    assert listed is not None
    assert missing_ranges(store, division) == []
    store.delete(listed.parts[0].name)
    lister.asked.clear()
    assert missing_ranges(store, division) == [1]

    for number in range(4):
        list_one(store, lister, division, number)

    assert lister.asked == [division.bounds(1)]
    assert commit(store).digest == at_once(new_store(), KeysLister(LETTERS)).digest


def test_a_note_that_arrives_after_its_process_gave_up_names_parts_that_are_there(store: BucketStateStore) -> None:
    class Late:
        """Says that a note can't be written, and writes it later."""

        def __init__(self) -> None:
            self.late: list[tuple[str, bytes]] = []

        def create(self, name: str, data: bytes) -> None:
            if "/range-" in name:
                self.late.append((name, data))
                raise StateError("no answer")
            store.create(name, data)

        def __getattr__(self, attribute: str) -> Any:
            return getattr(store, attribute)

    late, lister = Late(), KeysLister(LETTERS, ENDS)
    division = begin(store, lister)
    with pytest.raises(StateError, match="no answer"):
        list_one(late, lister, division, 0)
    for name, data in late.late:
        store.create(name, data)

    for number in range(4):
        list_one(store, lister, division, number)

    assert commit(store).objects == len(LETTERS)
    assert len(lister.asked) == 4


def test_ranges_meet_without_gap_or_overlap(store: BucketStateStore) -> None:
    division = begin(store, KeysLister(LETTERS, ENDS))
    bounds = [division.bounds(number) for number in range(division.ranges)]

    assert (bounds[0][0], bounds[-1][1]) == (None, None)
    assert all(one[1] == other[0] for one, other in pairwise(bounds))


@settings(max_examples=examples(10, thorough=250), deadline=None)
@given(st.sets(KEYS, min_size=1, max_size=40), st.none() | KEYS, st.none() | KEYS)
def test_a_key_range_of_an_inventory_is_its_rows_within_bounds(
    keys: set[str], after: str | None, until: str | None
) -> None:
    store = new_store()
    made = in_key_ranges(store, KeysLister([*keys], sorted(keys)[::7]), ranges=9)

    batches = read_key_range(store, made, KeyBounds(after, until))

    found = [key for batch in batches for key in batch.column("key").to_pylist()]
    assert found == [key for key in sorted(keys) if (after is None or key > after) and (until is None or key <= until)]
