"""Where single objects are: every place that an object can be in, by every text that names it, and what was read for it."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from registration_pipeline.inventory.inventory import Inventory
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA, inventory_batch
from registration_pipeline.project.project import utc_now
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.state.markers import FileSet
from registration_pipeline.state.parquet import ParquetPartWriter
from registration_pipeline.tables.part_reader import GroupReader
from registration_pipeline.tracking.search.found import Place
from registration_pipeline.tracking.search.places import KeyedRows
from registration_pipeline.tracking.snapshot import read_snapshot
from registration_pipeline_tests.unit.pipeline.conftest import REFUSED, SOURCE

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.pipeline import Pipeline
    from registration_pipeline.state.parquet import Part
    from registration_pipeline_tests.unit.pipeline.conftest import Plant

LONG_AGO = 1_700_000_000


@pytest.fixture(scope="module")
def files_of_nights(opened: Plant) -> Path:
    """The folder of the source that ``nights`` syncs."""
    opened.begin(min_age_seconds=3600)
    return opened.here / "files"


@pytest.fixture(scope="module")
def nights(opened: Plant, files_of_nights: Path) -> Pipeline:
    """Objects in every place: the second night finds one gone, one changed, one young, and one that was refused again.

    For tests that only read. It goes on when another test begins with another folder.
    """
    plant = opened
    plant.put("day/ok.jpg", "day/gone.jpg", "day/changed.jpg", "day/bad.jpg", "day/äö.jpg", "thumbs/a.jpg", "note.xyz")
    for path in (plant.here / "files").rglob("*.*"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    plant.refuse("bad.jpg")
    pipeline = plant.pipeline()
    pipeline.sync(SOURCE)
    (plant.here / "files" / "day/gone.jpg").unlink()
    plant.put("day/changed.jpg", body=b"another")
    os.utime(plant.here / "files" / "day/changed.jpg", (LONG_AGO + 60, LONG_AGO + 60))
    plant.put("day/young.jpg")
    pipeline.sync(SOURCE)
    pipeline.submit(SOURCE, failed=True)
    return pipeline


def test_every_place_of_an_object_is_found_with_its_reason(nights: Pipeline):
    keys = [
        "day/ok.jpg",
        "day/gone.jpg",
        "day/changed.jpg",
        "day/bad.jpg",
        "day/young.jpg",
        "thumbs/a.jpg",
        "note.xyz",
        "x",
    ]

    found = {one.key: one for one in nights.find(SOURCE, keys)}

    assert {key: one.place for key, one in found.items()} == {
        "day/ok.jpg": Place.REGISTERED,
        "day/gone.jpg": Place.DELETED,
        "day/changed.jpg": Place.REGISTERED,
        "day/bad.jpg": Place.FAILED,
        "day/young.jpg": Place.PENDING,
        "thumbs/a.jpg": Place.EXCLUDED,
        "note.xyz": Place.REJECTED,
        "x": Place.UNKNOWN,
    }
    assert [key for key, one in found.items() if one.is_changed] == ["day/changed.jpg"]
    assert found["note.xyz"].reason == "unsupported_type"
    assert found["thumbs/a.jpg"].reason == 'exclude "**/thumbs/**"'
    assert "min_age_seconds is 3,600" in found["day/young.jpg"].explanation
    assert "stays in Encord" in found["day/gone.jpg"].explanation
    assert found["x"].listing is None


def test_the_places_agree_with_the_numbers_of_status(nights: Pipeline, files_of_nights: Path):
    keys = [str(path.relative_to(files_of_nights)) for path in files_of_nights.rglob("*.*")]

    places = Counter(one.place.value for one in nights.find(SOURCE, keys))

    numbers = nights.status(SOURCE).as_json()
    assert places == {name: numbers[name] for name in ("registered", "failed", "pending", "excluded", "rejected")}


def test_a_failed_object_has_every_attempt_with_what_encord_said(nights: Pipeline):
    (found,) = nights.find(SOURCE, ["day/bad.jpg"])

    assert found.reason is not None
    assert found.message == REFUSED
    assert [(one.number, one.event, one.is_registered, one.message) for one in found.history] == [
        (1, "verdict", False, REFUSED),
        (2, "verdict", False, REFUSED),
    ]
    assert len({one.job_id for one in found.history}) == 2


def test_a_neighbour_in_a_chunk_with_failures_is_registered_by_the_first_attempt(nights: Pipeline):
    (bad,) = nights.find(SOURCE, ["day/bad.jpg"])
    in_its_chunk = [
        one
        for one in nights.find(SOURCE, ["day/ok.jpg", "day/gone.jpg", "day/changed.jpg", "day/äö.jpg"])
        if one.chunk_id == bad.chunk_id
    ]

    assert in_its_chunk
    for one in in_its_chunk:
        assert [attempt.is_registered for attempt in one.history] == [True, True]


def test_an_object_is_found_by_url_by_item_and_by_the_path_below_the_prefix(nights: Pipeline):
    (by_key,) = nights.find(SOURCE, ["day/äö.jpg"])
    assert by_key.object_url is not None
    assert by_key.item_uuid is not None

    by_url, by_item = nights.find(SOURCE, [by_key.object_url, by_key.item_uuid])

    assert by_url.key == by_item.key == "day/äö.jpg"
    assert by_url.object_url == by_key.object_url
    assert by_key.object_url.endswith(quote("day/äö.jpg"))


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        pytest.param("day/OK.jpg", "day/ok.jpg", id="another case"),
        pytest.param("day/ok.jpeg", "day/ok.jpg", id="another suffix"),
        pytest.param(unicodedata.normalize("NFD", "day/äö.jpg"), "day/äö.jpg", id="another form of the same letters"),
        pytest.param("day/%C3%A4%C3%B6.jpg", "day/äö.jpg", id="percent-encoded"),
        pytest.param(" day/ok.jpg", "day/ok.jpg", id="a space before it"),
    ],
)
def test_a_key_that_is_not_there_names_the_one_that_may_be_meant(nights: Pipeline, asked: str, nearest: str):
    (found,) = nights.find(SOURCE, [asked])

    assert found.place is Place.UNKNOWN
    assert nearest in found.nearest
    assert repr(nearest) in found.explanation


def test_before_a_plan_and_before_a_listing_that_is_what_is_said(plant: Plant):
    plant.put("a.jpg")
    pipeline = plant.pipeline()

    (unlisted,) = pipeline.find(SOURCE, ["a.jpg"])
    pipeline.inventory(SOURCE)
    (unplanned,) = pipeline.find(SOURCE, ["a.jpg"])
    pipeline.plan(SOURCE)
    (pending,) = pipeline.find(SOURCE, ["a.jpg"])

    assert (unlisted.place, unplanned.place, pending.place) == (Place.UNKNOWN, Place.NOT_PLANNED, Place.PENDING)
    assert "there is no inventory yet" in unlisted.explanation
    assert unplanned.listing is not None
    assert pending.chunk_state == "planned"


def test_a_member_of_a_group_has_its_unit_and_its_position(plant: Plant):
    plant.configure(groups=[{"match": "rigs/**", "as": "image_group", "by": "directory"}])
    plant.put("rigs/1/a.jpg", "rigs/1/b.jpg")
    plant.pipeline().sync(SOURCE)

    a, b = plant.pipeline().find(SOURCE, ["rigs/1/a.jpg", "rigs/1/b.jpg"])

    assert (a.unit_position, b.unit_position) == (0, 1)
    assert a.unit_id == b.unit_id
    assert a.unit_key is not None
    assert a.item_uuid is not None
    assert [one.key for one in plant.pipeline().find(SOURCE, [a.item_uuid])] == ["rigs/1/a.jpg", "rigs/1/b.jpg"]


class CountingStore(LocalStateStore):
    """Counts which files are opened."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.opened: Counter[str] = Counter()

    def open(self, name: str):
        self.opened[name] += 1
        return super().open(name)


@pytest.fixture(scope="module")
def many_parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[CountingStore, tuple[Part, ...]]:
    """128 sorted parts of 64 rows, whose keys are even numbers."""
    store, parts, rows = CountingStore(tmp_path_factory.mktemp("parts")), 128, 64
    files = FileSet(store, "fleet/inventory/20261121T020000Z/")
    with ParquetPartWriter(files, INVENTORY_SCHEMA, rows_per_part=rows, rows_per_group=16) as writer:
        keys = [f"{2 * number:08d}" for number in range(parts * rows)]
        now = [utc_now() - timedelta(days=1)] * len(keys)
        writer.write(inventory_batch(keys=keys, sizes=[1] * len(keys), last_modified=now))
        return store, writer.finish()


def test_the_keys_below_a_prefix_are_counted_across_parts_and_no_further_than_wanted(tmp_path: Path):
    store = LocalStateStore(tmp_path)
    keys = [f"{folder}/{number:03d}" for folder in "abc" for number in range(100)]
    files = FileSet(store, "fleet/inventory/20261121T020000Z/")
    with ParquetPartWriter(files, INVENTORY_SCHEMA, rows_per_part=64, rows_per_group=16) as writer:
        writer.write(inventory_batch(keys=keys, sizes=[1] * 300, last_modified=[utc_now()] * 300))
        parts = writer.finish()
    now = utc_now()
    rows = KeyedRows(store, read_snapshot(store, "fleet"))
    vars(rows)["inventory"] = Inventory(
        inventory_id="20261121T020000Z",
        source="fleet",
        objects=300,
        bytes=300,
        parts=parts,
        requests=1,
        listing="a directory",
        digest="",
        started_at=now,
        finished_at=now,
    )

    assert rows.below("b/", 1000) == (["b/000", "b/001", "b/002"], 100)
    assert rows.below("c/", 1000)[1] == 100
    assert rows.below("b/", 40)[1] < 100
    assert rows.below("bb/", 1000) == ([], 0)


@pytest.mark.parametrize("place", [0, 1, 63, 64, 4095, 8190, 8191], ids=str)
def test_of_many_parts_a_few_are_opened_for_a_key_and_it_is_found_exactly_if_it_is_there(
    many_parts: tuple[CountingStore, tuple[Part, ...]], place: int
):
    store, parts = many_parts
    store.opened.clear()
    reader = GroupReader(["key"])

    there = [key for table in reader.find(store, parts, f"{2 * place:08d}") for key in table.column("key").to_pylist()]
    opened = sum(store.opened.values())
    beside = [
        key for table in reader.find(store, parts, f"{2 * place + 1:08d}") for key in table.column("key").to_pylist()
    ]

    assert f"{2 * place:08d}" in there
    assert len(there) == 16
    assert f"{2 * place + 1:08d}" not in beside
    assert 0 < opened < 10
