"""The services of ``compose.yaml`` as processes: the same command lines, files and variables, with a real Postgres.

What does not belong here: what only Docker does (images, networks, restarts), which was not run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from benchmarks.postgres_server import postgres_programs
from registration_pipeline_tests.deploy.compose_file import FOLDER, read_compose
from registration_pipeline_tests.deploy.password_postgres import free_port, password_postgres
from registration_pipeline_tests.e2e.command_project import SOURCE, CommandProject, configure, open_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(postgres_programs() is None, reason="Postgres is not installed (`make postgres`)"),
]
SERVICES: dict[str, dict[str, Any]] = read_compose()["services"]
DOCKER = FOLDER.parent / "docker"
PASSWORD = "o:pen sesame"
OBJECTS = 12
SECONDS = 900


@dataclass(frozen=True, slots=True)
class Composed:
    """The folders of ``compose.yaml`` below another root, and its ports replaced by free ones."""

    root: Path
    ports: dict[str, int]

    def words(self, name: str, words: list[str]) -> list[str]:
        """Return a command line of a service as it is run here: paths, ports and programs of this machine."""
        assert name in SERVICES
        program, *options = (self._here(word) for word in words)
        own = {"healthy": ["/bin/sh", str(DOCKER / "healthy")]}
        return [*own.get(program, [str(Path(sys.executable).parent / program)]), *options]

    def environment(self, name: str) -> dict[str, str]:
        set_by_file = {key: self._here(value) for key, value in SERVICES[name]["environment"].items()}
        return os.environ | set_by_file | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def _here(self, word: str) -> str:
        for there in ("/etc/registration", "/var/lib/registration", "/run/secrets"):
            word = word.replace(there, f"{self.root}{there}")
        word = word.replace("0.0.0.0", "127.0.0.1")
        for port in ("4266", "3000"):
            word = word.replace(port, str(self.ports[port]))
        return word

    def start(self, name: str) -> subprocess.Popen[bytes]:
        log = (self.root / f"{name}.log").open("wb")
        return subprocess.Popen(
            self.words(name, SERVICES[name]["command"]),
            cwd=self.root / "etc/registration",
            env=self.environment(name),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def is_healthy(self, name: str) -> bool:
        kind, *words = SERVICES[name]["healthcheck"]["test"]
        assert kind == "CMD"
        ended = subprocess.run(
            self.words(name, words),
            env=self.environment(name),
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
        return ended.returncode == 0

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['3000']}/graphql", body, {"Content-Type": "application/json"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=300) as reply:
            return json.load(reply)["data"]


@contextmanager
def running(composed: Composed, *names: str) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name in names:
            processes[name] = composed.start(name)
        yield processes
    finally:
        for process in processes.values():
            with ExitStack() as stack:
                stack.callback(process.wait, 30)
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)


def wait_until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            if condition():
                return
        except OSError:
            pass  # not listening yet
        assert time.monotonic() < deadline, what
        time.sleep(0.3)


def prepare(root: Path, ports: dict[str, int]) -> Composed:
    """Put the files where the volumes and secrets of the file put them, with the names of hosts replaced by addresses."""
    etc, home, secrets = (root / name for name in ("etc/registration", "var/lib/registration/dagster", "run/secrets"))
    for folder in (etc, home, secrets):
        folder.mkdir(parents=True)
    instance = yaml.safe_load((FOLDER / "dagster.yaml").read_text())
    database = instance["storage"]["postgres"]["postgres_db"]
    database |= {"hostname": "127.0.0.1", "port": ports["5432"]}
    (home / "dagster.yaml").write_text(yaml.safe_dump(instance))
    workspace = (FOLDER / "registration" / "workspace.yaml").read_text()
    workspace = workspace.replace("host: code", "host: 127.0.0.1").replace("4266", str(ports["4266"]))
    (etc / "workspace.yaml").write_text(workspace)
    secret = PASSWORD.replace(":", r"\:")
    pgpass = secrets / "pgpass"
    pgpass.write_text(f"127.0.0.1:{ports['5432']}:{database['db_name']}:{database['username']}:{secret}\n")
    pgpass.chmod(0o600)
    return Composed(root, ports)


def test_a_sync_launched_in_the_web_server_registers_every_object_and_all_services_are_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = SERVICES["postgres"]["environment"]
    with (
        password_postgres(container["POSTGRES_USER"], container["POSTGRES_DB"], PASSWORD) as database,
        open_sandbox(tmp_path, monkeypatch) as sandbox,
    ):
        ports = {"5432": database, "4266": free_port(), "3000": free_port()}
        composed = prepare(tmp_path, ports)
        configure(tmp_path)
        project = CommandProject(tmp_path, sandbox)
        project.put(*(f"{number}.jpg" for number in range(OBJECTS)))
        (tmp_path / "registration.yaml").rename(tmp_path / "etc/registration/registration.yaml")
        shutil.copy(sandbox.private_key_path, tmp_path / "run/secrets/encord_key")
        monkeypatch.delenv("ENCORD_SSH_KEY_FILE")

        assert not composed.is_healthy("web")
        with running(composed, "code", "web", "daemon") as processes:
            wait_until(lambda: _location_of(composed) == "RepositoryLocation", "the web server shows the code location")
            run_id = _launch(composed)
            wait_until(lambda: _status_of(composed, run_id) in {"SUCCESS", "FAILURE"}, "the run ends")

            assert _status_of(composed, run_id) == "SUCCESS"
            with ThreadPoolExecutor() as pool:
                assert dict(zip(processes, pool.map(composed.is_healthy, processes), strict=True)) == dict.fromkeys(
                    ("code", "web", "daemon"), True
                )
            assert sum(project.registered().values()) == len(project.registered()) == OBJECTS
            assert not files_with(PASSWORD, tmp_path / "etc/registration", tmp_path / "var")
            assert all(process.poll() is None for process in processes.values())


def files_with(secret: str, *folders: Path) -> list[Path]:
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert paths
    return [path for path in paths if secret.encode() in path.read_bytes()]


def _location_of(composed: Composed) -> str:
    shown = composed.ask(
        "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"
    )
    (entry,) = shown["workspaceOrError"]["locationEntries"]
    return str((entry["locationOrLoadError"] or {}).get("__typename"))


def _launch(composed: Composed) -> str:
    selector = {
        "repositoryLocationName": "registration_pipeline",
        "repositoryName": "__repository__",
        "jobName": f"{SOURCE}_sync",
    }
    launched = composed.ask(
        "mutation($selector: JobOrPipelineSelector!) { launchRun(executionParams: {selector: $selector, runConfigData: {}})"
        " { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
        selector=selector,
    )["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return str(launched["run"]["runId"])


def _status_of(composed: Composed, run_id: str) -> str:
    shown = composed.ask("query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run_id)
    return str(shown["runOrError"]["status"])
