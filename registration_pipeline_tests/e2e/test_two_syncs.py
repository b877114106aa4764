"""Two syncs of one source at the same moment, from two machines as far as Dagster can tell: each unit is sent once."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.pipeline import Pipeline
from registration_pipeline_tests.e2e.command_project import SOURCE, CommandProject, configure, open_sandbox
from registration_pipeline_tests.e2e.mixed_bucket import GROUPS, assert_registered_once, clip, rig, scan, single

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

UNITS = [
    *(single(f"{number:03d}.jpg") for number in range(20)),
    *(rig(f"{number:03d}") for number in range(8)),
    *(clip(f"{number:03d}", 4) for number in range(2)),
    *(scan(f"{number:03d}", 4) for number in range(2)),
]
OBJECTS = 60


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[CommandProject]:
    """A source of sixty objects in chunks of at most ``images`` and ``groups``, whose jobs take ``job_seconds``."""
    images, groups, job_seconds = request.param
    sizes = {"images": images} | dict.fromkeys(("image_groups", "image_sequences", "dicom_series"), groups)
    options: dict[str, Any] = {"groups": GROUPS, "title": "{path}", "chunk_size": sizes}
    configure(tmp_path, max_in_flight=2, settle_seconds=1, **options)
    with open_sandbox(tmp_path, monkeypatch, job_seconds=job_seconds) as sandbox:
        made = CommandProject(tmp_path, sandbox)
        made.put(*(key for unit in UNITS for key in unit.keys))
        yield made


@pytest.mark.parametrize("project", [(5, 1, 1.0)], indirect=True, ids=["sixteen short jobs"])
def test_the_second_waits_says_for_whom_and_sends_nothing_twice(project: CommandProject):
    homes = [project.root / name for name in ("home-a", "home-b")]
    for home in homes:
        home.mkdir()
    both = [project.start("sync", DAGSTER_HOME=str(home)) for home in homes]

    finished = [project.finish(process) for process in both]

    assert [one.status for one in finished] == [0, 0], [one.said for one in finished]
    waiting = [one.said for one in finished if "is being submitted by pid" in " ".join(one.said.split())]
    assert len(waiting) == 1
    registered = project.registered()
    assert len(registered) == OBJECTS
    assert set(registered.values()) == {1}
    assert len(project.sandbox.jobs()) == 16
    assert project.sandbox.duplicates() == {}
    assert_registered_once(project, UNITS)


@pytest.mark.parametrize("project", [(30, 30, 30.0)], indirect=True, ids=["four long jobs"])
def test_the_second_takes_over_at_once_when_the_first_is_killed(project: CommandProject):
    homes = [project.root / name for name in ("home-a", "home-b")]
    for home in homes:
        home.mkdir()
    first = project.start("sync", DAGSTER_HOME=str(homes[0]))
    while not project.sandbox.jobs():
        assert first.poll() is None
        time.sleep(0.05)  # asked without a pause, the sandbox has no time for the sync
    second = project.start("sync", DAGSTER_HOME=str(homes[1]))
    assert second.stderr is not None
    said = ""
    while "is being submitted by" not in " ".join(said.split()):
        line = second.stderr.readline()
        assert line, said
        said += line

    assert project.kill(first)
    finished = project.finish(second, timeout=120)

    assert finished.status == 0, finished.said
    assert set(project.registered().values()) == {1}
    assert len(project.registered()) == OBJECTS
    assert_registered_once(project, UNITS)


@pytest.mark.parametrize("project", [(5, 1, 1.0)], indirect=True, ids=["sixteen short jobs"])
def test_a_plain_call_and_a_run_of_dagster_at_once_send_nothing_twice(
    project: CommandProject, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, logger="registration_pipeline")
    process = project.start("sync")
    while not project.sandbox.jobs():
        assert process.poll() is None
        time.sleep(0.05)

    result = Pipeline.load(project.root / "registration.yaml").sync(SOURCE)
    finished = project.finish(process)

    assert (result.exit_status, finished.status) == (0, 0), finished.said
    assert "is being submitted by pid" in " ".join((caplog.text + finished.said).split())
    assert set(project.registered().values()) == {1}
    assert len(project.registered()) == OBJECTS
    assert len(project.sandbox.jobs()) == 16
    assert_registered_once(project, UNITS)
