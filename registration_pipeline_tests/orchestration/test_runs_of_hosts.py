"""Hosts that share one Dagster database: none declares a live run of another dead, whatever the two have in common.

Each host is a process in name spaces of its own: processes, network, host name, mounts. What one kernel can't give two of them
(boot ids, machine ids, network cards, equal numbers of name spaces) is put in their place.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from dagster import DagsterRunStatus

from benchmarks.postgres_server import postgres_programs, postgres_server
from registration_pipeline.orchestration.runs.instance import open_instance

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dagster import DagsterInstance

    from registration_pipeline_tests.orchestration.conftest import Pipeline

OWN_NAMESPACES = ("unshare", "--pid", "--uts", "--net", "--mount", "--fork", "--mount-proc", "--kill-child")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(postgres_programs() is None, reason="Postgres is not installed (`make postgres`)"),
    pytest.mark.skipif(
        bool(subprocess.run([*OWN_NAMESPACES, "true"], check=False, capture_output=True).returncode),
        reason="this machine allows no name spaces",
    ),
]

HOST = textwrap.dedent("""
    import json, os, pathlib, socket, subprocess, sys
    from registration_pipeline.orchestration.runs import processes
    from registration_pipeline.orchestration.runs.instance import open_instance
    from registration_pipeline.orchestration.runs.processes import record_worker, worker_tag
    from registration_pipeline.orchestration.runs.stale_runs import clear_stale_runs
    from registration_pipeline.orchestration.runs.worker_lock import WorkerLock
    from registration_pipeline.project.project import Project
    from registration_pipeline.state import holder, machine

    locks = []
    machine.MEMORY = pathlib.Path(os.environ["DAGSTER_HOME"], "memory")  # of a machine of its own
    machine.MEMORY.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", machine.MEMORY], check=True)

    def be(host=None, **identity):
        if host is not None:
            socket.sethostname(host)
        for name, value in identity.items():
            for module in (holder, processes):
                if hasattr(module, name):
                    setattr(module, name, (lambda value=value: value) if name != "_FIRST_NAMESPACE" else value)

    with open_instance(Project.load().settings, os.environ) as instance:
        for line in sys.stdin:
            act, argument = json.loads(line)
            answer = None
            if act == "be":
                be(**argument)
            elif act == "work":
                instance.add_run_tags(argument, worker_tag(argument))
                lock = WorkerLock(instance, argument)
                lock.acquire()
                locks.append(lock)
            elif act == "clear":
                answer = [[one.run_id, one.why] for one in clear_stale_runs(instance)]
            print(json.dumps(answer), flush=True)
""")


class Host:
    """A process in name spaces of its own that works on runs, and clears those of dead workers."""

    def __init__(self, pipeline: Pipeline, home: Path) -> None:
        self._process = subprocess.Popen(
            [*OWN_NAMESPACES, "env", f"DAGSTER_HOME={home}", sys.executable, "-c", HOST],
            cwd=pipeline.root,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def ask(self, act: str, argument: Any = None) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([act, argument]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def homes(pipeline: Pipeline) -> Iterator[list[Path]]:
    pytest.importorskip("dagster_postgres")
    with postgres_server() as url:
        made = [pipeline.root / name for name in ("home-a", "home-b", ".dagster")]
        for home in made:
            home.mkdir()
            (home / "dagster.yaml").write_text(
                f"telemetry: {{enabled: false}}\nstorage: {{postgres: {{postgres_url: '{url}'}}}}\n"
                "concurrency: {pools: {granularity: op, default_limit: 1}}\n"
            )
        yield made


@pytest.fixture
def shared(pipeline: Pipeline, homes: list[Path]) -> Iterator[DagsterInstance]:
    """The database that all share, as the test sees it."""
    del homes
    with open_instance(pipeline.project.settings, os.environ) as opened:
        yield opened


@pytest.fixture
def hosts(pipeline: Pipeline, homes: list[Path], shared: DagsterInstance) -> Iterator[list[Host]]:
    del shared  # its tables are there
    made = [Host(pipeline, home) for home in homes[:2]]
    yield made
    for host in made:
        host.kill()


IMAGE = {"host": "worker", "pid_namespace": "pid:[4026531836]", "_machine_id": "3d12", "hardware": "02:00"}
PAIRS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "two machines": ({"host": "a", "boot_id": "boot a"}, {"host": "b", "boot_id": "boot b"}),
    "containers of one machine with one host name, each process 1": (
        {"host": "worker", "boot_id": "one"},
        {"host": "worker", "boot_id": "one"},
    ),
    "containers of two machines with one host name and equal numbers of name spaces": (
        {"host": "worker", "boot_id": "boot a", "pid_namespace": "pid:[4026532193]"},
        {"host": "worker", "boot_id": "boot b", "pid_namespace": "pid:[4026532193]"},
    ),
    "machines made from one image": (IMAGE | {"boot_id": "boot a"}, IMAGE | {"boot_id": "boot b"}),
    "machines cloned while they ran": (IMAGE | {"boot_id": "one"}, IMAGE | {"boot_id": "one"}),
}


def test_no_host_declares_a_live_run_of_another_dead_and_each_knows_its_own(
    pipeline: Pipeline, homes: list[Path], shared: DagsterInstance, hosts: list[Host]
) -> None:
    job = pipeline.definitions.resolve_job_def(pipeline.own.submit_job)
    runs = []
    for what, identities in PAIRS.items():
        for host, identity in zip(hosts, identities, strict=True):
            runs.append(shared.create_run_for_job(job, status=DagsterRunStatus.STARTED))
            host.ask("be", identity)
            host.ask("work", runs[-1].run_id)
        for host in hosts:
            assert host.ask("clear") == [], what
    assert {run.status for run in shared.get_runs()} == {DagsterRunStatus.STARTED}

    known = IMAGE | {"_FIRST_NAMESPACE": IMAGE["pid_namespace"], "boot_id": "before"}
    for host, run in zip(hosts, runs[-2:], strict=True):
        host.ask("be", known)
        host.ask("work", run.run_id)
    hosts[1].kill()
    for identity, _ in PAIRS.values():
        hosts[0].ask("be", identity)
        assert hosts[0].ask("clear") == []  # it can't know that the other one has ended
    again = Host(pipeline, homes[1])
    try:
        for host in (hosts[0], again):  # both as if started again, but the first holds its locks
            host.ask("be", known | {"boot_id": "after"})
        assert hosts[0].ask("clear") == []
        cleared = dict(again.ask("clear"))
        assert cleared[runs[-1].run_id] == "the machine was restarted while it ran"
    finally:
        again.kill()
    of_the_second = {run.run_id for run in runs[1::2]}
    assert {run.run_id for run in shared.get_runs() if run.is_finished} == cleared.keys() <= of_the_second
