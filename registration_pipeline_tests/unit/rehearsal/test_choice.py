"""Which objects a rehearsal chooses, and how much of a listing it reads for that."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from registration_pipeline.errors import UsageError
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.manifest.validate import validate_manifest
from registration_pipeline.objects import MediaKind
from registration_pipeline.rehearsal.choice import MOST_EXAMINED, Choice, choose_units
from registration_pipeline.rehearsal.manifests import plain_manifest, respelled_unit, with_unknown_key
from registration_pipeline.rehearsal.observations import url_of
from registration_pipeline.settings import SourceSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

AT = datetime(2026, 11, 27, 2, tzinfo=UTC)


class Listing:
    """Pages of keys with their sizes; remembers how many were asked for and whether it was closed."""

    requests = 0
    description = "a list"

    def __init__(self, pages: Sequence[Sequence[tuple[str, int]]]) -> None:
        self._pages = pages
        self.given = 0
        self.is_closed = False

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        try:
            for page in self._pages:
                self.given += 1
                rows = [{"key": f"raw/{key}", "size": size, "last_modified": AT, "e_tag": "e"} for key, size in page]
                yield pa.RecordBatch.from_pylist(rows, schema=INVENTORY_SCHEMA)
        finally:
            self.is_closed = True


def choose(pages: Sequence[Sequence[tuple[str, int]]], **settings: Any) -> tuple[Choice, Listing]:
    base: dict[str, Any] = {"name": "fleet", "uri": "s3://bucket/raw/", "storage": {"region": "eu-west-2"}}
    listing = Listing(pages)
    source = SourceSettings.model_validate(base | settings)
    return choose_units(source, listing, at=AT, token="0a1b"), listing


def images(count: int) -> list[tuple[str, int]]:
    return [(f"{number:05}.jpg", 1000 - number % 1000) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "first", "new"), [(1, 1, 0), (2, 1, 1), (4, 2, 2), (5, 3, 2), (6, 5, 1), (7, 5, 2), (50, 5, 2)]
)
def test_a_source_of_few_objects_has_fewer_of_both(count: int, first: int, new: int) -> None:
    choice, _ = choose([images(count)])

    assert (len(choice.first), len(choice.new)) == (first, new)


def test_the_smallest_objects_that_a_sync_would_send_are_chosen() -> None:
    page = [*images(50), ("empty.jpg", 0), ("thumbs/a.jpg", 1), ("table.xyz", 1)]

    choice, _ = choose([page], exclude=["thumbs/**"])

    assert [unit.objects[0].size for unit in (*choice.first, *choice.new)] == [951, 952, 953, 954, 955, 956, 957]


def test_the_most_frequent_kind_is_the_main_one_and_each_other_has_one() -> None:
    page = [*images(8), ("a.txt", 5), ("b.txt", 4), ("c.mp4", 9)]

    choice, _ = choose([page])

    assert {unit.kind for unit in (*choice.first, *choice.new)} == {MediaKind.IMAGE}
    assert sorted((unit.kind.value, unit.title) for unit in choice.others) == [
        ("text", "raw/b.txt"),
        ("videos", "raw/c.mp4"),
    ]


def test_no_more_is_listed_than_two_pages_when_they_hold_enough() -> None:
    pages = [images(1000), [(f"b-{key}", size) for key, size in images(1000)], [("z.jpg", 1)]]

    choice, listing = choose(pages)

    assert (choice.examined, listing.given, listing.is_closed) == (2000, 2, True)


def test_a_listing_without_suitable_objects_is_left_in_the_end() -> None:
    pages = [[(f"{page:03}-{number:04}.xyz", 1) for number in range(1000)] for page in range(30)]

    with pytest.raises(UsageError, match=f"first {MOST_EXAMINED:,} of its listing"):
        choose(pages)


def test_an_empty_source_says_that_it_has_nothing_to_rehearse_with() -> None:
    with pytest.raises(UsageError, match="no object that a sync would send among the first 0"):
        choose([])


@pytest.mark.parametrize("uri", ["s3://bucket/raw/", "s3://bucket/raw/cam", "s3://bucket"])
def test_the_missing_object_is_below_the_source(uri: str) -> None:
    prefix = uri.partition("bucket")[2].removeprefix("/")

    choice, _ = choose([images(7)], uri=uri)

    key = choice.missing.objects[0].key
    assert key == f"{prefix}registration-pipeline-rehearsal=0a1b.jpg"
    assert url_of(choice.missing).endswith("registration-pipeline-rehearsal%3D0a1b.jpg")


def test_no_unit_has_the_id_of_a_unit_of_the_source() -> None:
    from registration_pipeline.ids import unit_id

    choice, _ = choose([images(7)])

    own = {unit_id("fleet", unit.kind, unit.title) for unit in (*choice.first, *choice.new)}
    assert own & {unit.unit_id for unit in (*choice.first, *choice.new)} == set()


def test_the_manifests_are_valid_but_for_the_one_that_should_not_be() -> None:
    choice, _ = choose([images(7)])
    other = respelled_unit(choice.first[0])

    assert (
        list(validate_manifest(plain_manifest("rehearsal-x", (*choice.first, *choice.new, choice.missing, other))))
        == []
    )
    assert len(list(validate_manifest(with_unknown_key(plain_manifest("rehearsal-x", choice.first[:1]))))) == 1


def test_the_titles_are_those_that_a_sync_would_give() -> None:
    deep = [("deep/" * 70 + f"{number}.jpg", 7) for number in range(7)]
    choice, _ = choose([deep])
    named, _ = choose([images(1)], title="frame {path}")

    assert list(validate_manifest(plain_manifest("rehearsal-x", (*choice.first, *choice.new)))) == []
    assert [unit.title for unit in named.first] == ["frame 00000.jpg"]


def test_another_spelling_means_the_same_key() -> None:
    from urllib.parse import unquote

    choice, _ = choose([images(1)])
    other = respelled_unit(choice.first[0])

    assert url_of(other) != url_of(choice.first[0])
    assert unquote(url_of(other)) == unquote(url_of(choice.first[0]))
