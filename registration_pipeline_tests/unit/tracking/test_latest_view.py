"""Counting over an inventory that no one has planned yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import MemoryStore

from registration_pipeline.errors import StateConflictError, StateNotFoundError
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline.tracking.latest_view import StoreOverlay, view_of_latest
from registration_pipeline.tracking.snapshot import read_snapshot
from registration_pipeline.tracking.status import source_status

if TYPE_CHECKING:
    from pathlib import Path


def test_a_first_inventory_without_a_plan_is_counted(new_fleet: Any):
    fleet = new_fleet(exclude=["c.*"]).put("raw/a.jpg", "raw/c.jpg").put("raw/b.jpg", size=0)
    fleet.take_inventory()

    with view_of_latest(fleet.store, fleet.source, read_snapshot(fleet.store, "fleet")) as (view, snapshot):
        status = source_status(view, "fleet", snapshot)
        rejected = [row.key for row in source_failures(view, "fleet", snapshot)]

    assert (status.objects, status.excluded, status.rejected, status.pending) == (3, 1, 1, 1)
    assert rejected == ["raw/b.jpg"]
    assert fleet.status().objects == 0


def test_a_later_inventory_is_counted_with_what_is_registered_already(fleet_of: Any):
    fleet = fleet_of("a.jpg", "b.jpg")
    fleet.register()
    del fleet.objects["raw/b.jpg"]
    fleet.put("raw/a.jpg", e_tag="new").put("raw/c.jpg")
    fleet.take_inventory()
    before = list(fleet.store.names(""))

    with view_of_latest(fleet.store, fleet.source, read_snapshot(fleet.store, "fleet")) as (view, snapshot):
        seen = source_status(view, "fleet", snapshot)

    assert (seen.objects, seen.registered, seen.pending, seen.changed, seen.deleted) == (2, 1, 1, 1, 1)
    assert list(fleet.store.names("")) == before
    fleet.plan()
    assert seen.as_json() | {"last_sync_at": None} == fleet.status().as_json() | {"last_sync_at": None}


def test_a_planned_inventory_is_counted_in_the_state_itself(fleet_of: Any, new_fleet: Any):
    fleet, empty = fleet_of("a.jpg"), new_fleet()

    for one in (fleet, empty):
        snapshot = read_snapshot(one.store, "fleet")
        with view_of_latest(one.store, one.source, snapshot) as seen:
            assert seen == (one.store, snapshot)


@pytest.fixture
def overlay(tmp_path: Path) -> StoreOverlay:
    below = BucketStateStore(MemoryStore(), "memory://state")
    below.create("fleet/a/1.json", b"below")
    overlay = StoreOverlay(below, LocalStateStore(tmp_path / "above"))
    overlay.create("fleet/b/1.json", b"above")
    return overlay


def test_an_overlay_reads_both_states_and_writes_to_the_upper_one(overlay: StoreOverlay):
    assert (overlay.read("fleet/a/1.json"), overlay.read("fleet/b/1.json")) == (b"below", b"above")
    assert list(overlay.names("fleet/")) == ["fleet/a/1.json", "fleet/b/1.json"]
    assert overlay.folders("fleet/") == ["a", "b"]
    assert overlay.exists("fleet/a/1.json")
    assert not overlay.exists("fleet/c/1.json")
    assert overlay.open("fleet/b/1.json").read() == b"above"
    with overlay.local_file("fleet/a/1.json") as path:
        assert path.read_bytes() == b"below"
    with pytest.raises(StateNotFoundError):
        overlay.read("fleet/c/1.json")


@pytest.mark.parametrize("name", ["fleet/a/1.json", "fleet/b/1.json"], ids=["below", "above"])
def test_a_name_that_either_state_has_is_in_use(overlay: StoreOverlay, tmp_path: Path, name: str):
    (tmp_path / "file").write_bytes(b"x")

    with pytest.raises(StateConflictError):
        overlay.create(name, b"x")
    with pytest.raises(StateConflictError):
        overlay.create_from_file(name, tmp_path / "file")


def test_an_overlay_deletes_nothing_of_the_lower_state(overlay: StoreOverlay):
    overlay.delete("fleet/a/1.json")
    overlay.delete("fleet/b/1.json")

    assert list(overlay.names("fleet/")) == ["fleet/a/1.json"]
