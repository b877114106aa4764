"""Two hosts sync one source all the time; they are killed, paused and their clocks jump: all is registered once.

Each has a Dagster home and a boot of its own. They share the state, and the Dagster database where Postgres is installed: then
each judges the runs of the other. The pools there have room for both, so that only the lease keeps them apart.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from dagster import DagsterEvent, DagsterInstance

from benchmarks.postgres_server import postgres_programs, postgres_server
from registration_pipeline.orchestration.runs.processes import recorded_worker
from registration_pipeline_tests.doses import DOSES, IS_SOAK
from registration_pipeline_tests.e2e.command_project import SOURCE, CommandProject, configure, open_sandbox

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from registration_pipeline_tests.conftest import S3Bucket

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(3600)]

LEASE_SECONDS = 6.0
STAGES = ("journal/*/*-intent.json", "journal/*/*-job.json", "manifests/*.json", "lease/*.json")
SOON = 0.5
"""Seconds after a stage was reached, at most."""

_CLOCK_LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
_HOUR = 3600
_MARKED = " by registration-pipeline: "
"""In the message of a run that was marked as ended because its process was found to be gone."""
_LONGEST_SECONDS = 12.0
"""Until something happens although no stage was reached, as while a host waits for the other."""

HOST = f"""
import sys, threading, time
pause = threading.Event()
time.sleep = pause.wait  # what sets the clock does not know the system call that Python sleeps with
from registration_pipeline.state import holder, lease
from registration_pipeline.orchestration.runs import processes
host = sys.argv.pop(1)
holder.boot_id = processes.boot_id = lambda: "boot of " + host
lease.hold_lease.__wrapped__.__kwdefaults__["lease_seconds"] = {LEASE_SECONDS}
from registration_pipeline.cli.app import run
sys.exit(run(sys.argv[1:]))
"""
"""The command as it is, on a machine of its own, but for a lease that another host may take over after some seconds."""


@dataclass
class Host:
    """A machine that syncs.

    Args:
        name: of it.
        project: what it syncs.
        clock: the file that says by how much its clock is wrong.
    """

    name: str
    project: CommandProject
    clock: Path
    process: subprocess.Popen[str] | None = None
    started: int = 0
    ends: Counter[int] = field(default_factory=Counter)
    killed: set[int] = field(default_factory=set)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def sync(self) -> None:
        """Start a sync, unless one is under way; note how the last one ended."""
        if self.is_running:
            return
        self.note_end()
        self.clock.write_text("+0\n")
        fake = {
            "LD_PRELOAD": str(_CLOCK_LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # else each thread that waits for the interpreter's lock spins
        }
        self.started += 1
        home = str(self.project.root / self.name)
        preload = fake if _CLOCK_LIBRARY else None
        self.process = self.project.start(self.name, "sync", "--json", code=HOST, preload=preload, DAGSTER_HOME=home)

    def note_end(self) -> None:
        if self.process is None:
            return
        _, said = self.process.communicate(timeout=900)
        assert "Traceback" not in said, said
        self.ends[self.process.returncode] += 1
        self.process = None

    def signal(self, number: signal.Signals) -> bool:
        if self.process is None or self.process.poll() is not None:
            return False
        if number is signal.SIGKILL:
            self.killed.add(self.process.pid)
        os.killpg(self.process.pid, number)
        return True

    def jump(self, seconds: int) -> bool:
        self.clock.write_text(f"{seconds:+d}\n")
        return self.is_running


@pytest.fixture(params=["path", pytest.param("s3", marks=() if IS_SOAK else pytest.mark.skip(reason="in soak only"))])
def project(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CommandProject]:
    if request.param == "s3":
        make: Callable[[], S3Bucket] = request.getfixturevalue("s3_bucket")
        configure(tmp_path, chunk_size={"images": 5}, max_in_flight=8, settle_seconds=1)
        document = yaml.safe_load((tmp_path / "registration.yaml").read_text())
        (tmp_path / "registration.yaml").write_text(yaml.safe_dump(document | {"state": f"s3://{make().name}/state"}))
    else:
        configure(tmp_path, chunk_size={"images": 5}, max_in_flight=8, settle_seconds=1)
    with open_sandbox(tmp_path, monkeypatch, job_seconds=0.5, workers=8) as sandbox:
        yield CommandProject(tmp_path, sandbox)


@pytest.fixture
def hosts(project: CommandProject) -> Iterator[list[Host]]:
    with ExitStack() as stack:
        document: dict[str, Any] = {"telemetry": {"enabled": False}}
        if postgres_programs() is not None:
            pytest.importorskip("dagster_postgres")
            url = stack.enter_context(postgres_server())
            document["storage"] = {"postgres": {"postgres_url": url}}
        document["concurrency"] = {"pools": {"granularity": "op", "default_limit": 2}}
        made = []
        for name in ("one", "two"):
            home = project.root / name
            home.mkdir()
            (home / "dagster.yaml").write_text(yaml.safe_dump(document))
            made.append(Host(name, project, project.root / f"clock-{name}"))
        yield made
        for host in made:
            host.signal(signal.SIGCONT)
            host.signal(signal.SIGKILL)
            if host.process is not None:
                host.process.communicate()


def wait_for_a_moment(project: CommandProject, hosts: list[Host], moments: random.Random) -> None:
    """Wait until a run has reached a stage that is drawn, and a little more."""
    stage, folder = moments.choice(STAGES), project.root / "state" / SOURCE
    before = set(folder.glob(stage))
    is_hidden = "s3:" in (project.root / "registration.yaml").read_text()  # its files can't be watched from here
    ends = time.monotonic() + (moments.uniform(1, 8) if is_hidden else _LONGEST_SECONDS)
    while time.monotonic() < ends and set(folder.glob(stage)) <= before:
        for host in hosts:
            host.sync()
        time.sleep(0.02)
    time.sleep(moments.uniform(0, SOON))


def pause(host: Host, others: list[Host], moments: random.Random) -> bool:
    """Stop a host's processes for longer than a lease, while the others go on."""
    if not host.signal(signal.SIGSTOP):
        return False
    ends = time.monotonic() + LEASE_SECONDS + moments.uniform(1, 4)
    while time.monotonic() < ends:
        for other in others:
            other.sync()
        time.sleep(0.1)
    return host.signal(signal.SIGCONT)


def run_events(project: CommandProject, hosts: list[Host], moments: random.Random) -> tuple[Counter[str], list[str]]:
    """Let things happen to the hosts while they sync, and return how often each, and the keys that were added."""
    happened, keys = Counter[str](), list[str]()
    kinds = ["kill", "pause", *(["clock +1 h", "clock -1 h"] if _CLOCK_LIBRARY else [])]
    moments.shuffle(kinds)
    while happened.total() < DOSES.host_events:
        number = happened.total()
        added = [f"{number:03d}/{len(keys) + one:05d}.jpg" for one in range(10)]
        project.put(*added)
        keys += added
        for host in hosts:
            host.sync()
        wait_for_a_moment(project, hosts, moments)
        struck = moments.choice(hosts)
        kind = kinds[number % len(kinds)]
        match kind:
            case "kill":
                did = struck.signal(signal.SIGKILL)
            case "pause":
                did = pause(struck, [host for host in hosts if host is not struck], moments)
            case _:
                did = struck.jump(_HOUR if "+" in kind else -_HOUR)
        happened[kind] += did
    return happened, keys


def declared_dead(hosts: list[Host]) -> tuple[set[int], int]:
    """Return the processes whose runs were marked as ended by another process, and how many runs there were."""
    found, runs = set[int](), set[str]()
    for host in hosts:
        with DagsterInstance.from_config(str(host.project.root / host.name)) as instance:
            for run in instance.get_runs():
                runs.add(run.run_id)
                worker = recorded_worker(run)
                if worker is not None and any(
                    _MARKED in (event.message or "") for event in _events(instance, run.run_id)
                ):
                    found.add(worker[0].pid)
    return found, len(runs)


def _events(instance: DagsterInstance, run_id: str) -> list[DagsterEvent]:
    entries = (record.event_log_entry for record in instance.get_records_for_run(run_id).records)
    return [entry.dagster_event for entry in entries if entry.dagster_event is not None]


def test_two_hosts_register_everything_once_and_never_take_each_other_for_dead(
    project: CommandProject, hosts: list[Host], note_line: Callable[[str], None]
) -> None:
    happened, keys = run_events(project, hosts, random.Random(20261127))
    for host in hosts:
        host.note_end()
    last = project.sync()
    while last.numbers["pending"] and last.status == 0:
        last = project.sync()

    urls = project.registered()
    lost = {f"file://{project.root}/media/{key}" for key in keys} - urls.keys()
    doubled = sum(urls.values()) - len(urls)
    killed = {pid for host in hosts for pid in host.killed}
    dead, runs = declared_dead(hosts)
    note_line(
        f"{happened.total()} events on two hosts: {dict(happened)}; {sum(host.started for host in hosts)} syncs, ends "
        f"{dict(sum((host.ends for host in hosts), Counter()))}; {len(keys)} objects, {len(lost)} lost, {doubled} doubled; "
        f"{runs} runs, {len(dead)} declared dead, {len(dead - killed)} of them alive"
    )
    assert last.status == 0, last.said
    assert (lost, doubled) == (set(), 0)
    assert project.sandbox.duplicates() == {}
    assert dead <= killed
    assert dead or not IS_SOAK, "no killed run was found: live ones would not have been, either"
    assert project.run("audit", SOURCE, "--json").status == 0
