"""Commands run in this process, as a user would type them, on a folder of files and a sandbox.

``workplace`` is new for every test; ``synced`` is one for a module's reading tests.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from registration_pipeline.cli.app import run
from registration_pipeline.planning.wave import load_chunks
from registration_pipeline.project.project import Project
from registration_pipeline.project.submitting import register
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.jobs.unit_rules import UnitRule
from registration_pipeline.sandbox.server import Sandbox
from registration_pipeline.tracking.due import ChunkTask
from registration_pipeline_tests.in_process import forget_definitions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SOURCE = "fleet-cameras"
NAMES = ("DAGSTER_HOME", "ENCORD_SSH_KEY", "REGISTRATION_CONFIG", "AWS_PROFILE", "COLUMNS", "NO_COLOR", "FORCE_COLOR")


class Stream(io.TextIOWrapper):
    """A stream of a terminal or of a pipe that keeps what was written."""

    def __init__(self, *, terminal: bool) -> None:
        # As the command line sets up its own streams.
        super().__init__(io.BytesIO(), encoding="utf-8", errors="backslashreplace", newline="\n", write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def fileno(self) -> int:
        raise io.UnsupportedOperation

    @property
    def text(self) -> str:
        written = self.buffer
        assert isinstance(written, io.BytesIO)
        return written.getvalue().decode()


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed and how it ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document that standard output holds; fails if it holds anything else."""
        return json.loads(self.out)

    @property
    def words(self) -> str:
        """All that was said, on one line."""
        return " ".join((self.out + self.err).split())


@dataclass(frozen=True, slots=True)
class Workplace:
    """One source, ``fleet-cameras``, on a folder; everything below ``root``."""

    root: Path
    sandbox: Sandbox
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.root / "registration.yaml"

    @property
    def project(self) -> Project:
        return Project.load(self.config, os.environ)

    def configure(self, **changes: Any) -> None:
        """Write the configuration. A process runs one configuration: Dagster keeps what it loaded from a folder."""
        source = {
            "uri": (self.root / "files").as_uri(),
            "encord": {"integration": "sandbox"},
            "chunk_size": {"images": 2},
            "settle_seconds": 1,
            "exclude": ["**/thumbs/**"],
            **changes,
        }
        self.config.write_text(yaml.safe_dump({"state": "./state", "sources": {SOURCE: source}}))

    def put(self, *keys: str, body: bytes = b"x") -> None:
        for key in keys:
            path = self.root / "files" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)

    def refuse(self, pattern: str, message: str = "The object can't be read (404).") -> None:
        """Let Encord refuse objects whose URL matches."""
        self.sandbox.plant(UnitRule(pattern, message))

    def plan(self) -> list[str]:
        """Take an inventory and plan it without Dagster; returns the chunk ids."""
        project = self.project
        source = project.source(SOURCE)
        project.take_inventory(source)
        return [chunk.chunk_id for chunk in project.plan(source).chunks]

    def register(self) -> None:
        """Plan and register without Dagster."""
        self.plan()
        project = self.project
        tasks = [ChunkTask(chunk=chunk) for chunk in load_chunks(project.store, SOURCE).values()]
        list(register(project, project.source(SOURCE), tasks, notify=lambda _: None))

    def run(self, *arguments: str, terminal: bool = False) -> Said:
        """Run a command as ``registration-pipeline`` would; both streams are pipes by default."""
        out, err = Stream(terminal=terminal), Stream(terminal=terminal)
        forget_definitions()
        with redirect_stdout(out), redirect_stderr(err):
            status = run(list(arguments))
        return Said(status, out.text, err.text)

    def files(self, folder: str = "state") -> dict[str, str]:
        """The digest of every file below a folder."""
        root = self.root / folder
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    def find(self, secret: str, *, apart_from: Path) -> list[Path]:
        """Every file below the root that holds the secret, whatever kind of file it is."""
        needle = secret.encode()
        paths = (path for path in self.root.rglob("*") if path.is_file() and apart_from not in path.parents)
        return [path for path in paths if needle in path.read_bytes()]

    @property
    def key_body(self) -> str:
        """The middle line of the private key, which must be nowhere else."""
        return self.sandbox.private_key_path.read_text().splitlines()[2]


def open_workplace(root: Path, patch: pytest.MonkeyPatch) -> Workplace:
    sandbox = Sandbox(SandboxConfig(data=root / "encord", job_seconds=0.0))
    workplace = Workplace(root, sandbox)
    patch.chdir(root)
    for name in NAMES:
        patch.setenv(name, "")  # so that what a command sets is undone
        patch.delenv(name)
    for name, value in {
        "ENCORD_DOMAIN": sandbox.url,
        "ENCORD_SSH_KEY_FILE": str(sandbox.private_key_path),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "TERM": "xterm-256color",
    }.items():
        patch.setenv(name, value)
    (root / "files").mkdir()
    workplace.configure()
    return workplace


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    """A configured source without files."""
    made = open_workplace(tmp_path, monkeypatch)
    yield made
    made.sandbox.stop()


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """Twelve objects after a first registration: 1 excluded, 2 rejected, 7 registered, 2 refused by Encord; 5 chunks."""
    with pytest.MonkeyPatch.context() as patch:
        made = open_workplace(tmp_path_factory.mktemp("synced"), patch)
        made.put(*(f"day/frame_{number}.jpg" for number in range(9)), "thumbs/a.jpg", "note.xyz")
        made.put("empty.jpg", body=b"")
        made.refuse("frame_[34]")
        made.register()
        yield made
        made.sandbox.stop()


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, BaseException], None]:
    """Let a function of the package, given by its dotted path, raise; for what no user can bring about."""

    def let_raise(target: str, error: BaseException) -> None:
        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(target, fail)

    return let_raise
