"""Taking, finding and reading inventories."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from registration_pipeline.errors import (
    ListingError,
    ServiceUnavailableError,
    StateConflictError,
    StateCorruptError,
)
from registration_pipeline.inventory.inventory import (
    Inventory,
    latest_inventory,
    read_inventory,
    take_inventory,
)
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA, inventory_batch
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.holder import Holder
from registration_pipeline.state.sealed import sealed_json
from registration_pipeline.state.version import ensure_layout
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class ScriptedLister:
    """Lists pages of keys as scripted; None dies."""

    def __init__(self, *pages: Sequence[str] | None) -> None:
        self._pages, self._requests = pages, 0

    @property
    def requests(self) -> int:
        return self._requests

    @property
    def description(self) -> str:
        return "a script"

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        for page in self._pages:
            self._requests += 1
            if page is None:
                raise ServiceUnavailableError("gone")
            sizes = [len(key) for key in page]
            yield inventory_batch(keys=page, sizes=sizes, last_modified=[NOON] * len(page))


def at(*times: datetime) -> Callable[[], datetime]:
    """Return a clock that says these times, then the last one for ever."""
    remaining = list(times)
    return lambda: remaining.pop(0) if len(remaining) > 1 else remaining[0]


def take(store: BucketStateStore, *pages: Sequence[str] | None, clock: datetime = NOON) -> Inventory:
    return take_inventory(lister=ScriptedLister(*pages), store=store, source="fleet", clock=at(clock))


def keys_in(store: BucketStateStore, inventory: Inventory) -> list[str]:
    return [key for batch in read_inventory(store, inventory, ["key"]) for key in batch["key"].to_pylist()]


@pytest.fixture
def store() -> BucketStateStore:
    return BucketStateStore(MemoryStore(), "memory://state")


def test_an_inventory_is_committed_and_read_back(store: BucketStateStore) -> None:
    seen: list[str] = []
    ticks = iter([0.0, 1.0, 1.5, 2.0])
    made = take_inventory(
        lister=ScriptedLister(["a", "bb"], [], ["ccc"]),
        store=store,
        source="fleet",
        clock=at(NOON, NOON + timedelta(seconds=90)),
        progress=lambda progress: seen.append(str(progress)),
        monotonic=lambda: next(ticks),
    )

    assert made.inventory_id == "20261121T120000Z"
    assert (made.objects, made.bytes, made.requests, made.listing) == (3, 6, 3, "a script")
    assert made.finished_at - made.started_at == timedelta(seconds=90)
    assert seen == [
        "2 objects, 1 request, 2 objects/s",
        "2 objects, 2 requests, 1 objects/s",
        "3 objects, 3 requests, 2 objects/s",
    ]
    assert latest_inventory(store, "fleet") == made
    table = pa.Table.from_batches(read_inventory(store, made))
    assert table.schema.equals(INVENTORY_SCHEMA)
    assert table["key"].to_pylist() == ["a", "bb", "ccc"]
    assert table["last_modified"].to_pylist() == [NOON] * 3


def test_an_empty_source_has_an_empty_inventory(store: BucketStateStore) -> None:
    made = take(store)

    assert (made.objects, made.bytes, made.parts) == (0, 0, ())
    assert latest_inventory(store, "fleet") == made
    assert list(read_inventory(store, made)) == []


def test_there_is_no_inventory_before_the_first(store: BucketStateStore) -> None:
    assert latest_inventory(store, "fleet") is None


def many_pages() -> list[list[str]]:
    """Return more rows than one part holds, so that a part is there before the listing ends."""
    return [[f"{page:03d}-{row:05d}" for row in range(60_000)] for page in range(18)]


@pytest.mark.slow
def test_a_listing_that_fails_commits_nothing_and_leaves_only_the_layout(store: BucketStateStore) -> None:
    with pytest.raises(ServiceUnavailableError):
        take(store, *many_pages(), None)

    assert list(store.names("fleet/")) == ["fleet/state.json"]
    assert latest_inventory(store, "fleet") is None


WRITER = "fleet/inventory_writers/20261121T120000Z.json"


def leftovers_of(store: BucketStateStore, writer: Holder, *, parts: bool = True) -> list[str]:
    ensure_layout(store, "fleet", NOON)
    store.create(WRITER, json.dumps(writer.to_json()).encode())
    if parts:
        store.create("fleet/inventory/20261121T120000Z/part-0123abcd-00000.parquet", b"half")
    return list(store.names("fleet/"))


LIVING = Holder.current(NOON)
DEAD = replace(LIVING, start="1")
ELSEWHERE = replace(LIVING, host="elsewhere", boot="another")


@pytest.mark.parametrize(
    ("writer", "now", "parts"),
    [
        pytest.param(DEAD, NOON, True, id="its process is gone"),
        pytest.param(DEAD, NOON, False, id="a clearing was cut short"),
        pytest.param(ELSEWHERE, NOON + timedelta(days=7, seconds=1), True, id="of another machine, a week ago"),
    ],
)
def test_what_a_dead_listing_left_is_cleared_away_by_the_next(
    store: BucketStateStore,
    writer: Holder,
    now: datetime,
    parts: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    leftovers_of(store, writer, parts=parts)

    made = take(store, ["a"], clock=now)

    assert made.inventory_id > "20261121T120000Z"
    folder = f"fleet/inventory/{made.inventory_id}/"
    assert set(store.names("fleet/")) == {"fleet/state.json", made.parts[0].name, f"{folder}_SUCCESS.json"}


@pytest.mark.parametrize(
    "writer", [pytest.param(LIVING, id="of this machine"), pytest.param(ELSEWHERE, id="of another machine")]
)
def test_what_a_listing_under_way_has_written_stays(store: BucketStateStore, writer: Holder) -> None:
    files = leftovers_of(store, writer)

    made = take(store, ["a"])

    assert made.inventory_id == "20261121T120001Z"
    assert set(store.names("fleet/")) > set(files)


def test_the_claim_of_a_writer_that_died_after_its_commit_is_removed_and_the_inventory_stays(
    store: BucketStateStore,
) -> None:
    first = take(store, ["a"])
    store.create(WRITER, json.dumps(LIVING.to_json()).encode())
    take(store, ["b"])

    assert keys_in(store, first) == ["a"]
    assert list(store.names("fleet/inventory_writers/")) == []


def test_listings_that_begin_in_the_same_second_each_make_an_inventory(store: BucketStateStore) -> None:
    class Interrupted(ScriptedLister):
        def list_objects(self) -> Iterator[pa.RecordBatch]:
            yield from super().list_objects()
            inner.append(take(store, ["other"]))

    inner: list[Inventory] = []

    made = take_inventory(lister=Interrupted(["a"], ["b"]), store=store, source="fleet", clock=at(NOON))

    assert (made.inventory_id, inner[0].inventory_id) == ("20261121T120000Z", "20261121T120001Z")
    assert keys_in(store, made) == ["a", "b"]
    assert keys_in(store, inner[0]) == ["other"]
    assert list(store.names("fleet/inventory_writers/")) == []


def test_an_earlier_inventory_stays_when_a_later_one_dies(store: BucketStateStore) -> None:
    first = take(store, ["a"])
    with pytest.raises(ServiceUnavailableError):
        take(store, ["a"], None, clock=NOON + timedelta(hours=1))

    assert latest_inventory(store, "fleet") == first
    take(store, ["b"], clock=NOON + timedelta(hours=2))
    assert keys_in(store, first) == ["a"]


@pytest.mark.parametrize("hours", [-24, -1, 0], ids=["a day back", "an hour back", "the same second"])
def test_a_later_inventory_has_a_later_id_whatever_the_clock_says(store: BucketStateStore, hours: int) -> None:
    first = take(store, ["a"])
    second = take(store, ["b"], clock=NOON + timedelta(hours=hours))

    assert second.inventory_id == "20261121T120001Z" > first.inventory_id
    assert second.started_at == NOON + timedelta(hours=hours)
    assert latest_inventory(store, "fleet") == second


def test_times_are_recorded_in_utc(store: BucketStateStore) -> None:
    from zoneinfo import ZoneInfo

    made = take(store, clock=datetime(2026, 11, 21, 2, tzinfo=ZoneInfo("Asia/Tokyo")))

    assert made.inventory_id == "20261120T170000Z"
    assert made.started_at.utcoffset() == timedelta(0)


@pytest.mark.slow
def test_a_writer_mistaken_for_dead_by_another_run_cannot_commit(store: BucketStateStore) -> None:
    class Interrupted(ScriptedLister):
        def list_objects(self) -> Iterator[pa.RecordBatch]:
            yield from super().list_objects()
            take(store, ["other"], clock=NOON + timedelta(days=8))

    rows = [f"{row:08d}" for row in range(1_100_000)]
    with pytest.raises(StateConflictError, match="another run of the same source"):
        take_inventory(lister=Interrupted(rows), store=store, source="fleet", clock=at(NOON))

    latest = latest_inventory(store, "fleet")
    assert latest is not None
    assert keys_in(store, latest) == ["other"]


@pytest.mark.parametrize(
    ("pages", "previous", "following", "what"),
    [
        ([["a", "b"], ["a", "b"]], "b", "a", "not list in key order"),
        ([["a", "b"], ["b", "c"]], "b", "b", "lists the key twice"),
        ([["a", "c", "b"]], "c", "b", "not list in key order"),
        ([["a", "b", "b"]], "b", "b", "lists the key twice"),
        ([["a"], [], ["a"]], "a", "a", "lists the key twice"),
        ([["b"], ["B"]], "b", "B", "not list in key order"),
        ([["\U0001f600", "\uffff"]], "\U0001f600", "\uffff", "not list in key order"),
        ([["\U0001f600"], ["\uffff"]], "\U0001f600", "\uffff", "not list in key order"),
    ],
    ids=["page twice", "overlap", "inside", "double", "across an empty page", "case", "astral", "astral across pages"],
)
def test_a_listing_out_of_order_is_refused_with_both_keys(
    store: BucketStateStore, pages: list[list[str]], previous: str, following: str, what: str
) -> None:
    with pytest.raises(ListingError, match=what) as caught:
        take(store, *pages)

    assert f"{following!r} comes after {previous!r}" in str(caught.value)
    assert latest_inventory(store, "fleet") is None


@settings(max_examples=examples(15, thorough=500), deadline=None)
@given(keys=st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1)), page_size=st.integers(1, 5))
def test_any_keys_in_utf8_order_are_accepted_and_come_back_exactly(keys: set[str], page_size: int) -> None:
    store = BucketStateStore(MemoryStore(), "memory://state")
    ordered = sorted(keys, key=str.encode)
    pages = [ordered[start : start + page_size] for start in range(0, len(ordered), page_size)]

    assert keys_in(store, take(store, *pages)) == ordered


def test_a_garbled_marker_is_corrupt(store: BucketStateStore) -> None:
    store.create("fleet/inventory/20261121T120000Z/_SUCCESS.json", sealed_json({"objects": 1}))

    with pytest.raises(StateCorruptError, match=r"20261121T120000Z/ lacks or garbles 'bytes'"):
        latest_inventory(store, "fleet")


@pytest.mark.parametrize(
    "sizes", [[-1], [1, 2, -(2**63)], [0, -5, 7]], ids=["the only one", "the smallest number", "one in the middle"]
)
def test_a_negative_size_is_refused_by_the_name_of_the_object(store: BucketStateStore, sizes: list[int]) -> None:
    class Strange(ScriptedLister):
        def list_objects(self) -> Iterator[pa.RecordBatch]:
            keys = [f"{size < 0}-{place}" for place, size in enumerate(sizes)]
            for key, size in sorted(zip(keys, sizes, strict=True)):
                yield inventory_batch(keys=[key], sizes=[size], last_modified=[NOON])

    wrong = next(f"True-{place}" for place, size in enumerate(sizes) if size < 0)
    with pytest.raises(ListingError, match=rf"gives '{wrong}' a size of -[\d,]+ bytes, which no object has"):
        take_inventory(lister=Strange(), store=store, source="fleet", clock=at(NOON))
    assert latest_inventory(store, "fleet") is None
