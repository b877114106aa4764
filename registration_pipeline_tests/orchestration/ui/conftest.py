"""A real ``dagster dev`` on a pipeline: webserver, daemon and code server, asked through GraphQL as the UI asks.

Every process it starts is ended by id, and the fixture fails when one stays behind.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from registration_pipeline.orchestration.runs.instance import dagster_home, open_instance
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.server import Sandbox
from registration_pipeline_tests.orchestration.conftest import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import dagster as dg
    from dagster import AssetKey

REPOSITORY = Path(__file__).parents[3]
QUICK_DAEMON = Path(__file__).with_name("quick_daemon")
START_SECONDS = 300
RUN_SECONDS = 600
"""Generous: a busy machine with two slow cores needs a minute for what takes seconds on an idle one."""
SHARED_SOURCES = 5
"""As many as there are tests that share a ``dagster dev``."""
ENDED_RUNS = ("SUCCESS", "FAILURE", "CANCELED")
LOCATION = {"repositoryLocationName": "registration_pipeline", "repositoryName": "__repository__"}

LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"""
RUN = """query($id: ID!) { runOrError(runId: $id) { ... on Run {
  runId jobName runStatus: status repositoryOrigin { repositoryLocationName repositoryName } hasReExecutePermission } } }"""
RUNS = """query($f: RunsFilter!) { runsOrError(filter: $f, limit: 100) { ... on Runs {
  results { runId jobName status } } } }"""
LAUNCH_RUN = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } ... on InvalidSubsetError { message }
  ... on RunConfigValidationInvalid { errors { message } } ... on PipelineNotFoundError { message } } }"""
RE_EXECUTE = """mutation($p: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $p) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } ... on PipelineNotFoundError { message } } }"""
BACKFILL = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename
  ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } ... on InvalidSubsetError { message }
  ... on PartitionKeysNotFoundError { message } ... on PartitionSetNotFoundError { message } } }"""
BACKFILL_STATUS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill {
  status runs(limit: 100) { runId status jobName } error { message } } } }"""
PARTITIONS = """query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode {
  partitionStats { numMaterialized numFailed numPartitions numMaterializing } } } }"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """How a backfill ended."""

    status: str
    runs: tuple[str, ...]
    error: str | None


@dataclass(frozen=True, slots=True)
class Ui:
    """A client of the webserver; ``pid`` is the ``dagster dev`` that it belongs to."""

    port: int
    pid: int

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Send one GraphQL request and return its data."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        url = f"http://127.0.0.1:{self.port}/graphql"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=RUN_SECONDS) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def kill(self) -> None:
        """Kill ``dagster dev`` and all that it started, at once, as a power cut would: nothing of it is left on return."""
        tree = _tree(self.pid)
        for pid in tree:
            os.kill(pid, signal.SIGKILL)
        # A killed process lives on until its last system call is over, and a busy machine takes its time.
        left = _living_after(tree, seconds=120)
        assert left == [], f"killed, and still there: {left}"

    def loaded(self) -> bool:
        """Whether the webserver answers and has the code location."""
        try:
            entries = self.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
        except OSError:
            return False
        return [entry["loadStatus"] for entry in entries] == ["LOADED"]

    def run(self, run_id: str) -> dict[str, Any]:
        """What the run page shows."""
        found: dict[str, Any] = self.ask(RUN, id=run_id)["runOrError"]
        return found

    def runs(self, **wanted: Any) -> list[dict[str, Any]]:
        """Runs by a filter, newest first."""
        found: list[dict[str, Any]] = self.ask(RUNS, f=wanted)["runsOrError"]["results"]
        return found

    def materialize(self, *assets: AssetKey) -> str:
        """Materialize unpartitioned assets, wait for the run and return its status."""
        selector = {
            **LOCATION,
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": list(asset.path)} for asset in assets],
            "assetCheckSelection": None,
        }
        return self._launched(LAUNCH_RUN, {"selector": selector, "mode": "default", "runConfigData": {}})

    def launch_job(self, name: str) -> str:
        """Launch a job from its launchpad, wait for the run and return its status."""
        return self.ended(self.launch(name))

    def re_execute(self, run_id: str, strategy: str = "ALL_STEPS") -> str:
        """Press "re-execute" on a run, wait for the new run and return its status."""
        return self._launched(RE_EXECUTE, {"parentRunId": run_id, "strategy": strategy})

    def launch(self, job_name: str) -> str:
        """Launch a job and return its run id at once."""
        return self._run_of(
            LAUNCH_RUN, {"selector": {**LOCATION, "pipelineName": job_name}, "mode": "default", "runConfigData": {}}
        )

    def _launched(self, mutation: str, parameters: dict[str, Any]) -> str:
        return self.ended(self._run_of(mutation, parameters))

    def _run_of(self, mutation: str, parameters: dict[str, Any]) -> str:
        (answer,) = self.ask(mutation, p=parameters).values()
        assert "run" in answer, answer
        return str(answer["run"]["runId"])

    def ended(self, run_id: str) -> str:
        """Wait until a run has ended and return its status."""
        deadline = time.monotonic() + RUN_SECONDS
        while (status := str(self.run(run_id)["runStatus"])) not in ENDED_RUNS:
            assert time.monotonic() < deadline, f"run {run_id} is still {status} after {RUN_SECONDS} s"
            time.sleep(1)  # each question costs the webserver processor time
        return status

    def backfill(self, assets: Sequence[AssetKey], partitions: Sequence[str] | None) -> Backfill:
        """Launch a backfill of partitions, or of everything in the assets' graph, and wait for its end."""
        return self.backfill_ended(self.launch_backfill(assets, partitions))

    def launch_backfill(self, assets: Sequence[AssetKey], partitions: Sequence[str] | None) -> str:
        """Launch a backfill of partitions, or of everything in the assets' graph, and return its id at once."""
        selection = [{"path": list(asset.path)} for asset in assets]
        which = {"allPartitions": True} if partitions is None else {"partitionNames": list(partitions)}
        launched = self.ask(BACKFILL, p={"assetSelection": selection, **which, "tags": []})["launchPartitionBackfill"]
        assert "backfillId" in launched, launched
        return str(launched["backfillId"])

    def backfill_ended(self, backfill_id: str) -> Backfill:
        """Wait until a backfill has ended."""
        deadline = time.monotonic() + RUN_SECONDS
        while True:
            found = self.ask(BACKFILL_STATUS, id=backfill_id)["partitionBackfillOrError"]
            if found["status"] != "REQUESTED":
                error = found["error"]["message"] if found["error"] else None
                return Backfill(status=found["status"], runs=tuple(run["runId"] for run in found["runs"]), error=error)
            assert time.monotonic() < deadline, f"the backfill still runs: {found}"
            time.sleep(1)  # each question costs the webserver processor time

    def partitions(self, asset: AssetKey) -> tuple[int, int, int]:
        """Materialized, failed and all partitions, as the asset graph counts them."""
        node = self.ask(PARTITIONS, k={"path": list(asset.path)})["assetNodeOrError"]
        stats = node["partitionStats"]
        return stats["numMaterialized"], stats["numFailed"], stats["numPartitions"]


def _tree(root: int) -> list[int]:
    """Return a process and everything below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _living(pids: list[int]) -> list[int]:
    def is_living(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    return [pid for pid in pids if is_living(pid)]


def _living_after(pids: list[int], *, seconds: float) -> list[int]:
    """Return what is left of processes that are about to end."""
    deadline = time.monotonic() + seconds
    while _living(pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return _living(pids)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def _dagster_dev(pipeline: Pipeline, patch: pytest.MonkeyPatch) -> Iterator[Callable[[], Ui]]:
    """Start ``dagster dev -w workspace.yaml`` in the pipeline's folder, on the instance that its commands use."""
    started: list[subprocess.Popen[bytes]] = []
    log = pipeline.root / "dagster-dev.log"

    def start() -> Ui:
        patch.setenv("DAGSTER_HOME", str(pipeline.root / ".dagster"))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(QUICK_DAEMON), os.environ.get("PYTHONPATH", "")]))
        shutil.copy(REPOSITORY / "workspace.yaml", pipeline.root)
        port = _free_port()
        dagster = str(Path(sys.executable).parent / "dagster")
        command = [dagster, "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
        with log.open("wb") as out:
            started.append(subprocess.Popen(command, cwd=pipeline.root, stdout=out, stderr=out, start_new_session=True))
        ui = Ui(port, started[-1].pid)
        pipeline.wait_until(ui.loaded, seconds=START_SECONDS, what="dagster dev")
        return ui

    yield start
    left = [pid for process in started for pid in _end(process)]
    print(log.read_text()[-20_000:] if log.exists() else "")  # pytest shows it when the test failed
    assert left == [], f"dagster dev left processes behind: {left}"


@pytest.fixture
def start_ui(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Ui]]:
    """Starts a ``dagster dev`` of the test's own."""
    with _dagster_dev(pipeline, monkeypatch) as start:
        yield start


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """A running ``dagster dev`` of several pipelines, one source each."""

    ui: Ui
    instance: dg.DagsterInstance
    pipelines: Iterator[Pipeline]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, empty_home: Path) -> Iterator[Shared]:
    """One ``dagster dev`` for a module: to start it costs more than what most tests do with it."""
    root = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as opened:
        sandbox = opened.enter_context(Sandbox(SandboxConfig(data=root / "encord", job_seconds=0.0)))
        pipelines = [Pipeline(root, sandbox, f"cameras-{number}") for number in range(SHARED_SOURCES)]
        for pipeline in pipelines:
            pipeline.files.mkdir(parents=True)
        document = {"state": "./.registration", "sources": {one.source: one.settings() for one in pipelines}}
        pipelines[0].config.write_text(yaml.safe_dump(document))
        pipelines[0].enter(patch)
        shutil.copytree(empty_home, dagster_home(pipelines[0].project.settings, os.environ))
        instance = opened.enter_context(open_instance(pipelines[0].project.settings, os.environ))
        start = opened.enter_context(_dagster_dev(pipelines[0], patch))
        yield Shared(ui=start(), instance=instance, pipelines=iter(pipelines))


def _end(process: subprocess.Popen[bytes]) -> list[int]:
    """End a ``dagster dev`` as Ctrl-C does; kill and return what is left of it."""
    tree = _tree(process.pid)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    left = _living_after(tree, seconds=120)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return left
