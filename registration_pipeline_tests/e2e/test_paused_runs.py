"""The whole process group of a sync is paused until another host has taken over and finished, and then goes on."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from registration_pipeline_tests.doses import DOSES, STATE_PLACES
from registration_pipeline_tests.e2e.command_project import SOURCE, CommandProject, configure, open_sandbox

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registration_pipeline_tests.state_places import StatePlace, StateServers

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(3600)]

STAGES = ("journal/*/*-intent.json", "journal/*/*-job.json", "manifests/*.json")
SOON = 0.3
"""Seconds after a stage was reached, at most."""

SHORT_LEASE = """
import sys
from registration_pipeline.state import lease
lease.hold_lease.__wrapped__.__kwdefaults__["lease_seconds"] = 4.0
from registration_pipeline.cli.app import run
sys.exit(run(sys.argv[1:]))
"""
"""The command as it is, but for a lease that another host may take over after four seconds instead of sixty."""


@pytest.fixture(params=STATE_PLACES)
def place(
    request: pytest.FixtureRequest, state_servers: StateServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> StatePlace:
    """Where the state is."""
    return state_servers.place(request.param, tmp_path).use(monkeypatch)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: StatePlace) -> Iterator[CommandProject]:
    configure(tmp_path, state=place.uri, chunk_size={"images": 5}, max_in_flight=8, settle_seconds=1)
    with open_sandbox(tmp_path, monkeypatch, job_seconds=1.0, workers=8) as sandbox:
        yield CommandProject(tmp_path, sandbox, place)


def start(project: CommandProject, host: str) -> subprocess.Popen[str]:
    """Start a sync as a process of a host with a Dagster instance of its own."""
    return project.start("sync", "--json", code=SHORT_LEASE, DAGSTER_HOME=str(project.root / host))


def test_paused_runs_lose_nothing_and_double_nothing(
    project: CommandProject, place: StatePlace, note_line: Callable[[str], None]
):
    moments, ends, keys = random.Random(20261127), Counter[str](), list[str]()
    for number in range(DOSES.pauses):
        added = [f"{number:03d}/{one:02d}.jpg" for one in range(30)]
        project.put(*added)
        keys += added
        stage = moments.choice(STAGES)
        before, paused = project.reached(stage), start(project, "one")
        while paused.poll() is None and project.reached(stage) <= before:
            time.sleep(0.02)
        time.sleep(moments.uniform(0, SOON))
        os.killpg(paused.pid, signal.SIGSTOP)
        other = project.finish(start(project, "two"))
        os.killpg(paused.pid, signal.SIGCONT)
        resumed = project.finish(paused)
        ends[f"paused {resumed.status}, other {other.status}"] += 1

    last = project.sync()
    urls = project.registered()
    doubled = sum(urls.values()) - len(urls)
    audit = project.finish(project.start("audit", SOURCE, "--json"))
    note_line(
        f"state on {place.name}: {DOSES.pauses} pauses: exit statuses {dict(ends)}; {len(keys)} objects, "
        f"{len(urls)} registered, {doubled} "
        f"duplicates; audit exit status {audit.status}"
    )
    assert last.status == 0, last.said
    assert set(urls) == {f"file://{project.root}/media/{key}" for key in keys}
    assert doubled == 0
    assert project.sandbox.duplicates() == {}
    assert audit.status == 0, audit.out
