"""The whole process group of a sync is killed many times, at any stage: every unit is registered once all the same.

Singles, image groups, sequences and series come with every round. Some groups grow while they are planned, others wait for a
member until the next round.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.cli.session import DONE_WITH_FAILURES
from registration_pipeline.inventory.inventory import latest_inventory
from registration_pipeline.planning.wave import load_waves
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.random_profile import RandomFaults
from registration_pipeline.sandbox.faults.values import LOST_EVIDENCE, Kind
from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline.tracking.journal.states import ChunkState
from registration_pipeline.tracking.status import chunk_statuses
from registration_pipeline_tests.doses import DOSES, STATE_PLACES
from registration_pipeline_tests.e2e.command_project import SOURCE, CommandProject, configure, open_sandbox
from registration_pipeline_tests.e2e.mixed_bucket import GROUPS, Unit, assert_registered_once, clip, rig, scan, single

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registration_pipeline_tests.state_places import StatePlace, StateServers

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(1800)]

KILLS = DOSES.kills
FEW = KILLS // 6
"""Kills at a moment drawn from the whole run; the others fall soon after it has reached a stage, or half of them would hit
the start of the interpreter. The stages take turns: how kills spread over them must not depend on how fast a store is."""

STAGES = {
    # The claim is removed when the inventory is committed, perhaps between two looks at a slow store.
    "the claim of an inventory": ("inventory_writers/*.json", "inventory/*/_SUCCESS.json"),
    "the inventory": ("inventory/*/_SUCCESS.json",),
    "a part of the plan": ("plan/*/part-*",),
    "the plan": ("plan/*/_SUCCESS.json",),
    "a manifest": ("manifests/*.json",),
    "an intent": ("journal/*/*-intent.json",),
    "a job": ("journal/*/*-job.json",),
    "a verdict": ("journal/*/*-closed.json",),
}
"""A run has reached a stage when there is one more of these files below the source's state. Each run reaches all of them,
because every round has new objects."""
AIMS = tuple(STAGES)
assert len(AIMS) <= KILLS - FEW

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


LATE = "cam_99.jpg"
"""A member that comes a round after the others of its group: in time if the group is not planned by then."""


@pytest.fixture(params=STATE_PLACES)
def place(
    request: pytest.FixtureRequest, state_servers: StateServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> StatePlace:
    """Where the state is."""
    return state_servers.place(request.param, tmp_path).use(monkeypatch)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: StatePlace) -> Iterator[CommandProject]:
    chunk_size = dict.fromkeys(("images", "image_groups", "image_sequences", "dicom_series"), 5)
    pairs = {"match": "pairs/**", "as": "image_group", "by": "directory", "expect_objects": 2}
    options: dict[str, Any] = {"chunk_size": chunk_size, "groups": [*GROUPS, pairs], "title": "{path}"}
    configure(tmp_path, max_in_flight=8, settle_seconds=1, max_attempts=KILLS, state=place.uri, **options)
    with open_sandbox(tmp_path, monkeypatch, job_seconds=0.3, workers=8) as sandbox:
        yield CommandProject(tmp_path, sandbox, place)


def pair(number: int) -> Unit:
    """Return a group of two objects that is planned only when both are there."""
    return Unit(f"pairs/{number:03d}", (f"pairs/{number:03d}/a.jpg", f"pairs/{number:03d}/b.jpg"))


def put_round(project: CommandProject, number: int) -> list[Unit]:
    """Put the objects of a round into the bucket, and return its units."""
    name = f"{number:03d}"
    added = [single(f"{name}/{one}.jpg") for one in range(2)] + [rig(name), clip(name, 3), scan(name, 2)]
    project.put(*(key for unit in added for key in unit.keys))
    added.append(pair(number))
    project.put(added[-1].keys[0])
    if number:
        project.put(pair(number - 1).keys[1])
    if number % 2:
        project.put(f"rigs/{number - 1:03d}/{LATE}")
    return added


def reached(project: CommandProject, aim: str) -> set[str]:
    """Return the files that say that a run has reached a stage."""
    return {name for pattern in STAGES[aim] for name in project.reached(pattern)}


def wait_until_reached(project: CommandProject, process: subprocess.Popen[str], aim: str, before: set[str]) -> bool:
    """Wait until a run has reached a stage, or ended; returns which."""
    while process.poll() is None:
        if not reached(project, aim) <= before:
            return True
        time.sleep(0.03)
    return False


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


def planned_units(project: CommandProject, units: list[Unit]) -> tuple[list[Unit], int]:
    """Return the units with those late members that came in time, and how many did not: only these may be rejected."""
    late = {row.key for row in source_failures(project.store, SOURCE) if row.reason == "late_member"}
    grown = {f"rigs/{number:03d}" for number in range(KILLS - 1) if number % 2 == 0} | {"rigs/first"}
    assert late <= {f"{name}/{LATE}" for name in grown}
    in_time = {name for name in grown if f"{name}/{LATE}" not in late}
    return [
        unit._replace(keys=(*unit.keys, f"{unit.title}/{LATE}")) if unit.title in in_time else unit for unit in units
    ], len(late)


def test_many_kills_of_the_whole_process_group_lose_nothing_and_double_nothing(
    project: CommandProject, place: StatePlace, note_line: Callable[[str], None]
):
    moments = random.Random(20261121)
    units = [single("first.jpg"), rig("first")]
    project.put(*(key for unit in units for key in unit.keys))
    began = time.monotonic()
    assert project.sync().status == 0
    longest = 1.3 * (time.monotonic() - began)
    project.put(f"rigs/first/{LATE}")
    project.sandbox.randomise(LIES)

    stages, hit = Counter[str](), Counter[str]()
    for number in range(KILLS):
        # Few enough that a run which is let live catches up: a backlog would put every kill among its jobs.
        units += put_round(project, number)
        turn, place_in_turn = divmod(number - FEW, len(AIMS))
        inventory, aim = latest_inventory(project.store, SOURCE), AIMS[place_in_turn]
        before = reached(project, aim)
        process = project.start("sync", "--json")
        is_reached = number >= FEW and wait_until_reached(project, process, aim, before)
        if turn:  # in the first one at once, before the run can end
            time.sleep(moments.uniform(0, SOON if number >= FEW else longest))
        was_killed = project.kill(process)
        hit[aim] += is_reached and was_killed
        where = stage(project, inventory.inventory_id if inventory else None)
        stages[where if was_killed else "not at all: it had ended"] += 1
    struck = project.sandbox.fault_counts()
    project.sandbox.clear_faults()
    project.put(pair(KILLS - 1).keys[1])
    finished = [project.sync()]
    while finished[-1].numbers["pending"] + finished[-1].numbers["failed"] and len(finished) < 3:
        finished.append(project.sync())
    statuses = [one.status for one in finished]

    registered = project.registered()
    units, late = planned_units(project, units)
    keys = [key for unit in units for key in unit.keys]
    urls = {f"file://{project.root}/media/{key}" for key in keys}
    doubled, lost = sum(count - 1 for count in registered.values()), len(urls - registered.keys())
    note_line(
        f"state on {place.name}: {KILLS} kills: {', '.join(f'{count} {name}' for name, count in sorted(stages.items()))}; "
        f"right after {', '.join(f'{name} {count}' for name, count in hit.items())}; "
        f"then {len(statuses)} sync ({statuses}): {len(keys):,} objects in {len(units):,} units, {len(registered):,} "
        f"registered, {doubled} duplicates, {lost} lost, {late} came late; jobs that left out what became of their units: "
        f"{struck}"
    )
    assert statuses[-1] == DONE_WITH_FAILURES, finished[-1].said  # late members are not registered
    assert (set(registered), doubled, lost) == (urls, 0, 0)
    assert_registered_once(project, units)
    assert project.sandbox.duplicates() == {}
    numbers = finished[-1].numbers
    assert (numbers["objects"], numbers["registered"], numbers["rejected"]) == (len(keys) + late, len(keys), late)
    project.assert_proven(len(keys), units=len(units))
    assert late, "no member came late: not even the one that came after the first sync"
    assert struck
    assert KILLS - stages["not at all: it had ended"] >= 0.8 * KILLS
    assert all(hit[aim] for aim in AIMS), f"no kill fell right after some stage: {hit}"
