"""A configured folder with media on disk, its own sandbox, and ``registration-pipeline`` run on it as processes."""

from __future__ import annotations

import fnmatch
import json
import os
import signal
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from registration_pipeline.planning.wave import load_chunks
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.server import Sandbox
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.outcomes import read_outcomes
from registration_pipeline_tests.forked_commands import ForkedCommand
from registration_pipeline_tests.in_process import run_here

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from registration_pipeline.sandbox.admin.insight import RegisteredItem
    from registration_pipeline.state.store import StateStore
    from registration_pipeline_tests.state_places import StatePlace

SOURCE = "fleet"


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended: its status, what it said, and the source's numbers if it printed them."""

    status: int
    out: str
    said: str

    @property
    def numbers(self) -> dict[str, Any]:
        source: dict[str, Any] = json.loads(self.out)["sources"][SOURCE]
        return source


@dataclass(frozen=True, slots=True)
class CommandProject:
    """One source on a folder of files; everything below ``root``."""

    root: Path
    sandbox: Sandbox
    place: StatePlace | None = None
    """Of the state, if it is not the folder ``state``; its environment is in place."""

    def put(self, *keys: str) -> None:
        for key in keys:
            path = self.root / "media" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b".")

    def start(
        self, *arguments: str, code: str | None = None, preload: Mapping[str, str] | None = None, **environment: str
    ) -> subprocess.Popen[str]:
        """Start a command, or the code that is one, in a process group of its own."""
        env = os.environ | (preload or {}) | environment
        return ForkedCommand(*arguments, cwd=self.root, env=env, code=code, preload=preload)

    def finish(self, process: subprocess.Popen[str], timeout: float = 900) -> Finished:
        out, said = process.communicate(timeout=timeout)
        assert "Traceback" not in said, said
        return Finished(process.returncode, out, said)

    def run(self, *arguments: str) -> Finished:
        """Run a command in this process."""
        ended = run_here(self.root, *arguments)
        assert "Traceback" not in ended.err, ended.err
        return Finished(*ended)

    def sync(self) -> Finished:
        return self.run("sync", "--json")

    def assert_proven(self, objects: int, *, units: int | None = None) -> None:
        """Every unit has the UUID of an item of its own, and status and audit agree. By default each object is a unit."""
        units = objects if units is None else units
        journal = Journal(self.store, SOURCE)
        verdicts = [journal.progress(chunk_id).verdict for chunk_id in load_chunks(self.store, SOURCE)]
        assert None not in verdicts
        outcomes = [one for verdict in verdicts if verdict for one in read_outcomes(self.store, SOURCE, verdict)]
        items = {(one.item_uuid, one.unit_id) for one in outcomes if one.item_uuid is not None}
        assert len(outcomes) == objects
        assert len(items) == len(dict(items)) == len(set(dict(items).values())) == units
        status, audit = self.run("status", "--json"), self.run("audit", SOURCE, "--json")
        assert status.numbers["registered"] == len(self.registered()) == objects
        counted = {"registered": units, "pending": 0, "failed": 0, "changed": 0, "deleted": 0}
        assert status.numbers["units"] == counted
        assert audit.status == 0, audit.out

    def kill(self, process: subprocess.Popen[str]) -> bool:
        """End the whole process group at once; False if it had ended by itself."""
        was_running = process.poll() is None
        if was_running:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=900)
        return was_running

    @property
    def store(self) -> StateStore:
        return self.place.open() if self.place else LocalStateStore(self.root / "state")

    def reached(self, stage: str) -> set[str]:
        """Return the files of the state whose names, below the source, fit a pattern of as many folders."""
        names = self.store.names(f"{SOURCE}/{stage.partition('/')[0]}/")
        return set(fnmatch.filter(names, f"{SOURCE}/{stage}"))

    def items(self) -> list[RegisteredItem]:
        """Every item of all folders that anything was registered in."""
        folders = {job.folder_uuid for job in self.sandbox.jobs()}
        return [item for folder in sorted(folders) for item in self.sandbox.folder_items(folder)]

    def registered(self) -> Counter[str]:
        """Every registered URL and how often it is, over all folders."""
        return Counter(url for item in self.items() for url in item.urls)


def configure(root: Path, *, encord: dict[str, Any] | None = None, **source: Any) -> None:
    """Write the configuration; ``state`` is where the state is, by default a folder."""
    (root / "media").mkdir(exist_ok=True)
    base = {"uri": f"file://{root / 'media'}/", "encord": {"integration": "sandbox"}}
    state = source.pop("state", "./state")
    settings = {"state": state, "encord": encord or {}, "sources": {SOURCE: base | source}}
    (root / "registration.yaml").write_text(yaml.safe_dump(settings))


def open_sandbox(root: Path, patch: Any, **settings: Any) -> Sandbox:
    """Start a sandbox and point the environment at it."""
    sandbox = Sandbox(SandboxConfig(data=root / "encord", **settings))
    for name in ("DAGSTER_HOME", "REGISTRATION_CONFIG", "ENCORD_SSH_KEY"):
        patch.delenv(name, raising=False)
    patch.setenv("ENCORD_DOMAIN", sandbox.url)
    patch.setenv("ENCORD_SSH_KEY_FILE", str(sandbox.private_key_path))
    patch.setenv("NO_PROXY", "127.0.0.1,localhost")
    return sandbox
