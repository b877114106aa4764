"""Singles, groups, sequences and series through the commands: a manifest too large, a lost state, later and bad members."""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.cli.session import DONE_WITH_FAILURES
from registration_pipeline.planning.wave import load_chunks
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.values import Effect, Fault
from registration_pipeline.sandbox.jobs.unit_rules import UnitRule
from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline_tests.e2e.command_project import SOURCE, CommandProject, configure, open_sandbox
from registration_pipeline_tests.e2e.mixed_bucket import GROUPS, assert_registered_once, clip, rig, scan, single

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

UNITS = [
    *(single(f"{number}.jpg") for number in range(4)),
    *(rig(f"{number}") for number in range(4)),
    *(clip(f"{number}", 12) for number in range(3)),
    *(scan(f"{number}", 11) for number in range(3)),
]
OBJECTS = sum(len(unit.keys) for unit in UNITS)
COUNTS = {"registered": len(UNITS), "pending": 0, "failed": 0, "changed": 0, "deleted": 0}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandProject]:
    sizes = dict.fromkeys(("images", "image_groups", "image_sequences", "dicom_series"), 4)
    options: dict[str, Any] = {"groups": GROUPS, "title": "{path}", "chunk_size": sizes}
    configure(tmp_path, settle_seconds=1, **options)
    with open_sandbox(tmp_path, monkeypatch, job_seconds=0.1) as sandbox:
        made = CommandProject(tmp_path, sandbox)
        made.put(*(key for unit in UNITS for key in unit.keys))
        yield made


def run(project: CommandProject, *arguments: str) -> dict[str, Any]:
    """Run a command that must end with 0, and return the source's numbers."""
    finished = project.run(*arguments, "--json")
    assert finished.status == 0, finished.said
    return finished.numbers


@pytest.mark.parametrize("way", ["audit --adopt", "sync"])
def test_manifests_that_are_too_large_are_halved_and_a_lost_state_is_rebuilt_from_the_folder(
    project: CommandProject, way: str
):
    project.sandbox.script(Fault(effect=Effect.STATUS, status=413, endpoint=Endpoint.START_JOB, times=4))

    assert run(project, "sync")["units"] == COUNTS

    assert_registered_once(project, UNITS)
    items, jobs = {item.uuid for item in project.items()}, len(project.sandbox.jobs())
    assert (len(load_chunks(project.store, SOURCE)), jobs) == (4, 8)
    project.assert_proven(OBJECTS, units=len(UNITS))

    shutil.rmtree(project.root / "state")
    if way == "audit --adopt":
        for command in (["inventory", SOURCE], ["plan", SOURCE], ["audit", SOURCE, "--adopt"]):
            finished = project.run(*command)
            assert finished.status == 0, finished.said
        assert run(project, "status")["units"] == COUNTS
    assert run(project, "sync")["units"] == COUNTS

    assert len(project.sandbox.jobs()) == jobs
    assert {item.uuid for item in project.items()} == items
    assert_registered_once(project, UNITS)
    project.assert_proven(OBJECTS, units=len(UNITS))


def test_late_and_bad_members_are_reported_and_the_rest_of_the_bucket_is_registered(project: CommandProject):
    project.sandbox.plant(UnitRule(r"clips/1/7\.png$", "could not decode"))
    first = project.sync()
    project.put("rigs/2/cam_99.jpg", "scans/new/IM1.dcm", "scans/new/IM2.dcm")
    (project.root / "media" / "scans" / "new" / "IM2.dcm").write_bytes(b"")

    second = project.sync()

    good = [unit for unit in UNITS if unit.title != "1"]
    assert (first.status, second.status) == (DONE_WITH_FAILURES, DONE_WITH_FAILURES)
    assert second.numbers["units"] == COUNTS | {"registered": len(good), "failed": 1}
    assert (second.numbers["registered"], second.numbers["failed"], second.numbers["rejected"]) == (OBJECTS - 12, 12, 3)
    assert_registered_once(project, good)
    rows = {row.key: row for row in source_failures(project.store, SOURCE)}
    assert Counter(row.reason for row in rows.values()) == {
        "late_member": 1,
        "empty": 1,
        "unit_incomplete": 1,
        rows["clips/1/1.png"].reason: 1,
    }
    assert (rows["clips/1/1.png"].objects, rows["clips/1/1.png"].message) == (12, "clips/1/7.png: could not decode")
    assert "scans/new/IM2.dcm" in (rows["scans/new/IM1.dcm"].message or "")

    project.sandbox.plant()
    project.put("scans/new/IM2.dcm")
    (project.root / "media" / "rigs" / "2" / "cam_99.jpg").unlink()
    retried = project.run("submit", SOURCE, "--failed", "--json")
    assert retried.status == DONE_WITH_FAILURES
    assert run(project, "sync")["units"] == COUNTS | {"registered": len(UNITS) + 1}

    assert_registered_once(project, [*UNITS, scan("new", 2)])
    project.assert_proven(OBJECTS + 2, units=len(UNITS) + 1)
