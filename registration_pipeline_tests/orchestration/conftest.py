"""A pipeline on a folder of small files and a running sandbox, an instance of its own, and what its partitions show.

``make_pipeline(**settings)`` makes one, changes into its folder as a user would, and puts its environment in place.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from registration_pipeline.definitions import defs
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.runs.instance import dagster_home, open_instance, prepare_home
from registration_pipeline.orchestration.stages import plan_stage
from registration_pipeline.planning.wave import load_chunks
from registration_pipeline.project.project import Project
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.jobs.unit_rules import UnitRule
from registration_pipeline.sandbox.server import Sandbox
from registration_pipeline.tracking.status import SourceStatus, source_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from registration_pipeline.sandbox.admin.insight import JobRecord

SOURCE = "fleet-cameras"
SLOWER = 5
"""So many times slower a machine with other work may be: a wait ends with its condition, and its limit costs nothing."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the UI shows of an asset's partitions."""

    materialized: frozenset[str]
    failed: frozenset[str]
    in_progress: frozenset[str]

    @property
    def counts(self) -> tuple[int, int, int]:
        """Materialized, failed, in progress."""
        return len(self.materialized), len(self.failed), len(self.in_progress)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One source on a folder; everything below ``root``."""

    root: Path
    sandbox: Sandbox
    source: str = SOURCE
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def own(self) -> SourceNames:
        """What the source's things are called in Dagster."""
        return SourceNames(self.source)

    @property
    def config(self) -> Path:
        """The registration.yaml."""
        return self.root / "registration.yaml"

    @property
    def project(self) -> Project:
        """The configuration as it is now, with the environment as it is now."""
        return Project.load(self.config, os.environ)

    @property
    def definitions(self) -> dg.Definitions:
        """The code location's definitions."""
        return defs()

    @property
    def status(self) -> SourceStatus:
        """Where the source's objects stand, from the state."""
        return source_status(self.project.store, self.source)

    @property
    def chunk_ids(self) -> list[str]:
        """Every planned chunk, in planning order."""
        return list(load_chunks(self.project.store, self.source))

    @property
    def files(self) -> Path:
        """The source's folder."""
        return self.root / "files" / ("" if self.source == SOURCE else self.source)

    def enter(self, patch: pytest.MonkeyPatch) -> None:
        """Change into the pipeline's folder as a user would, and put its environment in place."""
        patch.chdir(self.root)
        for name in ("ENCORD_SSH_KEY", "DAGSTER_HOME"):
            patch.delenv(name, raising=False)
        for name, value in {
            "REGISTRATION_CONFIG": str(self.config),
            "ENCORD_DOMAIN": self.sandbox.url,
            "ENCORD_SSH_KEY_FILE": str(self.sandbox.private_key_path),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }.items():
            patch.setenv(name, value)

    def configure(self, **changes: Any) -> None:
        """Write the configuration: one unit per chunk by default."""
        self.config.write_text(
            yaml.safe_dump({"state": "./.registration", "sources": {self.source: self.settings(**changes)}})
        )

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Return the source's settings."""
        return {
            "uri": self.files.as_uri(),
            "encord": {"integration": "sandbox"},
            "chunk_size": {"images": 1},
            "max_in_flight": 16,
            "settle_seconds": 1,
            **changes,
        }

    def add_images(self, count: int, *, day: str = "2026-11-20") -> list[Path]:
        """Put new files into the source; the sandbox registers them unread, so a byte is enough."""
        folder = self.files / day
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"frame_{number:03d}.jpg" for number in range(count)]
        for path in paths:
            path.write_bytes(b"\xff")
        return paths

    def plan(self, instance: dg.DagsterInstance) -> list[str]:
        """List and plan without the cost of runs, and return the chunks, which are partitions now."""
        project = self.project
        source = project.source(self.source)
        project.take_inventory(source)
        plan_stage(project, source, self.own, instance, lambda _: None)
        return self.chunk_ids

    def break_images(self, *numbers: int) -> None:
        """Let Encord refuse these images of ``add_images`` until they are fixed."""
        self.sandbox.plant(*(UnitRule(f"frame_{number:03d}", "The object can't be read (404).") for number in numbers))

    def fix_images(self) -> None:
        """Let Encord take every image."""
        self.sandbox.plant()

    def shown(self, instance: dg.DagsterInstance, key: dg.AssetKey) -> Shown:
        """Ask Dagster's own status cache, which the UI reads, for the partitions of an asset."""
        partitions = dg.DynamicPartitionsDefinition(name=self.own.partitions)
        with partition_loading_context(dynamic_partitions_store=instance):
            cached = get_and_update_asset_status_cache_value(instance, key, partitions)
            assert cached is not None
            materialized = frozenset(cached.deserialize_materialized_partition_subsets(partitions).get_partition_keys())
            failed = frozenset(cached.deserialize_failed_partition_subsets(partitions).get_partition_keys())
            running = frozenset(cached.deserialize_in_progress_partition_subsets(partitions).get_partition_keys())
        return Shown(materialized - failed - running, failed, running)

    def chunks_of(self, *numbers: int) -> frozenset[str]:
        """The chunks of these images of ``add_images``, as long as an image is a chunk: both are in the order of keys."""
        chunk_ids = self.chunk_ids
        return frozenset(chunk_ids[number] for number in numbers)

    def jobs(self) -> list[JobRecord]:
        """Every upload job into the source's folder of a sandbox that several sources fill."""
        folder_uuid = self.project.gateway.find_folder(self.source)
        return [job for job in self.sandbox.jobs() if job.folder_uuid == folder_uuid]

    def urls(self, jobs: Sequence[JobRecord] | None = None) -> list[str]:
        """Every URL in the folders that these upload jobs filled; None: all jobs of the sandbox."""
        folders = {job.folder_uuid for job in (self.sandbox.jobs() if jobs is None else jobs)}
        return [url for folder in folders for item in self.sandbox.folder_items(folder) for url in item.urls]

    def start(self, script: str, *arguments: str, within: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start Python on a script in the pipeline's folder, by a command of its own if need be; the fixture ends it."""
        process = subprocess.Popen(
            [*within, sys.executable, "-c", script, *arguments],
            cwd=self.root,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    @staticmethod
    def wait_until(condition: Callable[[], object], *, seconds: float, what: str) -> None:
        """Wait for something that another process or thread does, which takes at most ``seconds`` on an idle machine."""
        deadline = time.monotonic() + seconds * SLOWER
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds * SLOWER} s in vain for {what}"
            time.sleep(0.1)

    def end_processes(self) -> None:
        """Kill what a failed test left behind."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


class MakePipeline(Protocol):
    """Makes the test's pipeline; the arguments are settings of the sandbox."""

    def __call__(self, **sandbox_settings: Any) -> Pipeline: ...


@pytest.fixture
def make_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePipeline]:
    made: list[Pipeline] = []

    def make(**sandbox_settings: Any) -> Pipeline:
        sandbox = Sandbox(SandboxConfig(**{"data": tmp_path / "encord", "job_seconds": 0.0, **sandbox_settings}))
        pipeline = Pipeline(tmp_path, sandbox)
        made.append(pipeline)
        pipeline.enter(monkeypatch)
        (tmp_path / "files").mkdir()
        pipeline.configure()
        return pipeline

    yield make
    for pipeline in made:
        pipeline.end_processes()
        pipeline.sandbox.stop()


@pytest.fixture
def pipeline(make_pipeline: MakePipeline) -> Pipeline:
    """A pipeline whose source is empty and whose upload jobs take no time."""
    return make_pipeline()


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance that was opened once: its databases are made, which takes five times as long as copying them."""
    home = tmp_path_factory.mktemp("empty-home")
    prepare_home(home)
    with dg.DagsterInstance.from_config(str(home)) as made:
        made.get_runs(limit=1)
        made.get_dynamic_partitions("none")
    return home


@pytest.fixture
def instance_of(empty_home: Path) -> Iterator[Callable[[Pipeline], dg.DagsterInstance]]:
    """Opens the instance that a pipeline's commands use."""
    with ExitStack() as opened:

        def open_it(pipeline: Pipeline) -> dg.DagsterInstance:
            settings = pipeline.project.settings
            shutil.copytree(empty_home, dagster_home(settings, os.environ))
            return opened.enter_context(open_instance(settings, os.environ))

        yield open_it


@pytest.fixture
def instance(pipeline: Pipeline, instance_of: Callable[[Pipeline], dg.DagsterInstance]) -> dg.DagsterInstance:
    """The instance that the commands use."""
    return instance_of(pipeline)
