"""A rehearsal of a folder of files at a running sandbox, spoken to through the SDK, with the patience of a test.

What does not belong here: what is expected of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from registration_pipeline.cli.rehearse import prepare
from registration_pipeline.project.project import Project
from registration_pipeline.rehearsal.folder import Patience
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.config import Integration, LocalObjects, SandboxConfig
from registration_pipeline.sandbox.faults.values import Effect, Fate, Fault
from registration_pipeline.sandbox.server import Sandbox
from registration_pipeline.submission.calls.retry import RetryPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.rehearsal.findings.finding import Finding
    from registration_pipeline.rehearsal.rehearse import Rehearser
    from registration_pipeline.rehearsal.report import Rehearsal

SOURCE: Final = "fleet"
QUICK: Final = Patience(job=20.0, lag=1.0, watch=0.05, clean=3.0, step=0.03)
SLOW_JOB: Final = Fault(effect=Effect.JOB, fate=Fate.LATE, endpoint=Endpoint.START_JOB, skip=7, times=1, seconds=6.0)
"""The first of the two jobs side by side, so that it is pending when the second is accepted, however busy the machine is."""
READING: Final = (Integration("sandbox", readers=(LocalObjects(),)),)


@dataclass(frozen=True, slots=True)
class Scene:
    """A source of nine pictures and a text, and its sandbox."""

    root: Path
    sandbox: Sandbox

    @property
    def project(self) -> Project:
        environ = {"ENCORD_DOMAIN": self.sandbox.url, "ENCORD_SSH_KEY_FILE": str(self.sandbox.private_key_path)}
        return Project.load(self.root / "registration.yaml", environ)

    def rehearser(self, **retry: Any) -> Rehearser:
        """Return a rehearsal that waits no longer than a test may."""
        project = self.project
        rehearser = prepare(project, project.source(SOURCE))
        rehearser.patience = QUICK
        rehearser.retry = RetryPolicy(**({"cap_seconds": 0.3} | retry))
        return rehearser

    def folders(self) -> dict[str, str]:
        """Return the folders of rehearsals that are in Encord."""
        return self.project.trial_gateway(lambda _: None).folders_named_like("rehearsal")


def open_scene(root: Path, **switches: Any) -> Scene:
    """Write the source's files and configuration and start the sandbox."""
    folder = root / "files" / "day"
    folder.mkdir(parents=True)
    for number in range(9):
        # The larger the number the smaller the file, so that the order of registration is not that of names.
        (folder / f"é+ {number}.jpg").write_bytes(b"\xff\xd8\xff" + b"x" * (20 - number))
    (folder / "note.txt").write_text("a text")
    source = {"uri": (root / "files").as_uri(), "encord": {"integration": "sandbox"}}
    configuration = {"state": "./state", "sources": {SOURCE: source}}
    (root / "registration.yaml").write_text(yaml.safe_dump(configuration))
    defaults: dict[str, Any] = {"data": root / "encord", "job_seconds": 0.0, "integrations": READING}
    sandbox = Sandbox(SandboxConfig(**defaults | switches))
    return Scene(root, sandbox)


def by_name(result: Rehearsal) -> dict[str, Finding]:
    return {finding.name: finding for finding in result.findings}
