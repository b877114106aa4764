"""A lock that a run's worker holds as long as it lives, so that its end is known from another container, too.

Only where the instance is in SQLite: then all who share it share its folder, on a file system whose locks the database itself
relies on. Elsewhere nothing is locked and nothing is said. What does not belong here: what else a worker records
(``processes.py``).
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

import dagster as dg

from registration_pipeline.orchestration.private_dagster import sqlite_event_log

_FOLDER = "registration-pipeline.workers"


class WorkerLock:
    """The lock of one run.

    Args:
        instance: Dagster's.
        run_id: the run.
    """

    def __init__(self, instance: dg.DagsterInstance, run_id: str) -> None:
        is_shared = sqlite_event_log(instance.event_log_storage) is not None and not instance.is_ephemeral
        self._file = Path(instance.root_directory) / _FOLDER / run_id if is_shared else None
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Hold the lock until ``release``, or the end of the process; where that can't be, there is none."""
        if self._file is None or self._descriptor is not None:
            return
        # It gets its name once it is locked: a file that no process holds means that its process has ended.
        beside = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        with suppress(OSError):
            self._file.parent.mkdir(exist_ok=True)
            descriptor = os.open(beside, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                beside.replace(self._file)
            except OSError:
                os.close(descriptor)
                raise
            self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back and remove its file; nothing happens if it is not held."""
        if self._descriptor is None or self._file is None:
            return
        with suppress(OSError):
            self._file.unlink()
        os.close(self._descriptor)
        self._descriptor = None

    def is_abandoned(self) -> bool:
        """Return whether a worker held the lock and has ended; False when that can't be known."""
        if self._file is None:
            return False
        try:
            descriptor = os.open(self._file, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        else:
            return True
        finally:
            os.close(descriptor)

    def forget(self) -> None:
        """Remove the file of a worker that has ended."""
        if self._file is not None:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)
