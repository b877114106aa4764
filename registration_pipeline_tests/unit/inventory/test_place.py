"""What is listed in one place is neither planned nor read where the source is another place by now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import MemoryStore

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.inventory.inventory import latest_inventory, take_inventory
from registration_pipeline.inventory.key_ranges.commit import commit_listing
from registration_pipeline.inventory.key_ranges.listing import begin_listing, list_range
from registration_pipeline.inventory.place import UNKNOWN_PLACE, ListedPlace
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline_tests.unit.inventory.key_ranges.keys_lister import KeysLister

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.inventory.inventory import Inventory

LISTER = KeysLister(["a", "b", "c"], ["a", "b"], description="what was listed")


def source_at(uri: str, **storage: Any) -> SourceSettings:
    return SourceSettings.model_validate({"name": "fleet", "uri": uri, "storage": storage})


def noon() -> datetime:
    return datetime(2026, 11, 28, 12, tzinfo=UTC)


def at_once(store: BucketStateStore, place: ListedPlace) -> None:
    take_inventory(lister=LISTER, store=store, source="fleet", clock=noon, place=place)


def in_key_ranges(store: BucketStateStore, place: ListedPlace) -> None:
    division = begin_listing(
        lister=LISTER, store=store, source="fleet", ranges=2, runs=["run"], clock=noon, least_objects=1, place=place
    )
    for number in range(division.ranges):
        list_range(
            lister=LISTER,
            store=store,
            source="fleet",
            inventory_id=division.inventory_id,
            number=number,
            listed_in=division.listed_in,
        )
    commit_listing(store=store, source="fleet", runs=["run"], clock=noon)


@pytest.fixture(params=[at_once, in_key_ranges], ids=["at once", "in key ranges"])
def taken(request: pytest.FixtureRequest) -> Callable[[ListedPlace], Inventory]:
    """Return what takes an inventory, and reads it from the state."""

    def take(place: ListedPlace) -> Inventory:
        store = BucketStateStore(MemoryStore(), "memory://state")
        request.param(store, place)
        inventory = latest_inventory(store, "fleet")
        assert inventory is not None
        return inventory

    return take


ONE = "s3://one/raw/"
NEAR: dict[str, Any] = {"endpoint_url": "http://127.0.0.1:1"}
FAR: dict[str, Any] = {"endpoint_url": "http://127.0.0.1:2"}
LONDON: dict[str, Any] = {"region": "eu-west-2"}
MOVED = {
    "another bucket": (source_at(ONE, **LONDON), source_at("s3://two/raw/", **LONDON), "uri"),
    "another prefix": (source_at(ONE, **LONDON), source_at("s3://one/raw/day/", **LONDON), "uri"),
    "a prefix that ends elsewhere": (source_at(ONE, **LONDON), source_at("s3://one/raw", **LONDON), "uri"),
    "another kind of store": (source_at(ONE, **LONDON), source_at("gs://one/raw/"), "uri"),
    "another directory": (source_at("file:///data/one/"), source_at("file:///data/two/"), "uri"),
    "another server": (source_at(ONE, **NEAR), source_at(ONE, **FAR), "storage"),
    "Amazon's instead of a server": (source_at(ONE, **NEAR), source_at(ONE, **LONDON), "storage"),
}
STAYED = {
    "the same": (source_at(ONE, **LONDON), source_at(ONE, **LONDON)),
    "another region of Amazon's": (source_at(ONE, **LONDON), source_at(ONE, region="eu-west-1")),
    "the same directory, in another writing": (source_at("file:///data/one/"), source_at("file:///data/one")),
    "another way to list": (source_at(ONE, **LONDON), source_at(ONE, **LONDON, versions=True, concurrency=1)),
}


@pytest.mark.parametrize(("before", "now", "key"), MOVED.values(), ids=MOVED)
def test_an_inventory_is_refused_where_the_source_is_another_place(
    taken: Callable[[ListedPlace], Inventory], before: SourceSettings, now: SourceSettings, key: str
) -> None:
    inventory = taken(ListedPlace.of(before))

    with pytest.raises(ConfigurationError, match=rf"sources\.fleet\.{key}: the source was changed since") as refused:
        inventory.require_place_of(now)

    said = str(refused.value)
    assert f"Listed: {before.uri}" in said
    assert f"Now: {now.uri}" in said
    assert "run `registration-pipeline inventory fleet` again" in said


@pytest.mark.parametrize(("before", "now"), STAYED.values(), ids=STAYED)
def test_an_inventory_counts_where_the_source_is_the_same_place(
    taken: Callable[[ListedPlace], Inventory], before: SourceSettings, now: SourceSettings
) -> None:
    inventory = taken(ListedPlace.of(before))

    assert inventory.require_place_of(now) is inventory


def test_an_inventory_of_an_earlier_version_does_not_say_its_place_and_counts(
    taken: Callable[[ListedPlace], Inventory],
) -> None:
    inventory = taken(UNKNOWN_PLACE)

    assert not {"uri", "listed_in"} & inventory.to_json().keys()
    assert inventory.require_place_of(source_at(ONE, **LONDON)) is inventory
