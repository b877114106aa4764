"""Ctrl-C, a kill and a second sync while ``registration-pipeline sync`` submits: it ends well, and the next one finishes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.faults.values import Effect, Fault, When
from registration_pipeline.sandbox.server import Sandbox
from registration_pipeline_tests.forked_commands import ForkedCommand
from registration_pipeline_tests.in_process import run_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SOURCE = "fleet-cameras"
OBJECTS = 12
LONGEST_SECONDS = 900
"""For what has no limit of its own, on a machine with much other work."""


@dataclass(frozen=True, slots=True)
class Project:
    """A source of twelve chunks of one object each, and the processes of the test."""

    root: Path
    sandbox: Sandbox
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command as the leader of a process group of its own, as a shell does, with its libraries loaded."""
        self.processes.append(ForkedCommand(*arguments, cwd=self.root, env=os.environ))
        return self.processes[-1]

    def start_interpreter(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command as a user does, in a process group of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "registration_pipeline", *arguments],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def start_submitting(self, jobs: int = 3, *, is_interpreter: bool = False) -> subprocess.Popen[str]:
        """Start a sync and return once this many jobs were started in Encord."""
        process = (self.start_interpreter if is_interpreter else self.start)("sync")
        deadline = time.monotonic() + LONGEST_SECONDS
        while len(self.sandbox.jobs()) < jobs:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "waited in vain for upload jobs"
            time.sleep(0.05)
        return process

    def finish(self) -> dict[str, Any]:
        """Sync to the end; returns the source's numbers."""
        status, out, err = run_here(self.root, "sync", "--json")
        assert status == 0, err
        assert "Traceback" not in err
        numbers: dict[str, Any] = json.loads(out)["sources"][SOURCE]
        return numbers

    def urls(self) -> list[str]:
        folders = {job.folder_uuid for job in self.sandbox.jobs()}
        return [url for folder in folders for item in self.sandbox.folder_items(folder) for url in item.urls]

    def assert_exactly_once(self, numbers: dict[str, Any]) -> None:
        assert (numbers["registered"], numbers["pending"], numbers["failed"]) == (OBJECTS, 0, 0)
        assert sorted(self.urls()) == sorted(path.as_uri() for path in (self.root / "files").iterdir())
        assert self.sandbox.duplicates() == {}


def open_project(root: Path, monkeypatch: pytest.MonkeyPatch, job_seconds: float) -> Project:
    (root / "files").mkdir()
    for number in range(OBJECTS):
        (root / "files" / f"frame_{number:02d}.jpg").write_bytes(b"x")
    source = {
        "uri": (root / "files").as_uri(),
        "encord": {"integration": "sandbox"},
        "chunk_size": {"images": 1},
        "settle_seconds": 2,
    }
    (root / "registration.yaml").write_text(yaml.safe_dump({"state": "./state", "sources": {SOURCE: source}}))
    for name in ("DAGSTER_HOME", "REGISTRATION_CONFIG", "ENCORD_SSH_KEY"):
        monkeypatch.delenv(name, raising=False)
    sandbox = Sandbox(SandboxConfig(data=root / "encord", job_seconds=job_seconds, workers=8))
    monkeypatch.setenv("ENCORD_DOMAIN", sandbox.url)
    monkeypatch.setenv("ENCORD_SSH_KEY_FILE", str(sandbox.private_key_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    return Project(root, sandbox)


@pytest.fixture
def make_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], Project]]:
    made: list[Project] = []

    def make(job_seconds: float) -> Project:
        made.append(open_project(tmp_path, monkeypatch, job_seconds))
        return made[-1]

    yield make
    for project in made:
        for process in project.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        project.sandbox.stop()


def group_is_empty(process: subprocess.Popen[str], *, within_seconds: float = 60) -> bool:
    """Return whether nobody is left of the command's process group."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("job_seconds", [0.3, 60.0], ids=["short jobs", "long jobs"])
def test_ctrl_c_ends_soon_with_a_message_and_nothing_left_behind(
    make_project: Callable[[float], Project], job_seconds: float
):
    project = make_project(job_seconds)
    # One as a user starts it. A source begins with two jobs.
    process = project.start_submitting(jobs=2, is_interpreter=job_seconds > 1)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=LONGEST_SECONDS)
    assert time.monotonic() - began < 50
    assert process.returncode == 130
    assert "Interrupted. Nothing is lost; run again to go on." in err
    assert "Traceback" not in out + err
    assert group_is_empty(process)


def test_the_sync_after_ctrl_c_finishes(make_project: Callable[[float], Project]):
    project = make_project(0.3)
    process = project.start_submitting()
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=LONGEST_SECONDS)
    assert len(project.sandbox.jobs()) < OBJECTS
    project.assert_exactly_once(project.finish())


def test_ctrl_c_again_and_again_does_no_harm(make_project: Callable[[float], Project]):
    project = make_project(0.3)
    process = project.start_submitting()
    for _ in range(3):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.3)
    process.communicate(timeout=LONGEST_SECONDS)
    assert process.returncode != 0
    assert group_is_empty(process)
    project.assert_exactly_once(project.finish())


@pytest.mark.parametrize("endpoint", [Endpoint.POLL_JOB, Endpoint.START_JOB], ids=str)
def test_ctrl_c_ends_a_sync_whose_replies_drip_and_the_next_one_finishes(
    make_project: Callable[[float], Project], endpoint: Endpoint
):
    project = make_project(0.3)
    project.sandbox.script(Fault(effect=Effect.DRIP, when=When.AFTER, endpoint=endpoint, times=None))
    process = project.start_submitting(jobs=2)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    began = time.monotonic()
    out, err = process.communicate(timeout=LONGEST_SECONDS)
    assert time.monotonic() - began < 60  # the replies never end
    assert process.returncode == 130
    assert "Interrupted. Nothing is lost; run again to go on." in err
    assert "Traceback" not in out + err
    assert group_is_empty(process)
    project.sandbox.clear_faults()
    project.assert_exactly_once(project.finish())


def test_a_second_ctrl_c_ends_a_sync_whose_replies_drip_at_once(make_project: Callable[[float], Project]):
    project = make_project(0.3)
    project.sandbox.script(Fault(effect=Effect.DRIP, when=When.AFTER, endpoint=Endpoint.POLL_JOB, times=None))
    process = project.start_submitting(jobs=2)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    began = time.monotonic()
    process.communicate(timeout=LONGEST_SECONDS)
    assert time.monotonic() - began < 3  # it ends by itself after four seconds
    assert process.returncode == 130
    assert group_is_empty(process)


def test_a_terminated_sync_is_finished_by_the_next(make_project: Callable[[float], Project]):
    project = make_project(0.3)
    process = project.start_submitting()
    process.terminate()
    _, err = process.communicate(timeout=LONGEST_SECONDS)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in err
    assert group_is_empty(process)
    project.assert_exactly_once(project.finish())


def test_a_killed_sync_leaves_no_process_and_is_finished_by_the_next(make_project: Callable[[float], Project]):
    project = make_project(0.3)
    process = project.start_submitting()
    process.kill()
    process.communicate(timeout=LONGEST_SECONDS)
    assert process.returncode == -signal.SIGKILL
    assert group_is_empty(process)
    began = time.monotonic()
    following = project.start("sync")
    _, err = following.communicate(timeout=LONGEST_SECONDS)
    assert following.returncode == 0, err
    assert f"its process {process.pid} is gone; its chunks are resumed" in " ".join(err.split())
    assert time.monotonic() - began < 300
    project.assert_exactly_once(project.finish())


def test_two_syncs_at_once_register_everything_once(make_project: Callable[[float], Project]):
    project = make_project(0.3)
    both = [project.start("sync", "--json") for _ in range(2)]
    said = [process.communicate(timeout=LONGEST_SECONDS) for process in both]
    for process, (_, err) in zip(both, said, strict=True):
        assert process.returncode in (0, 4), err
        assert "Traceback" not in err
        assert process.returncode == 0 or "run again" in err
    assert 0 in [process.returncode for process in both]
    project.assert_exactly_once(project.finish())
    assert len(project.sandbox.jobs()) == OBJECTS
