"""The whole process group of a sync is killed many times, at any stage: everything is registered once all the same."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.inventory.inventory import latest_inventory
from registration_pipeline.planning.wave import load_waves
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.random_profile import RandomFaults
from registration_pipeline.sandbox.faults.values import LOST_EVIDENCE, Kind
from registration_pipeline.tracking.journal.states import ChunkState
from registration_pipeline.tracking.status import chunk_statuses
from registration_pipeline_tests.doses import DOSES
from registration_pipeline_tests.e2e.command_project import SOURCE, CommandProject, configure, open_sandbox

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(1800)]

KILLS = DOSES.kills
FEW = KILLS // 6
"""Kills at a moment drawn from the whole run; the others fall soon after it has reached a stage that is drawn, or half of them
would hit the start of the interpreter."""

STAGES = (
    "inventory_writers/*.json",
    "inventory/*/_SUCCESS.json",
    "plan/*/_SUCCESS.json",
    "manifests/*.json",
    "journal/*/*-intent.json",
    "journal/*/*-job.json",
    "journal/*/*-closed.json",
)
"""A run has reached a stage when there is one more of these files below the source's state."""

LIES = RandomFaults(
    probability=0.2,
    seed=1,
    kinds=tuple(Kind(f"job_{fate}") for fate in LOST_EVIDENCE),
    endpoints=(Endpoint.START_JOB,),
    unit_failures=1,
)
"""One job of five does not say what became of its units."""

SOON = 0.4
"""Seconds after a stage was reached, at most."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandProject]:
    chunk_size = {"images": 5, "videos": 5}
    configure(tmp_path, chunk_size=chunk_size, max_in_flight=8, settle_seconds=1, max_attempts=KILLS)
    with open_sandbox(tmp_path, monkeypatch, job_seconds=0.3, workers=8) as sandbox:
        yield CommandProject(tmp_path, sandbox)


def reached(project: CommandProject, stage: str) -> set[str]:
    return {str(path) for path in (project.root / "state" / SOURCE).glob(stage)}


def wait_until_reached(project: CommandProject, process: subprocess.Popen[str], stage: str, before: set[str]) -> None:
    while process.poll() is None and reached(project, stage) <= before:
        time.sleep(0.03)


def stage(project: CommandProject, known: str | None) -> str:
    """Where the state says that a run was killed."""
    store = project.store
    inventory = latest_inventory(store, SOURCE)
    if inventory is None or inventory.inventory_id == known:
        return "before the inventory was there"
    waves = load_waves(store, SOURCE)
    if not waves or waves[-1].inventory_id != inventory.inventory_id:
        return "between inventory and plan"
    states = {status.progress.state for status in chunk_statuses(store, SOURCE).values()}
    if ChunkState.INTENDED in states:
        return "with a start under way"
    if ChunkState.SUBMITTED in states:
        return "with jobs under way"
    return "between plan and submission" if ChunkState.PLANNED in states else "after the last verdict"


def test_many_kills_of_the_whole_process_group_lose_nothing_and_double_nothing(
    project: CommandProject, note_line: Callable[[str], None]
):
    moments = random.Random(20261121)
    project.put("first.jpg")
    began = time.monotonic()
    assert project.sync().status == 0
    longest = 1.3 * (time.monotonic() - began)
    project.sandbox.randomise(LIES)

    stages: Counter[str] = Counter()
    keys = ["first.jpg"]
    for number in range(KILLS):
        # Few enough that a run which is let live catches up: a backlog would put every kill among its jobs.
        added = [f"{number:03d}/{one}.jpg" for one in range(3)] + [f"{number:03d}/{one}.mp4" for one in range(2)]
        project.put(*added)
        keys += added
        inventory, aim = latest_inventory(project.store, SOURCE), moments.choice(STAGES)
        before = reached(project, aim)
        process = project.start("sync", "--json")
        if number >= FEW:
            wait_until_reached(project, process, aim, before)
        time.sleep(moments.uniform(0, SOON if number >= FEW else longest))
        was_killed = project.kill(process)
        where = stage(project, inventory.inventory_id if inventory else None)
        stages[where if was_killed else "not at all: it had ended"] += 1
    struck = project.sandbox.fault_counts()
    project.sandbox.clear_faults()
    statuses = [project.sync().status]
    while statuses[-1] != 0 and len(statuses) < 3:
        statuses.append(project.sync().status)

    registered = project.registered()
    urls = {f"file://{project.root}/media/{key}" for key in keys}
    doubled, lost = sum(count - 1 for count in registered.values()), len(urls - registered.keys())
    note_line(
        f"{KILLS} kills: {', '.join(f'{count} {name}' for name, count in sorted(stages.items()))}; "
        f"then {len(statuses)} sync ({statuses}): {len(keys):,} objects, {len(registered):,} registered, {doubled} "
        f"duplicates, {lost} lost; jobs that left out what became of their units: {struck}"
    )
    assert statuses[-1] == 0
    assert (set(registered), doubled, lost) == (urls, 0, 0)
    assert project.sandbox.duplicates() == {}
    project.assert_proven(len(keys))
    assert struck
    assert KILLS - stages["not at all: it had ended"] >= 0.8 * KILLS
    assert len(stages) >= 4, f"the kills fell into few stages: {stages}"
