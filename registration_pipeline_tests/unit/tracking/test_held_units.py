"""Units of which a plan waits for something are pending, each once, however many objects they have."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from registration_pipeline.planning.wave import Wave, load_waves
from registration_pipeline.tracking.snapshot import read_snapshot
from registration_pipeline.tracking.status import source_status

GROUPS = [
    {"match": "rigs/**", "as": "image_group", "by": "directory", "expect_objects": 100},
    {"match": "scans/**", "as": "dicom_series", "by": "headers"},
]


def test_a_group_that_waits_for_members_is_one_pending_unit(new_fleet: Any) -> None:
    fleet = new_fleet(groups=GROUPS, min_age_seconds=60)
    fleet.put(*(f"raw/rigs/{rig}/{number}.jpg" for rig in "ab" for number in range(99)))
    fleet.put(*(f"raw/scans/IM{number}" for number in range(3)))
    fleet.put("raw/young.jpg", "raw/younger.jpg")

    status = fleet.sync().status()

    assert status.adds_up
    assert (status.pending, status.objects) == (203, 203)
    # Two groups and two single images; which series the three objects without a header are in is not known.
    assert status.units.pending == 2 + 2 + 3


def test_a_group_that_waited_is_one_registered_unit_when_it_is_whole(new_fleet: Any) -> None:
    fleet = new_fleet(groups=GROUPS)
    fleet.put(*(f"raw/rigs/a/{number}.jpg" for number in range(99))).sync()
    waiting = fleet.status()
    fleet.put("raw/rigs/a/99.jpg").sync()
    fleet.register()

    status = fleet.status()

    assert (waiting.pending, waiting.units.pending) == (99, 1)
    assert (status.registered, status.units.registered, status.units.pending) == (100, 1, 0)


def test_of_a_wave_of_an_earlier_version_each_held_object_is_a_unit(new_fleet: Any) -> None:
    fleet = new_fleet(min_age_seconds=60).put("raw/a.jpg", "raw/b.jpg").sync()
    (wave,) = load_waves(fleet.store, "fleet")
    document = json.loads(json.dumps(wave.to_json()))
    del document["counts"]["held_units"], document["grouped_by"]

    earlier = Wave.from_json(document)

    assert (earlier.counts.held, earlier.counts.held_units, earlier.grouped_by) == (2, 0, ())
    snapshot = read_snapshot(fleet.store, "fleet")
    of_before = replace(snapshot, history=replace(snapshot.history, latest=earlier))
    assert source_status(fleet.store, "fleet", of_before).units.pending == 2
