"""Everything that can go wrong with Encord, at once and often: each unit is registered once, whole and in order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.planning.wave import load_chunks
from registration_pipeline.sandbox.faults.random_profile import RandomFaults
from registration_pipeline.sandbox.faults.values import JOB_KINDS, LOST_EVIDENCE, Kind
from registration_pipeline_tests.doses import DOSES, STATE_PLACES
from registration_pipeline_tests.e2e.command_project import SOURCE, CommandProject, configure, open_sandbox
from registration_pipeline_tests.e2e.mixed_bucket import GROUPS, Unit, assert_registered_once, clip, rig, scan, single

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registration_pipeline_tests.state_places import StatePlace, StateServers

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(2400)]

CHUNKS = 50
EACH = DOSES.fault_objects // CHUNKS
"""Objects of a chunk of any kind."""
RIG_FRAMES, CLIP_FRAMES, SCAN_SLICES = 3, 20, 10
MOST_RUNS = 10
TIMEOUT_SECONDS, DELAY_SECONDS, LATE_SECONDS, SETTLE_SECONDS = 3, 4, 1.5, 5
"""A delayed start takes effect a second after the client has given it up, and its job may begin late on top."""


def bucket() -> list[Unit]:
    """Return the units: 33 chunks of single images, 6 of groups, 5 of sequences and 6 of series."""
    return [
        *(single(f"{folder:02d}/{number:04d}.jpg") for folder in range(33) for number in range(EACH)),
        *(rig(f"{number:04d}", RIG_FRAMES) for number in range(6 * (EACH // RIG_FRAMES))),
        *(clip(f"{number:04d}", CLIP_FRAMES) for number in range(5 * (EACH // CLIP_FRAMES))),
        *(scan(f"{number:04d}", SCAN_SLICES) for number in range(6 * (EACH // SCAN_SLICES))),
    ]


@pytest.fixture(params=STATE_PLACES)
def place(
    request: pytest.FixtureRequest, state_servers: StateServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> StatePlace:
    """Where the state is."""
    return state_servers.place(request.param, tmp_path).use(monkeypatch)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: StatePlace) -> Iterator[CommandProject]:
    configure(
        tmp_path,
        state=place.uri,
        encord={"timeout_seconds": TIMEOUT_SECONDS},
        groups=GROUPS,
        title="{path}",
        chunk_size={
            "images": EACH,
            "image_groups": EACH // RIG_FRAMES,
            "image_sequences": EACH // CLIP_FRAMES,
            "dicom_series": EACH // SCAN_SLICES,
        },
        max_in_flight=8,
        settle_seconds=SETTLE_SECONDS,
        job_timeout_seconds=10,
        max_attempts=MOST_RUNS,
    )
    with open_sandbox(tmp_path, monkeypatch, job_seconds=0.3) as sandbox:
        made = CommandProject(tmp_path, sandbox, place)
        made.put(*(key for unit in bucket() for key in unit.keys))
        yield made


@pytest.mark.parametrize("seed", range(1, DOSES.fault_seeds + 1))
def test_every_unit_is_registered_once_whatever_encord_does(
    project: CommandProject, place: StatePlace, seed: int, note_line: Callable[[str], None]
):
    """Every endpoint that the pipeline uses fails with probability 0.3; starts are the rarest requests and have most ways."""
    faults = RandomFaults(
        probability=0.3,
        seed=seed,
        kinds=tuple(Kind),
        weights=dict.fromkeys(JOB_KINDS, 2.0) | {Kind.GATEWAY: 8.0},
        delay_seconds=DELAY_SECONDS,
        late_seconds=LATE_SECONDS,
    )
    units = bucket()
    objects = sum(len(unit.keys) for unit in units)
    project.sandbox.randomise(faults)
    began, statuses, said = time.monotonic(), list[int](), ""
    while not statuses or statuses[-1] != 0:
        assert len(statuses) < MOST_RUNS, f"exit statuses of {len(statuses)} runs: {statuses}\n{said}"
        finished = project.sync()
        said, numbers = finished.said, finished.numbers
        statuses.append(finished.status)
        counted = sum(numbers[name] for name in ("excluded", "rejected", "registered", "pending", "failed"))
        assert counted == numbers["objects"] == objects
        assert sum(numbers["units"][name] for name in ("registered", "pending", "failed")) == len(units)
    seconds = time.monotonic() - began

    urls = project.registered()
    doubled, lost = sum(count - 1 for count in urls.values()), objects - len(urls)
    struck = project.sandbox.fault_counts()
    note_line(
        f"state on {place.name}, seed {seed}: {objects:,} objects in {len(units):,} units in "
        f"{len(load_chunks(project.store, SOURCE))} chunks, "
        f"{len(urls):,} registered, {doubled} duplicates, {lost} lost, after {len(statuses)} sync runs (exit statuses "
        f"{statuses}) in {seconds:.0f} s; {len(project.sandbox.jobs())} upload jobs; faults {sum(struck.values()):,}: "
        f"{', '.join(f'{way} {count}' for way, count in sorted(struck.items()))}"
    )
    assert (len(urls), doubled, lost) == (objects, 0, 0)
    assert project.sandbox.duplicates() == {}
    assert_registered_once(project, units)
    assert numbers["registered"] == objects
    project.sandbox.clear_faults()
    project.assert_proven(objects, units=len(units))
    lost_evidence = {f"job_{fate}" for fate in LOST_EVIDENCE}
    assert len({way for way in struck if way in lost_evidence}) >= 2
    assert len({way for way in struck if way.startswith("job_")}) >= 3
    assert {way.split("_")[0] for way in struck} >= {"cut", "delay", "status", "job"}
    assert any(record.kind == Kind.GATEWAY for record in project.sandbox.fault_records())
