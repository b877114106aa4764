"""Chunks of image groups, sequences and single images on their whole way: planner, SDK over HTTP, sandbox, verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.objects import MediaKind
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.config import ErrorFrames
from registration_pipeline.sandbox.faults.values import Effect, Fate, Fault, When
from registration_pipeline.sandbox.jobs.unit_rules import UnitRule
from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline.tracking.status import UnitCounts
from registration_pipeline.urls import object_url

if TYPE_CHECKING:
    from registration_pipeline_tests.integration.conftest import MakeSandboxFleet, SandboxFleet

pytestmark = pytest.mark.slow

RULES: dict[str, Any] = {
    "groups": [
        {"match": "rigs/**", "as": "image_group", "by": "directory"},
        {"match": "clips/**", "as": "image_sequence", "by": r"^clips/(?P<clip>[^/]+)/(?P<frame>\d+)\.png$"},
    ],
    "chunk_size": {"images": 2, "image_groups": 3, "image_sequences": 2},
}
KEYS = [
    *(f"raw/rigs/{rig} é+%/cam {number}.jpg" for rig in range(5) for number in (1, 2, 10)),
    *(f"raw/clips/{clip}/{number}.png" for clip in "abc" for number in range(1, 5)),
    *(f"raw/photo {number}.jpg" for number in range(3)),
]
UNITS = 5 + 3 + 3


def group_fleet(make: MakeSandboxFleet, **settings: Any) -> SandboxFleet:
    return make(keys=KEYS, rules=RULES, **settings)


BAD_FRAMES: list[Any] = [
    pytest.param({}, "raw/rigs/3 é+%/cam 2.jpg", id="the error lists the frame"),
    pytest.param(
        {"error_frames": ErrorFrames.ALL, "error_text_has_url": True},
        "raw/rigs/3 é+%/cam 2.jpg",
        id="the text names it",
    ),
    pytest.param({"error_frames": ErrorFrames.ALL}, "raw/rigs/3 é+%/cam 1.jpg", id="nothing says which frame it is"),
]


@pytest.mark.parametrize(("settings", "said_of"), BAD_FRAMES)
def test_one_bad_frame_fails_its_unit_and_nothing_else_until_it_is_repaired(
    sandbox_fleet: MakeSandboxFleet, settings: dict[str, Any], said_of: str
) -> None:
    fleet = group_fleet(sandbox_fleet, **settings)
    fleet.sandbox.plant(UnitRule(r"rigs/3.*cam%202\.jpg", "Could not read object: 404 Not Found"))

    results = list(fleet.register())

    (failed,) = [one for one in results if one.has_failures]
    assert (failed.chunk.kind, failed.failed_units, failed.failed_objects) == (MediaKind.IMAGE_GROUP, 1, 3)
    (row,) = source_failures(fleet.store, "fleet")
    assert (row.key, row.objects, row.reason) == ("raw/rigs/3 é+%/cam 1.jpg", 3, "not_found")
    assert row.object_url == object_url(fleet.source, said_of)
    assert row.subtask_uuid
    if settings.get("error_frames") is None:
        assert row.message == f"{said_of}: Could not read object: 404 Not Found"
    assert fleet.status().units == UnitCounts(registered=UNITS - 1, failed=1)
    fleet.sandbox.plant()
    list(fleet.register(retry_failed=True))
    fleet.assert_exactly_once()
    assert list(source_failures(fleet.store, "fleet")) == []


def test_groups_of_which_the_reply_to_the_start_was_lost_are_adopted_after_quiet(
    sandbox_fleet: MakeSandboxFleet,
) -> None:
    fleet = group_fleet(sandbox_fleet)
    fleet.sandbox.script(Fault(effect=Effect.CUT, when=When.AFTER, endpoint=Endpoint.START_JOB, times=4))

    results = list(fleet.register())

    assert sum("adopted after" in (one.message or "") for one in results) >= 3
    fleet.assert_exactly_once()


def test_groups_that_a_job_does_not_name_are_proven_by_the_folder(sandbox_fleet: MakeSandboxFleet) -> None:
    fleet = group_fleet(sandbox_fleet)
    fleet.sandbox.script(Fault(effect=Effect.JOB, fate=Fate.UNNAMED, times=len(fleet.chunks)))

    results = list(fleet.register())

    assert sum(one.registered_units for one in results) == UNITS
    fleet.assert_exactly_once()
