"""The example's DAG in a real Airflow 3: which task has which state after a good night, failures, a halt and a wrong name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from registration_pipeline.pipeline import Pipeline
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.jobs.unit_rules import UnitRule
from registration_pipeline.sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = "fleet-cameras"
STAGES = ("check", "inventory", "plan", "submit", "failure_log")
DAG_FILE = Path(__file__).parents[2] / "examples" / "airflow" / "dags" / "registration.py"
pytestmark = pytest.mark.timeout(1800)


@dataclass(frozen=True, slots=True)
class Night:
    """What Airflow says of one run of the DAG."""

    run: str
    tasks: dict[str, dict[str, Any]]

    @property
    def states(self) -> dict[str, str]:
        return {stage: self.tasks[stage]["state"] for stage in STAGES}

    def returned(self, stage: str) -> dict[str, Any]:
        value: dict[str, Any] = self.tasks[stage]["returned"]
        return value


@dataclass(frozen=True, slots=True)
class Airflow:
    """An Airflow that runs the DAG whenever it is told to."""

    root: Path
    sandbox: Sandbox
    process: subprocess.Popen[str]

    def night(self, config: str = "registration.yaml", encord: str | None = None, **params: Any) -> Night:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        environ = {"ENCORD_DOMAIN": encord or self.sandbox.url}
        wanted = {"config": str(self.root / config), "params": params, "environ": environ}
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()
        said = []
        for line in self.process.stdout:
            said.append(line)
            if line.startswith("RESULT "):
                return Night(**json.loads(line.removeprefix("RESULT ")))
        raise AssertionError("".join(said[-200:]))

    def put(self, *names: str) -> None:
        for name in names:
            (self.root / "files" / name).write_bytes(b"x")


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    root, python = tmp_path_factory.mktemp("airflow"), os.environ["AIRFLOW_PYTHON"]
    (root / "files").mkdir()
    source = {"uri": (root / "files").as_uri(), "encord": {"integration": "sandbox"}, "settle_seconds": 1}
    source |= {"chunk_size": {"images": 1}, "schedule": None}
    for name, file in ((SOURCE, "registration.yaml"), ("other", "other.yaml")):
        (root / file).write_text(yaml.safe_dump({"state": "./state", "sources": {name: source}}))
    sandbox = Sandbox(SandboxConfig(data=root / "encord", job_seconds=0.0))
    environ = {
        **os.environ,
        "AIRFLOW_HOME": str(root / "home"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAG_FILE.parent),
        "ENCORD_SSH_KEY_FILE": str(sandbox.private_key_path),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "REGISTRATION_CONFIG": str(root / "registration.yaml"),
        "REGISTRATION_PYTHON": sys.executable,
    }
    subprocess.run(
        [str(Path(python).with_name("airflow")), "db", "migrate"], env=environ, check=True, capture_output=True
    )
    process = subprocess.Popen(
        [python, str(Path(__file__).with_name("run_dag.py")), str(DAG_FILE)],
        env=environ,
        cwd=root,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    yield Airflow(root, sandbox, process)
    process.kill()
    process.communicate()
    sandbox.stop()


def test_nights_have_the_states_of_their_exit_statuses(airflow: Airflow):
    """One story, because Airflow takes long to begin a run."""
    airflow.put("a.jpg", "b.jpg")
    good = airflow.night()
    airflow.put("c.jpg", "d.jpg")
    airflow.sandbox.plant(UnitRule("c.jpg", "The object can't be read (404)."))
    refused = airflow.night()
    airflow.sandbox.plant()
    unchanged = airflow.night()
    retried = airflow.night(failed=True)
    airflow.put("e.jpg")
    silent = airflow.night(encord="http://127.0.0.1:9")
    misnamed = airflow.night(config="other.yaml")

    assert (good.run, set(good.states.values())) == ("success", {"success"})
    assert good.returned("submit")["registered_objects"] == 2
    # 3: failed at the first try, and the log is written; the run is failed though its last task went well.
    assert (refused.run, refused.states["submit"], refused.states["failure_log"]) == ("failed", "failed", "success")
    assert refused.tasks["submit"]["tries"] == 1
    assert refused.returned("submit")["exit_status"] == 3
    assert refused.returned("submit")["registered_objects"] == 1
    assert len(refused.returned("submit")["failed_chunks"]) == 1
    assert sum(refused.returned("failure_log")["rows_by_reason"].values()) == 1
    assert Path(refused.returned("failure_log")["csv"]).read_text().count("c.jpg") == 2
    # What Encord refused is not sent again by itself, and is when a person asks for it.
    assert (unchanged.run, unchanged.returned("submit")["registered_objects"]) == ("failed", 0)
    assert (retried.run, retried.returned("submit")["registered_objects"]) == ("success", 1)
    # 4: tried again, and then failed; nothing after it ran but the log.
    assert (silent.run, silent.states["check"], silent.states["submit"]) == ("failed", "failed", "upstream_failed")
    assert silent.tasks["check"]["tries"] == 2
    assert silent.states["failure_log"] == "success"
    # 2: failed at once.
    assert (misnamed.run, misnamed.states["check"], misnamed.tasks["check"]["tries"]) == ("failed", "failed", 1)
    assert "no source 'fleet-cameras'" in misnamed.returned("check")["message"]
    assert Pipeline.load(airflow.root / "registration.yaml").status(SOURCE).registered == 4
