"""A source on a folder of files and a sandbox, used through ``Pipeline`` in this process; one for each module of tests.

Nothing of Dagster is imported here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from registration_pipeline.pipeline import Pipeline
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.jobs.unit_rules import UnitRule
from registration_pipeline.sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registration_pipeline.pipeline import Progress

SOURCE = "fleet"
REFUSED = "The object can't be read (404)."


@dataclass(frozen=True, slots=True)
class Plant:
    """One source, ``fleet``, below ``root``; the folder of its files and its state are named by ``number``, so that a module
    of tests can begin again with one sandbox."""

    root: Path
    sandbox: Sandbox
    environ: dict[str, str]
    numbers: list[int] = field(default_factory=lambda: [0])

    @property
    def here(self) -> Path:
        return self.root / str(self.numbers[-1])

    @property
    def config(self) -> Path:
        return self.here / "registration.yaml"

    def begin(self, **settings: Any) -> None:
        """Begin with an empty folder, a new state and a new folder in Encord."""
        self.numbers.append(self.numbers[-1] + 1)
        (self.here / "files").mkdir(parents=True)
        self.sandbox.plant()
        self.configure(**settings)

    def configure(self, *, notify: tuple[dict[str, str], ...] = (), **settings: Any) -> None:
        """Write the configuration; everything but ``notify`` is of the source."""
        source = {
            "uri": (self.here / "files").as_uri(),
            "encord": {"integration": "sandbox", "folder": f"fleet {self.numbers[-1]}"},
            "chunk_size": {"images": 2},
            "settle_seconds": 1,
            "exclude": ["**/thumbs/**"],
            **settings,
        }
        self.config.write_text(
            yaml.safe_dump({"state": "./state", "sources": {SOURCE: source}, "notify": list(notify)})
        )

    def put(self, *keys: str, body: bytes = b"x") -> None:
        for key in keys:
            path = self.here / "files" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)

    def refuse(self, pattern: str) -> None:
        """Let Encord refuse objects whose URL matches."""
        self.sandbox.plant(UnitRule(pattern, REFUSED))

    def pipeline(self, progress: Callable[[Progress], None] | None = None, **environ: str) -> Pipeline:
        return Pipeline.load(self.config, environ={**self.environ, **environ}, progress=progress)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    root = tmp_path_factory.mktemp("plant")
    with pytest.MonkeyPatch.context() as patch:
        sandbox = Sandbox(SandboxConfig(data=root / "encord", job_seconds=0.0))
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1,localhost")
        key = {"ENCORD_DOMAIN": sandbox.url, "ENCORD_SSH_KEY_FILE": str(sandbox.private_key_path)}
        given = {name: value for name, value in os.environ.items() if not name.startswith(("ENCORD_", "REGISTRATION_"))}
        yield Plant(root, sandbox, {**given, **key})
        sandbox.stop()


@pytest.fixture
def plant(opened: Plant) -> Plant:
    """A configured source without files."""
    opened.begin()
    return opened
