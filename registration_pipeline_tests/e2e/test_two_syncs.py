"""Two syncs of one source at the same moment, from two machines as far as Dagster can tell: each unit is sent once.

The first has its turn until the second has said that it waits, however late that begins on a busy machine: else all could be
registered before, and there would be nothing to wait for.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.pipeline import Pipeline
from registration_pipeline.sandbox.jobs.runner import JobRunner
from registration_pipeline_tests.e2e.command_project import SOURCE, CommandProject, configure, open_sandbox
from registration_pipeline_tests.e2e.mixed_bucket import GROUPS, assert_registered_once, clip, rig, scan, single

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

UNITS = [
    *(single(f"{number:03d}.jpg") for number in range(20)),
    *(rig(f"{number:03d}") for number in range(8)),
    *(clip(f"{number:03d}", 4) for number in range(2)),
    *(scan(f"{number:03d}", 4) for number in range(2)),
]
OBJECTS = 60
WAITS = "is being submitted by pid"
_LONGEST_SECONDS = 900


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


@pytest.fixture
def go_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Upload jobs do not begin before this is set."""
    event = threading.Event()
    process = JobRunner._process

    def held(self: JobRunner, job_id: int) -> None:
        event.wait(_LONGEST_SECONDS)
        process(self, job_id)

    monkeypatch.setattr(JobRunner, "_process", held)
    yield event
    event.set()


class Said(threading.Thread):
    """Reads what a process says, and sets an event when it says that it waits."""

    def __init__(self, process: subprocess.Popen[str], waits: threading.Event) -> None:
        super().__init__(daemon=True)
        self._process, self._waits, self.text = process, waits, ""
        self.start()

    def run(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.text += line
            if self.is_waiting:
                self._waits.set()

    @property
    def is_waiting(self) -> bool:
        return WAITS in " ".join(self.text.split())

    def end(self) -> int:
        """Return the status of the process when it has ended."""
        self.join(_LONGEST_SECONDS)
        assert "Traceback" not in self.text, self.text
        return self._process.wait(_LONGEST_SECONDS)


@pytest.mark.parametrize("project", [(5, 1, 0.1)], indirect=True, ids=["sixteen short jobs"])
def test_the_second_waits_says_for_whom_and_sends_nothing_twice(
    project: CommandProject, go_on: threading.Event
) -> None:
    homes = [project.root / name for name in ("home-a", "home-b")]
    for home in homes:
        home.mkdir()

    both = [Said(project.start("sync", DAGSTER_HOME=str(home)), go_on) for home in homes]

    assert [one.end() for one in both] == [0, 0], [one.text for one in both]
    assert [one.is_waiting for one in both].count(True) == 1
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
    finished = project.finish(second, timeout=_LONGEST_SECONDS)

    assert finished.status == 0, finished.said
    assert set(project.registered().values()) == {1}
    assert len(project.registered()) == OBJECTS
    assert_registered_once(project, UNITS)


class Heard(logging.Handler):
    """Keeps what is logged, and sets an event when a line says that the process waits."""

    def __init__(self, waits: threading.Event) -> None:
        super().__init__()
        self._waits, self.text = waits, ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += f"{record.getMessage()}\n"
        if WAITS in self.text:
            self._waits.set()


@pytest.mark.parametrize("project", [(5, 1, 0.1)], indirect=True, ids=["sixteen short jobs"])
def test_a_plain_call_and_a_run_of_dagster_at_once_send_nothing_twice(
    project: CommandProject, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, go_on: threading.Event
) -> None:
    caplog.set_level(logging.INFO, logger="registration_pipeline")
    monkeypatch.setattr(logging.getLogger("registration_pipeline"), "handlers", [heard := Heard(go_on)])
    process = project.start("sync")
    while not project.sandbox.jobs():
        assert process.poll() is None
        time.sleep(0.05)

    result = Pipeline.load(project.root / "registration.yaml").sync(SOURCE)
    finished = project.finish(process)

    assert (result.exit_status, finished.status) == (0, 0), finished.said
    assert WAITS in heard.text
    assert set(project.registered().values()) == {1}
    assert len(project.registered()) == OBJECTS
    assert len(project.sandbox.jobs()) == 16
    assert_registered_once(project, UNITS)
