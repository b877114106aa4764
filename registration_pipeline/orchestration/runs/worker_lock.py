"""A lock that a run's worker holds as long as it lives, so that its end is known from another container, too.

It is a file in the folder of the instance (``DAGSTER_HOME``), and says something only on a disk of this machine alone: on a
network file system a lock may be known to the machine that has it, and to no other. Where Dagster's storage is Postgres, each
machine has such a folder, with the workers that ran on it. What does not belong here: what else a worker records, and what is
concluded (``processes.py``).
"""

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

import dagster as dg

from registration_pipeline.orchestration.private_dagster import sqlite_event_log
from registration_pipeline.state.machine import is_local

_FOLDER = "registration-pipeline.workers"


class WorkerLock:
    """The lock of one run.

    Args:
        instance: Dagster's.
        run_id: the run.
    """

    def __init__(self, instance: dg.DagsterInstance, run_id: str) -> None:
        self._file = None if instance.is_ephemeral else Path(instance.root_directory) / _FOLDER / run_id
        self._descriptor: int | None = None
        self.is_with_the_runs = sqlite_event_log(instance.event_log_storage) is not None
        """The runs themselves are in the folder, too: a copy of the lock is of another instance."""

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

    def is_abandoned(self, host: str) -> bool:
        """Return whether a worker held the lock and has ended; False when that can't be known.

        Args:
            host: the name of the worker's machine, which must be this one where the kind of disk is not known (macOS).
        """
        if self._file is None or not self._is_on_our_disk(host):
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

    def _is_on_our_disk(self, host: str) -> bool:
        assert self._file is not None
        is_ours = is_local(self._file.parent)
        return host == socket.gethostname() if is_ours is None else is_ours

    def forget(self) -> None:
        """Remove the file of a worker that has ended."""
        if self._file is not None:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)
