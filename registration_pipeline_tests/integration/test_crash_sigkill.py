"""A process that is killed for real, again and again, and run again until it is done; with single images and with groups."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.values import Effect, Fault
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import ChunkState
from registration_pipeline_tests.doses import DOSES, IS_SOAK
from registration_pipeline_tests.integration import crash_child

if TYPE_CHECKING:
    from registration_pipeline_tests.integration.conftest import MakeSandboxFleet, SandboxFleet

pytestmark = pytest.mark.slow

CHILD = Path(crash_child.__file__)
ENDS_SECONDS = 300


def mixed_fleet(
    sandbox_fleet: MakeSandboxFleet, *, singles: int, rigs: int, chunk_units: int, job_seconds: float
) -> SandboxFleet:
    """Make a fleet of single images and of image groups of three."""
    keys = [f"raw/é +%{number:05d}.jpg" for number in range(singles)]
    keys += [f"raw/rigs/{number:05d}/cam {place}.jpg" for number in range(rigs) for place in (1, 2, 10)]
    rules = {
        "groups": [{"match": "rigs/**", "as": "image_group", "by": "directory"}],
        "chunk_size": dict.fromkeys(("images", "image_groups"), chunk_units),
    }
    return sandbox_fleet(keys=keys, rules=rules, job_seconds=job_seconds)


def start_child(fleet: SandboxFleet, *arguments: str) -> subprocess.Popen[str]:
    sandbox = fleet.sandbox
    command = [sys.executable, str(CHILD), fleet.store.uri, sandbox.url, str(sandbox.private_key_path), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def killed_child(fleet: SandboxFleet, *arguments: str) -> bool:
    """Run a process that kills itself; return whether it did."""
    with start_child(fleet, *arguments) as child:
        return child.wait(timeout=ENDS_SECONDS) == -signal.SIGKILL


def run_again(fleet: SandboxFleet) -> None:
    """Do in this process what the next one does: of the killed one it knows nothing but the state, and starts in no time."""
    crash_child.main(fleet.store.uri, fleet.sandbox.url, str(fleet.sandbox.private_key_path))


def states(fleet: SandboxFleet) -> set[ChunkState]:
    journal = Journal(fleet.store, "fleet")
    return {journal.progress(chunk.chunk_id).state for chunk in fleet.chunks}


POINTS = {
    "between intent and start": (("after", "-intent"), ChunkState.INTENDED),
    "between start and job id": (("start", ""), ChunkState.INTENDED),
    "between job id and verdict": (("after", "-job"), ChunkState.SUBMITTED),
    "before the intent": (("before", "-intent"), ChunkState.PLANNED),
    "before the job id is written": (("before", "-job"), ChunkState.INTENDED),
    "between outcomes and verdict": (("before", "-closed"), ChunkState.SUBMITTED),
    "after the verdict": (("after", "-closed"), ChunkState.SUCCEEDED),
}
NUMBERS = {"groups": "1", "singles": "3"}
KILLS = [
    pytest.param(*kill, NUMBERS[units], id=f"{point}, {units}")
    for place, (point, kill) in enumerate(POINTS.items())
    for units in (NUMBERS if IS_SOAK else [list(NUMBERS)[place % 2]])
]
"""At each point, in turn in a chunk of groups and in one of singles; in soak in both."""


@pytest.mark.soak
@pytest.mark.parametrize(("arguments", "left", "number"), KILLS)
def test_killed_at_a_named_point_and_run_again(
    sandbox_fleet: MakeSandboxFleet, arguments: tuple[str, str], left: ChunkState, number: str
):
    """Of the four chunks two are of groups, and they come first."""
    fleet = mixed_fleet(sandbox_fleet, singles=4, rigs=4, chunk_units=2, job_seconds=0.1)

    assert killed_child(fleet, *arguments, number)
    assert left in states(fleet)
    run_again(fleet)

    fleet.assert_exactly_once()


@pytest.mark.parametrize("units", ["singles", "rigs"])
@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        pytest.param(("after", "-split"), ChunkState.SPLIT, id="between the split and its first part"),
        pytest.param(("after", "-a/0001-intent"), ChunkState.SPLIT, id="between intent and start of a part"),
        pytest.param(("before", "-b/0001-closed"), ChunkState.SPLIT, id="before the verdict of the last part"),
    ],
)
def test_killed_while_a_chunk_is_submitted_in_parts(
    sandbox_fleet: MakeSandboxFleet, arguments: tuple[str, str], left: ChunkState, units: str
):
    counts = {"singles": 0, "rigs": 0, units: 8}
    fleet = mixed_fleet(sandbox_fleet, **counts, chunk_units=8, job_seconds=0.1)
    fleet.sandbox.script(Fault(effect=Effect.STATUS, status=413, endpoint=Endpoint.START_JOB))

    assert killed_child(fleet, *arguments, "1")
    assert left in states(fleet)
    run_again(fleet)

    fleet.assert_exactly_once()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_the_end_of_an_attempt_whose_start_was_lost(sandbox_fleet: MakeSandboxFleet, moment: str):
    """Not one unit came through, so the attempt is closed as lost and followed by another."""
    fleet = sandbox_fleet(objects=2, images=2, job_seconds=0.1)
    fleet.sandbox.script(Fault(effect=Effect.CUT, endpoint=Endpoint.START_JOB))

    assert killed_child(fleet, moment, "0001-closed", "1")
    assert states(fleet) == {ChunkState.INTENDED if moment == "before" else ChunkState.PLANNED}
    run_again(fleet)

    fleet.assert_exactly_once()


@pytest.mark.soak
def test_killed_at_random_moments_and_run_again_until_done(sandbox_fleet: MakeSandboxFleet):
    fleet = mixed_fleet(sandbox_fleet, singles=20, rigs=20, chunk_units=2, job_seconds=0.5)
    moments = random.Random(20261121)
    kills = 0
    for _ in range(DOSES.kill_moments):
        with start_child(fleet) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0.05, 0.5))
            child.kill()
            kills += child.wait(timeout=ENDS_SECONDS) == -signal.SIGKILL
    assert kills >= DOSES.kill_moments / 2
    run_again(fleet)

    assert len(fleet.chunks) == 20
    fleet.assert_exactly_once()
