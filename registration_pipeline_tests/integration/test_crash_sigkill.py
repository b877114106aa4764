"""A process that is killed for real, again and again, and run again until it is done."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from registration_pipeline.tracking.journal import Journal
from registration_pipeline.tracking.states import ChunkState

pytestmark = pytest.mark.slow

CHILD = Path(__file__).with_name("crash_child.py")


def start_child(fleet: Any, *arguments: str) -> subprocess.Popen[str]:
    sandbox = fleet.sandbox
    command = [sys.executable, str(CHILD), fleet.store.uri, sandbox.url, str(sandbox.private_key_path), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def run_child(fleet: Any, *arguments: str) -> int:
    """Return the exit status; minus nine for a process that was killed."""
    with start_child(fleet, *arguments) as child:
        return child.wait(timeout=120)


def states(fleet: Any) -> set[ChunkState]:
    return {progress.state for progress in Journal(fleet.store, "fleet").all_progress()}


@pytest.mark.parametrize("number", ["1", "3"])
@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        pytest.param(("after", "-intent"), ChunkState.INTENDED, id="between intent and start"),
        pytest.param(("start", ""), ChunkState.INTENDED, id="between start and job id"),
        pytest.param(("after", "-job"), ChunkState.SUBMITTED, id="between job id and verdict"),
        pytest.param(("before", "-verdict"), ChunkState.SUBMITTED, id="between outcomes and verdict"),
    ],
)
def test_killed_at_a_named_point_and_run_again(sandbox_fleet: Any, arguments: Any, left: ChunkState, number: str):
    fleet = sandbox_fleet(objects=8, images=2, job_seconds=0.1)

    assert run_child(fleet, *arguments, number) == -signal.SIGKILL
    assert left in states(fleet)
    assert run_child(fleet) == 0

    fleet.assert_exactly_once()


def test_killed_at_fifteen_random_moments_and_run_again_until_done(sandbox_fleet: Any):
    fleet = sandbox_fleet(objects=40, images=2, job_seconds=0.5)
    moments = random.Random(20261121)
    kills = 0
    for _ in range(15):
        with start_child(fleet) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0.05, 0.5))
            child.kill()
            kills += child.wait(timeout=60) == -signal.SIGKILL
    assert kills >= 8
    assert run_child(fleet) == 0

    assert len(fleet.chunks) == 20
    fleet.assert_exactly_once()
