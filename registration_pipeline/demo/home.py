"""The folder of a demo: what lies where in it, whether it is a demo's, and starting over.

What does not belong here: what is written into the files (``configuration``, ``layout``).
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_MARKER = ".registration-pipeline-demo"


@dataclass(frozen=True, slots=True)
class DemoHome:
    """Where everything of one demo lies.

    Args:
        folder: absolute.
    """

    folder: Path

    @property
    def config(self) -> Path:
        """The registration.yaml."""
        return self.folder / "registration.yaml"

    @property
    def labels(self) -> Path:
        """The table of what is known of camera frames."""
        return self.folder / "labels.csv"

    @property
    def workspace(self) -> Path:
        """What ``dagster dev -w`` reads."""
        return self.folder / "workspace.yaml"

    @property
    def environment_script(self) -> Path:
        """What a user's shell reads to work on the demo."""
        return self.folder / "env.sh"

    @property
    def bucket(self) -> Path:
        """The files that the local S3 server holds."""
        return self.folder / "bucket"

    @property
    def directory(self) -> Path:
        """The files of the ``file://`` source."""
        return self.folder / "directory"

    @property
    def state(self) -> Path:
        """The state of the pipeline."""
        return self.folder / "state"

    @property
    def sandbox(self) -> Path:
        """The sandbox's database, key and planted failures."""
        return self.folder / "sandbox"

    @property
    def dagster_home(self) -> Path:
        """The Dagster instance."""
        return self.folder / "dagster_home"

    @property
    def ui_log(self) -> Path:
        """What ``dagster dev`` said."""
        return self.folder / "dagster-dev.log"

    @property
    def is_finished(self) -> bool:
        """Whether a demo ran here to its end."""
        try:
            return bool(json.loads(self._marker.read_text(encoding="utf-8"))["finished"])
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def claim(self) -> None:
        """Make the folder and mark it as a demo's.

        Raises:
            UsageError: it holds something that no demo put there, or it can't be written.
        """
        try:
            if self.folder.exists() and not self.folder.is_dir():
                raise UsageError(f"{self.folder} is a file. Name another folder with --dir.")
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._marker.exists() and any(self.folder.iterdir()):
                message = (
                    f"{self.folder} holds files that are not a demo's, and a demo starts by deleting what is there. "
                    "Name a new or empty folder with --dir."
                )
                raise UsageError(message)
            if not self._marker.exists():
                self._mark(finished=False)
        except OSError as error:
            message = f"{self.folder} can't be used for the demo ({error.strerror}). Name a folder that can be written."
            raise UsageError(message) from error

    def clear(self) -> None:
        """Delete what the demo made, and only that: a file that was put beside it stays.

        Raises:
            UsageError: the folder was not claimed, or something can't be deleted.
        """
        if not self._marker.exists():
            raise UsageError(f"{self.folder} is not a demo's folder; nothing was deleted.")
        files = (
            self.config,
            self.labels,
            self.workspace,
            self.environment_script,
            self.ui_log,
            self.folder / "bucket.json",
        )
        try:
            self._mark(finished=False)
            for path in (self.bucket, self.directory, self.state, self.sandbox, self.dagster_home):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
            for path in files:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(
                f"{error.filename} can't be deleted ({error.strerror}). Delete it, or name another folder with --dir."
            ) from error

    def finish(self) -> None:
        """Say that the demo ran to its end."""
        self._mark(finished=True)

    @property
    def _marker(self) -> Path:
        return self.folder / _MARKER

    def _mark(self, *, finished: bool) -> None:
        note = "made by `registration-pipeline demo`, which may delete what it made here"
        self._marker.write_text(json.dumps({"note": note, "finished": finished}) + "\n", encoding="utf-8")
