"""Units of 1 to 50 objects on their whole way: plan, manifest, registration, verdicts, failure log and status.

Every number is compared with what a model says that knows nothing but the units, their keys and what was done to them.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given

from registration_pipeline.limits import ENVELOPE_BYTES
from registration_pipeline.manifest.canonical import is_canonical_and_valid
from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.manifest.validate import find_violations
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.unit_size import bytes_around_units, unit_bytes
from registration_pipeline.planning.wave import read_chunk_units
from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline.tracking.repairs import repaired_chunks
from registration_pipeline.tracking.snapshot import read_snapshot
from registration_pipeline.tracking.status import UnitCounts, chunk_statuses
from registration_pipeline_tests.planned_units import (
    Group,
    change_bucket,
    changes,
    few_examples,
    make_world,
    plan_groups,
    worlds,
)

pytestmark = pytest.mark.slow  # each unit has thousands of objects


@few_examples
@given(drawn=worlds)
def test_every_unit_ends_with_one_verdict_for_all_its_objects(new_fleet: Any, drawn: dict[str, Any]) -> None:
    world = make_world(new_fleet, drawn)
    fleet = world.fleet
    url_of = {entry.key: entry.object_url for unit in fleet.units() for entry in unit.objects}

    results = fleet.register()

    fleet.assert_exactly_once(failing={url_of[key] for group in world.failed for key in group.keys})
    assert sum(result.registered_units for result in results) == len(world.registered)
    assert sum(result.failed_units for result in results) == len(world.failed)
    assert sum(result.registered_objects for result in results) == sum(len(group.keys) for group in world.registered)
    assert sum(result.failed_objects for result in results) == sum(len(group.keys) for group in world.failed)
    reasons = sum((Counter(result.reasons) for result in results), Counter[str]())
    assert reasons == ({"invalid_file": len(world.failed)} if world.failed else {})
    items = {(outcome.unit_id, outcome.item_uuid) for outcome in fleet.outcomes()}
    assert len(items) == len(world.groups)


@few_examples
@given(drawn=worlds)
def test_a_manifest_is_valid_at_one_glance_and_as_large_as_was_counted(new_fleet: Any, drawn: dict[str, Any]) -> None:
    world = make_world(new_fleet, drawn)

    for chunk in world.fleet.chunks:
        units = read_chunk_units(world.fleet.store, "fleet", chunk)
        data = render_manifest(chunk.chunk_id, units)
        counted = sum(
            unit_bytes(
                unit.kind,
                chunk_id_bytes=len(chunk.chunk_id),
                title=unit.title,
                url_bytes=sum(len(entry.object_url) for entry in unit.objects),
                objects=len(unit.objects),
            )
            for unit in units
        )
        assert find_violations(data) == []
        assert is_canonical_and_valid(data)
        assert len(json.dumps(json.loads(data))) + ENVELOPE_BYTES == counted + bytes_around_units(chunk.kind)


@few_examples
@given(drawn=worlds, changes=changes)
def test_status_and_failure_log_count_units_and_objects_after_any_change_of_the_bucket(
    new_fleet: Any, drawn: dict[str, Any], changes: list[tuple[str, float]]
) -> None:
    world = make_world(new_fleet, drawn)
    fleet = world.fleet
    pending = fleet.status()
    fleet.register()
    changed = change_bucket(world, changes)

    fleet.sync()

    status, registered, failed = fleet.status(), world.left(world.registered), world.left(world.failed)
    assert (pending.units.pending, pending.pending) == (len(world.groups), sum(len(g.keys) for g in world.groups))
    assert status.adds_up
    assert (status.registered, status.failed) == (sum(map(len, registered)), sum(map(len, failed)))
    assert (status.units.registered, status.units.failed, status.units.pending) == (len(registered), len(failed), 0)
    assert status.changed == len(changed & {key for keys in registered for key in keys})
    counted = {"registered": len(registered), "pending": 0, "failed": len(failed)}
    counted["changed"] = sum(bool(changed & set(keys)) for keys in registered)
    counted["deleted"] = sum(any(key not in fleet.objects for key in group.keys) for group in world.registered)
    assert status.as_json()["units"] == counted
    rows = list(source_failures(fleet.store, "fleet"))
    assert sorted((row.key, row.objects) for row in rows) == sorted((keys[0], len(keys)) for keys in failed)
    assert len({row.unit_id for row in rows}) == len(rows)


@few_examples
@given(drawn=worlds, changes=changes)
def test_pending_units_are_those_of_which_the_bucket_still_holds_an_object(
    new_fleet: Any, drawn: dict[str, Any], changes: list[tuple[str, float]]
) -> None:
    world = make_world(new_fleet, drawn)
    change_bucket(world, changes)

    world.fleet.sync()

    status, left = world.fleet.status(), world.left(world.groups)
    assert (status.pending, status.units.pending) == (sum(map(len, left)), len(left))


@pytest.mark.parametrize("starts", [["lose_reply"], ["lose_request"]], ids=["reply", "request"])
@few_examples
@given(drawn=worlds)
def test_units_of_many_objects_are_registered_once_though_a_start_is_in_doubt(
    new_fleet: Any, drawn: dict[str, Any], starts: list[str]
) -> None:
    world = make_world(new_fleet, drawn | {"failing": []})
    world.fleet.encord.starts = list(starts)

    world.fleet.register()

    world.fleet.assert_exactly_once()


@few_examples
@given(drawn=worlds)
def test_failed_units_are_registered_once_by_a_retry(new_fleet: Any, drawn: dict[str, Any]) -> None:
    world = make_world(new_fleet, drawn)
    world.fleet.register()
    world.fleet.encord.fails = lambda _: None

    world.fleet.register(retry_failed=True)

    world.fleet.assert_exactly_once()
    assert list(source_failures(world.fleet.store, "fleet")) == []


def test_a_failed_unit_is_repaired_when_any_of_its_objects_was_written_since(new_fleet: Any) -> None:
    fleet = new_fleet()
    groups = [
        Group(MediaKind.IMAGE_GROUP, name, (f"raw/{name}1.jpg", f"raw/{name}2.jpg", f"raw/{name}3.jpg"))
        for name in "abc"
    ]
    plan_groups(fleet, groups, chunk_units=1)
    fleet.encord.fails = lambda url: "could not decode" if url.endswith("2.jpg") and "c2" not in url else None
    fleet.register()
    fleet.time.sleep(60)
    fleet.put("raw/a3.jpg", "raw/c1.jpg", e_tag="another")
    del fleet.objects["raw/b2.jpg"]
    fleet.sync()

    snapshot = read_snapshot(fleet.store, "fleet")
    statuses = chunk_statuses(fleet.store, "fleet", snapshot)
    repaired = repaired_chunks(fleet.store, snapshot, statuses)

    assert {statuses[chunk_id].chunk.first_key for chunk_id in repaired} == {"raw/a1.jpg"}
    units = fleet.status().units
    assert (units.registered, units.failed, units.changed, units.deleted) == (1, 2, 1, 0)


def test_a_unit_counts_as_deleted_once_however_many_of_its_objects_are_gone(new_fleet: Any) -> None:
    fleet = new_fleet()
    keys = {name: tuple(f"raw/{name}{n}.jpg" for n in range(3)) for name in "abcd"}
    plan_groups(fleet, [Group(MediaKind.DICOM_SERIES, name, keys[name]) for name in "abcd"], chunk_units=3)
    fleet.register()
    for key in ("raw/a0.jpg", "raw/a1.jpg", *keys["b"], *keys["d"]):
        del fleet.objects[key]
    fleet.sync()

    status = fleet.status()

    assert (status.registered, status.deleted) == (4, 8)
    assert status.units == UnitCounts(registered=2, pending=0, failed=0, changed=0, deleted=3)


def test_held_objects_are_pending_units_of_many_objects_or_of_one(new_fleet: Any) -> None:
    groups = [{"match": "rigs/**", "as": "image_group", "by": "directory"}]
    fleet = new_fleet(groups=groups, min_age_seconds=3600)
    fleet.put(*(f"raw/rigs/{rig}/{number}.jpg" for rig in "ab" for number in range(5)), "raw/c.jpg", "raw/d.jpg")

    young = fleet.sync().status()
    fleet.time.sleep(7200)
    old = fleet.sync().status()

    assert (young.pending, young.units) == (12, UnitCounts(pending=4))
    assert (old.pending, old.units) == (12, UnitCounts(pending=4))
    fleet.register()
    assert (fleet.status().registered, fleet.status().units) == (12, UnitCounts(registered=4))
