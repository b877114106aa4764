"""A ``dagster-webserver`` on a project's instance, asked what the UI's pages ask; time and CPU of each question.

The queries are those of the pages of dagster-webserver 1.13, without the fields of other kinds of partitions.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

START_SECONDS = 300
LOCATION = {"repositoryLocationName": "registration_pipeline.definitions", "repositoryName": "__repository__"}

LOADED = "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }"
GRAPH_BADGE = """query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode { id
  partitionStats { numMaterialized numMaterializing numPartitions numFailed } } } }"""
PARTITION_HEALTH = """query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode { id
  partitionKeysByDimension { name type partitionKeys }
  assetPartitionStatuses { ... on DefaultPartitionStatuses {
    materializedPartitions materializingPartitions failedPartitions } } } } }"""
PARTITION_LIST = """query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode { id
  partitionKeyConnection(limit: 100, ascending: false) { results } } } }"""
ASSET_PAGE = """query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode { id description groupName
  isPartitioned hasMaterializePermission
  assetMaterializations(limit: 1) { timestamp runId partition metadataEntries { label } }
  partitionStats { numMaterialized numMaterializing numPartitions numFailed } } } }"""
BACKFILL = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename
  ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
LAUNCH_RUN = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } ... on InvalidSubsetError { message } } }"""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, and what it took: seconds as its reader waits, CPU seconds of webserver and code server."""

    data: Mapping[str, Any]
    seconds: float
    cpu_seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Webserver:
    """The server of one instance."""

    port: int
    pid: int

    def ask(self, query: str, **variables: Any) -> Answered:
        """Send one question and wait for its whole answer."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        url = f"http://127.0.0.1:{self.port}/graphql"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        cpu_seconds, began = _cpu_seconds(self.pid), time.perf_counter()
        with opener.open(request, timeout=600) as response:
            text = response.read()
        seconds = time.perf_counter() - began
        answer = json.loads(text)
        assert "errors" not in answer, answer["errors"]
        return Answered(answer["data"], seconds, _cpu_seconds(self.pid) - cpu_seconds, len(text))


@contextmanager
def webserver(environ: Mapping[str, str]) -> Iterator[Webserver]:
    """Run the server until the code location is loaded, and end it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = ["-m", "dagster_webserver", "-m", "registration_pipeline.definitions", "-h", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        [sys.executable, *command],
        env={**clean_environment(), **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = Webserver(port, process.pid)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _is_loaded(server):
            assert process.poll() is None, "dagster-webserver ended"
            assert time.monotonic() < deadline, "dagster-webserver did not start"
            time.sleep(0.2)
        yield server
    finally:
        process.terminate()
        process.wait(60)


def _is_loaded(server: Webserver) -> bool:
    try:
        entries = server.ask(LOADED).data["workspaceOrError"]["locationEntries"]
    except OSError:
        return False
    return [entry["loadStatus"] for entry in entries] == ["LOADED"]


def _cpu_seconds(root: int) -> float:
    """Return the CPU of a process and of its children together."""
    children = Path(f"/proc/{root}/task/{root}/children")
    pids = [root, *map(int, children.read_text(encoding="ascii").split())] if children.exists() else [root]
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
