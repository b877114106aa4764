"""Everything that can go wrong with Encord, at once and often: each object is registered once all the same."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.sandbox.faults.random_profile import RandomFaults
from registration_pipeline.sandbox.faults.values import JOB_KINDS, LOST_EVIDENCE, Kind
from registration_pipeline_tests.doses import DOSES
from registration_pipeline_tests.e2e.command_project import CommandProject, configure, open_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(2400)]

OBJECTS, CHUNKS = DOSES.fault_objects, 50
MOST_RUNS = 10
TIMEOUT_SECONDS, DELAY_SECONDS, LATE_SECONDS, SETTLE_SECONDS = 3, 4, 1.5, 5
"""A delayed start takes effect a second after the client has given it up, and its job may begin late on top."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandProject]:
    configure(
        tmp_path,
        encord={"timeout_seconds": TIMEOUT_SECONDS},
        chunk_size={"images": OBJECTS // CHUNKS},
        max_in_flight=8,
        settle_seconds=SETTLE_SECONDS,
        job_timeout_seconds=10,
        max_attempts=MOST_RUNS,
    )
    with open_sandbox(tmp_path, monkeypatch, job_seconds=0.3) as sandbox:
        made = CommandProject(tmp_path, sandbox)
        each = OBJECTS // CHUNKS
        made.put(*(f"{folder:02d}/{number:04d}.jpg" for folder in range(CHUNKS) for number in range(each)))
        yield made


@pytest.mark.parametrize("seed", range(1, DOSES.fault_seeds + 1))
def test_every_object_is_registered_once_whatever_encord_does(
    project: CommandProject, seed: int, note_line: Callable[[str], None]
):
    """Every endpoint that the pipeline uses fails with probability 0.3; starts are the rarest requests and have most ways."""
    faults = RandomFaults(
        probability=0.3,
        seed=seed,
        kinds=tuple(Kind),
        weights=dict.fromkeys(JOB_KINDS, 2.0),
        delay_seconds=DELAY_SECONDS,
        late_seconds=LATE_SECONDS,
    )
    project.sandbox.randomise(faults)
    began, statuses, said = time.monotonic(), list[int](), ""
    while not statuses or statuses[-1] != 0:
        assert len(statuses) < MOST_RUNS, f"exit statuses of {len(statuses)} runs: {statuses}\n{said}"
        finished = project.sync()
        said, numbers = finished.said, finished.numbers
        statuses.append(finished.status)
        counted = sum(numbers[name] for name in ("excluded", "rejected", "registered", "pending", "failed"))
        assert counted == numbers["objects"] == OBJECTS
    seconds = time.monotonic() - began

    urls = project.registered()
    doubled, lost = sum(count - 1 for count in urls.values()), OBJECTS - len(urls)
    struck = project.sandbox.fault_counts()
    note_line(
        f"seed {seed}: {OBJECTS:,} objects in {CHUNKS} chunks, {len(urls):,} registered, {doubled} duplicates, {lost} lost, "
        f"after {len(statuses)} sync runs (exit statuses {statuses}) in {seconds:.0f} s; {len(project.sandbox.jobs())} upload "
        f"jobs; faults {sum(struck.values()):,}: {', '.join(f'{way} {count}' for way, count in sorted(struck.items()))}"
    )
    assert (len(urls), doubled, lost) == (OBJECTS, 0, 0)
    assert project.sandbox.duplicates() == {}
    assert numbers["registered"] == OBJECTS
    project.sandbox.clear_faults()
    project.assert_proven(OBJECTS)
    lost_evidence = {f"job_{fate}" for fate in LOST_EVIDENCE}
    assert len({way for way in struck if way in lost_evidence}) >= 2
    assert len({way for way in struck if way.startswith("job_")}) >= 3
    assert {way.split("_")[0] for way in struck} >= {"cut", "delay", "status", "job"}
