"""Runs accepted upload jobs in a bounded pool of threads and wakes waiting polls when one ends.

What does not belong here: what registering a unit means, and HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from registration_pipeline.sandbox.api.wire import timestamp
from registration_pipeline.sandbox.jobs.readers import Examined, ObjectReader, build_reader, examine
from registration_pipeline.sandbox.jobs.registration import meet_fate, register_slice
from registration_pipeline.sandbox.jobs.submissions import ERROR, PENDING, Submission, load_submission

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from registration_pipeline.sandbox.config import SandboxConfig
    from registration_pipeline.sandbox.database import Database

_LOG = logging.getLogger(__name__)

SLICES = 4
"""Transactions that a job's units are spread over, so that a job can be caught half done by a cancel or a kill."""


class JobBoard:
    """Wakes the polls of a job when it ends, and all of them when the sandbox stops.

    Polls wait on the event loop; jobs end in threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = defaultdict(list)
        self._closed = False

    @contextmanager
    def watching(self, job_uuid: str) -> Iterator[asyncio.Event]:
        """An event that is set once the job ends after this call. Ask for the job's state inside, not before."""
        waiter = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._waiting[job_uuid].append(waiter)
            if self._closed:
                waiter[1].set()
        try:
            yield waiter[1]
        finally:
            with self._lock:
                self._waiting[job_uuid].remove(waiter)
                if not self._waiting[job_uuid]:
                    del self._waiting[job_uuid]

    def announce(self, job_uuid: str) -> None:
        """The job has ended."""
        with self._lock:
            if self._closed:
                return
            for loop, event in self._waiting.get(job_uuid, ()):
                loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        """The sandbox stops: every waiting poll ends."""
        with self._lock:
            self._closed = True
            for waiters in self._waiting.values():
                for loop, event in waiters:
                    loop.call_soon_threadsafe(event.set)


class JobRunner:
    """The pool. Jobs that were pending when the sandbox last ended are continued on ``start``."""

    def __init__(self, config: SandboxConfig, database: Database, board: JobBoard) -> None:
        self._config, self._database, self._board = config, database, board
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._timers: dict[int, threading.Timer] = {}
        self._jobs = ThreadPoolExecutor(config.workers, thread_name_prefix="sandbox-job")
        self._reads = ThreadPoolExecutor(config.read_workers, thread_name_prefix="sandbox-read")
        self._readers = {
            integration.title: tuple(
                build_reader(reader, connections=config.read_workers) for reader in integration.readers
            )
            for integration in config.integrations
        }

    def start(self) -> None:
        """Continue the pending jobs, oldest first."""
        with self._database.reading() as connection:
            pending = connection.execute("SELECT id FROM jobs WHERE status = ? ORDER BY id", (PENDING,)).fetchall()
        for row in pending:
            self.run(row["id"])

    def run(self, job_id: int) -> None:
        """Queue a job."""
        with self._lock:
            self._timers.pop(job_id, None)
            if not self._stopping.is_set():
                self._jobs.submit(self._guarded, job_id)

    def _run_later(self, job_id: int, seconds: float) -> None:
        with self._lock:
            if not self._stopping.is_set():
                timer = self._timers[job_id] = threading.Timer(seconds, self.run, [job_id])
                timer.daemon = True
                timer.start()

    def stop(self) -> None:
        """End after the transactions under way; the jobs stay pending in the database."""
        with self._lock:
            self._stopping.set()
            for timer in self._timers.values():
                timer.cancel()
        self._jobs.shutdown(wait=True, cancel_futures=True)
        self._reads.shutdown(wait=True, cancel_futures=True)

    def _guarded(self, job_id: int) -> None:
        try:
            self._process(job_id)
        except Exception:  # noqa: BLE001 - a bug must end the job, not hang its pollers
            _LOG.exception("upload job %d broke inside the sandbox and ends as ERROR", job_id)
            with self._database.writing() as connection:
                connection.execute(
                    "UPDATE jobs SET status = ?, ended_at = ? WHERE id = ? AND status = ?",
                    (ERROR, timestamp(), job_id, PENDING),
                )
            self._announce(job_id)

    def _announce(self, job_id: int) -> None:
        with self._database.reading() as connection:
            row = connection.execute("SELECT uuid FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is not None:
            self._board.announce(row["uuid"])

    def _process(self, job_id: int) -> None:
        with self._database.reading() as connection:
            job = connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
            if job is None or job["status"] != PENDING:
                return
            readers = self._readers_of(connection, job["integration_uuid"])
        wait = (job["run_at"] or 0.0) - time.time()
        if wait > 0:
            self._run_later(job_id, wait)
            return
        submission = load_submission(job["submission"])
        position, units, status = job["position"], job["units"], PENDING
        end = units if job["fate_position"] is None else job["fate_position"]
        size = max(1, -(-units // SLICES))
        while status == PENDING:
            if position >= end and job["fate_position"] is not None:
                with self._database.writing() as connection:
                    status = meet_fate(connection, job_id, self._config)
                if status == PENDING:
                    return
                break
            due = time.monotonic() + self._config.job_seconds * min(size, max(units, 1)) / max(units, 1)
            examined = self._examine(submission, range(position, min(position + size, end)), readers)
            if self._stopping.wait(max(0.0, due - time.monotonic())):
                return
            with self._database.writing() as connection:
                status = register_slice(
                    connection,
                    job_id=job_id,
                    submission=submission,
                    start=position,
                    examined=examined,
                    config=self._config,
                )
            position += len(examined)
        self._board.announce(job["uuid"])

    def _readers_of(self, connection: sqlite3.Connection, integration_uuid: str | None) -> tuple[ObjectReader, ...]:
        row = connection.execute("SELECT title FROM integrations WHERE uuid = ?", (integration_uuid,)).fetchone()
        return self._readers.get(row["title"], ()) if row else ()

    def _examine(self, submission: Submission, positions: range, readers: tuple[ObjectReader, ...]) -> list[Examined]:
        if not readers:
            return [Examined()] * len(positions)
        pending = [
            None
            if position in submission.skipped
            else self._reads.submit(examine, unit.item_type, unit.kind, unit.urls, readers)
            for position in positions
            for unit in (submission.units[position],)
        ]
        return [Examined() if future is None else future.result() for future in pending]
