"""Audits of units of 1 to 50 objects: each unit is one row, which names the object that it is about."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.ids import objects_digest
from registration_pipeline.objects import MediaKind
from registration_pipeline.tracking.journal.states import JournalEvent, JournalEventKind
from registration_pipeline_tests.planned_units import (
    Group,
    change_bucket,
    changes,
    few_examples,
    make_world,
    plan_groups,
    worlds,
)


@few_examples
@given(drawn=worlds, changes=changes, missing=st.lists(st.integers(0, 5), max_size=3))
def test_an_audit_reports_every_unit_once_and_names_its_object(
    new_fleet: Any, auditor_of: Any, drawn: dict[str, Any], changes: list[tuple[str, float]], missing: list[int]
) -> None:
    world = make_world(new_fleet, drawn)
    fleet, auditor = world.fleet, auditor_of(world.fleet)
    fleet.register()
    before = auditor.audit()
    changed = change_bucket(world, changes)
    fleet.take_inventory()
    lost = {world.groups[number % len(world.groups)] for number in missing} & set(world.registered)
    for group in lost:
        auditor.remove(group.name)

    rows = auditor.rows()

    assert before.is_clean
    assert (before.units, before.objects) == (len(world.groups), sum(len(group.keys) for group in world.groups))
    assert before.registered_units == before.items == len(world.registered)
    assert before.registered_objects == sum(len(group.keys) for group in world.registered)
    expected = Counter(("missing", group.keys[0], group.unit_id) for group in lost)
    for group in world.registered:
        gone = sorted(set(group.keys) - fleet.objects.keys())
        differing = sorted(set(group.keys) & changed)
        expected.update(("gone", key, group.unit_id) for key in gone[:1])
        expected.update(("changed", key, group.unit_id) for key in differing[:1])
    assert Counter((row.finding, row.key, row.unit_id) for row in rows) == expected


@few_examples
@given(drawn=worlds)
def test_a_lost_state_is_rebuilt_from_the_folder_unit_by_unit(
    new_fleet: Any, auditor_of: Any, drawn: dict[str, Any]
) -> None:
    world = make_world(new_fleet, drawn | {"failing": []})
    fleet, auditor = world.fleet, auditor_of(world.fleet)
    fleet.register()
    for name in list(fleet.store.names("")):
        fleet.store.delete(name)
    plan_groups(fleet, world.groups, chunk_units=drawn["chunk_units"])

    found = auditor.rows()
    report = auditor.audit(adopt=True)

    assert sorted((row.finding, row.key) for row in found) == sorted(
        ("unknown", group.keys[0]) for group in world.groups
    )
    assert (report.units, report.registered_units) == (len(world.groups), 0)
    assert report.is_clean
    assert report.adopted_chunks == len(fleet.chunks)
    assert fleet.status().units.registered == len(world.groups)
    fleet.assert_exactly_once()


def test_a_chunk_of_groups_of_which_some_units_are_there_is_not_whole(new_fleet: Any, auditor_of: Any) -> None:
    groups = [
        Group(MediaKind.IMAGE_GROUP, f"rig {n}", tuple(f"raw/{n}-{member}.jpg" for member in range(3)))
        for n in range(3)
    ]
    fleet = new_fleet()
    plan_groups(fleet, groups)
    fleet.encord.fails = lambda url: None if "/0-" in url else "403"
    fleet.register()
    (chunk,) = fleet.chunks
    give_up_an_attempt(fleet, chunk.chunk_id)
    fleet.encord.fails = lambda _: None
    auditor = auditor_of(fleet)
    urls = [entry.object_url for entry in fleet.units()[1].objects]
    auditor.add(None, unit_id=groups[1].unit_id, name="rig 1", objects=objects_digest(urls))

    report = auditor.audit()

    # One unit is registered and one more is in the folder: two of three, though the registered one has three objects.
    assert (report.registered_units, report.findings["unknown"], report.partly_present) == (1, 1, 1)


def give_up_an_attempt(fleet: Any, chunk_id: str) -> None:
    """Let a second attempt begin and stay without an answer, as when the process is killed in the middle of it."""
    for kind in (JournalEventKind.INTENT, JournalEventKind.LOST):
        fleet.journal.append(JournalEvent(kind=kind, chunk_id=chunk_id, attempt=2, at=fleet.time.clock()))
