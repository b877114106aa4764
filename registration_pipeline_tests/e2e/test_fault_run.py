"""Everything that can go wrong with Encord, at once and often: 50,000 objects are registered once all the same."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.endpoints import Endpoint
from registration_pipeline.sandbox.faults import Kind, RandomFaults
from registration_pipeline.sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SOURCE = "fleet"
OBJECTS, CHUNKS = 50_000, 50
MOST_RUNS = 10
TIMEOUT_SECONDS, DELAY_SECONDS, LATE_SECONDS, SETTLE_SECONDS = 3, 4, 1.5, 5
"""A delayed start takes effect a second after the client has given it up, and its job may begin late on top."""


@dataclass(frozen=True, slots=True)
class Project:
    root: Path
    sandbox: Sandbox

    def sync(self) -> tuple[int, dict[str, Any], str]:
        """Run the command; returns its status, the source's numbers and what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "registration_pipeline", "sync", "--json"],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout)["sources"][SOURCE], done.stderr

    def registered_urls(self) -> list[str]:
        """Every registered URL, as often as it is, over all folders."""
        folders = {job.folder_uuid for job in self.sandbox.jobs()}
        return [url for folder in folders for item in self.sandbox.folder_items(folder) for url in item.urls]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    media = tmp_path / "media"
    for folder in range(CHUNKS):
        (media / f"{folder:02d}").mkdir(parents=True)
        for number in range(OBJECTS // CHUNKS):
            (media / f"{folder:02d}" / f"{number:04d}.jpg").write_bytes(b".")
    source = {
        "uri": f"file://{media}/",
        "encord": {"integration": "sandbox"},
        "max_in_flight": 8,
        "settle_seconds": SETTLE_SECONDS,
        "job_timeout_seconds": 10,
        "max_attempts": MOST_RUNS,
    }
    settings = {"state": "./state", "encord": {"timeout_seconds": TIMEOUT_SECONDS}, "sources": {SOURCE: source}}
    (tmp_path / "registration.yaml").write_text(yaml.safe_dump(settings))
    for name in ("DAGSTER_HOME", "REGISTRATION_CONFIG", "ENCORD_SSH_KEY"):
        monkeypatch.delenv(name, raising=False)
    with Sandbox(SandboxConfig(data=tmp_path / "encord", job_seconds=0.3)) as sandbox:
        monkeypatch.setenv("ENCORD_DOMAIN", sandbox.url)
        monkeypatch.setenv("ENCORD_SSH_KEY_FILE", str(sandbox.private_key_path))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        yield Project(tmp_path, sandbox)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fifty_thousand_objects_are_registered_once_whatever_encord_does(
    project: Project, seed: int, capsys: pytest.CaptureFixture[str]
):
    faults = RandomFaults(
        probability=0.3,
        seed=seed,
        kinds=tuple(Kind),
        delay_seconds=DELAY_SECONDS,
        late_seconds=LATE_SECONDS,
    )
    project.sandbox.randomise(faults)
    began = time.monotonic()
    statuses: list[int] = []
    while not statuses or statuses[-1] != 0:
        assert len(statuses) < MOST_RUNS, f"exit statuses of {len(statuses)} runs: {statuses}\n{said}"
        status, source, said = project.sync()
        statuses.append(status)
        counted = sum(source[name] for name in ("excluded", "rejected", "registered", "pending", "failed"))
        assert counted == source["objects"] == OBJECTS
    seconds = time.monotonic() - began

    urls = Counter(project.registered_urls())
    doubled, lost = sum(count - 1 for count in urls.values()), OBJECTS - len(urls)
    struck = project.sandbox.fault_counts()
    with capsys.disabled():
        sys.stdout.write(
            f"\nseed {seed}: {OBJECTS:,} objects in {CHUNKS} chunks, {len(urls):,} registered, {doubled} duplicates, {lost} "
            f"lost, after {len(statuses)} sync runs (exit statuses {statuses}) in {seconds:.0f} s; "
            f"{len(project.sandbox.jobs())} upload jobs; faults {sum(struck.values()):,}: "
            f"{', '.join(f'{way} {count}' for way, count in sorted(struck.items()))}\n"
        )
    assert (len(urls), doubled, lost) == (OBJECTS, 0, 0)
    assert project.sandbox.duplicates() == {}
    assert source["registered"] == OBJECTS
    traffic = project.sandbox.requests()
    assert {endpoint for endpoint in traffic if endpoint in set(Endpoint)} >= {Endpoint.START_JOB, Endpoint.POLL_JOB}
