"""The sandbox's SQLite file: tables, one writer, a pool of readers, and the lock that keeps a second sandbox out.

Every item is reached by index: by folder and name or creation order (pages), by folder and identity (duplicates).
Row ids grow with creation, so they are the creation order and need no index on time.

What does not belong here: what the rows mean to an endpoint.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from registration_pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATABASE_FILE = "sandbox.sqlite3"
LOCK_FILE = "sandbox.lock"

_TABLES = """
CREATE TABLE IF NOT EXISTS integrations (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, title TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS folders (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, parent_id INTEGER REFERENCES folders(id),
    name TEXT NOT NULL, description TEXT NOT NULL, client_metadata TEXT NOT NULL, owner TEXT NOT NULL,
    created_at TEXT NOT NULL, last_edited_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS folders_by_name ON folders(parent_id, name, id);
CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, folder_id INTEGER NOT NULL REFERENCES folders(id),
    identity TEXT NOT NULL, -- what duplicates are recognised by: the object URL, or a digest of several
    frames TEXT,            -- JSON list of the object URLs of a unit of several objects
    item_type TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL, client_metadata TEXT NOT NULL,
    owner TEXT NOT NULL, created_at TEXT NOT NULL, last_edited_at TEXT NOT NULL,
    job_id INTEGER NOT NULL, integration_uuid TEXT, file_size INTEGER, mime_type TEXT,
    media TEXT,             -- JSON of the submitted media metadata, camelCase: an object, or a list of those of a group
    submitted_url TEXT);    -- the object URL, if the identity is another form of it
CREATE INDEX IF NOT EXISTS items_by_identity ON items(folder_id, identity);
CREATE INDEX IF NOT EXISTS items_by_name ON items(folder_id, name, id);
CREATE INDEX IF NOT EXISTS items_by_creation ON items(folder_id, id);
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, folder_id INTEGER NOT NULL REFERENCES folders(id),
    owner TEXT NOT NULL, file_name TEXT, integration_uuid TEXT, ignore_errors INTEGER NOT NULL,
    submission TEXT,        -- JSON of units, skipped positions, options and rules; dropped when the job ends
    status TEXT NOT NULL, created_at TEXT NOT NULL, ended_at TEXT,
    units INTEGER NOT NULL, position INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0,
    fate TEXT,              -- what a fault makes of it
    fate_position INTEGER,  -- units after which it is stuck, ends in ERROR or is CANCELLED
    hidden INTEGER NOT NULL DEFAULT 0, -- its id is unknown to clients
    run_at REAL);           -- seconds since the epoch before which it does not begin
CREATE INDEX IF NOT EXISTS jobs_by_status ON jobs(status);
CREATE INDEX IF NOT EXISTS jobs_by_folder ON jobs(folder_id);
CREATE TABLE IF NOT EXISTS datasets (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, title TEXT NOT NULL, description TEXT NOT NULL,
    owner TEXT NOT NULL, created_at TEXT NOT NULL, last_edited_at TEXT NOT NULL,
    folder_uuid TEXT);      -- of a mirrored dataset
CREATE TABLE IF NOT EXISTS data_rows ( -- items that are linked to datasets; an item that is deleted is in none any more
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE,
    dataset_id INTEGER NOT NULL REFERENCES datasets(id) ON DELETE CASCADE,
    item_id INTEGER NOT NULL REFERENCES items(id) ON DELETE CASCADE, created_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS data_rows_by_dataset ON data_rows(dataset_id, item_id);
CREATE INDEX IF NOT EXISTS data_rows_by_item ON data_rows(item_id);
CREATE TABLE IF NOT EXISTS job_slices (
    job_id INTEGER NOT NULL REFERENCES jobs(id), position INTEGER NOT NULL, items TEXT NOT NULL, errors TEXT NOT NULL,
    PRIMARY KEY (job_id, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rule_strikes (
    rule TEXT NOT NULL, url TEXT NOT NULL, strikes INTEGER NOT NULL, PRIMARY KEY (rule, url)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS violations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, folder_uuid TEXT NOT NULL, file_name TEXT,
    refused INTEGER NOT NULL, -- or accepted, with a remark
    message TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS metadata_schema ( -- of the organisation: at most one row
    id INTEGER PRIMARY KEY CHECK (id = 1), fields TEXT NOT NULL, changed_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS faults ( -- scripted ones in force
    id INTEGER PRIMARY KEY AUTOINCREMENT, spec TEXT NOT NULL,
    seen INTEGER NOT NULL DEFAULT 0, struck INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS fault_profile (spec TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS fault_draws (endpoint TEXT PRIMARY KEY, drawn INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fault_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, kind TEXT NOT NULL, way TEXT NOT NULL,
    endpoint TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, committed INTEGER NOT NULL, script_id INTEGER);
"""
_LATER_COLUMNS = (
    ("jobs", "fate", "TEXT"),
    ("jobs", "fate_position", "INTEGER"),
    ("jobs", "hidden", "INTEGER NOT NULL DEFAULT 0"),
    ("jobs", "run_at", "REAL"),
    ("items", "submitted_url", "TEXT"),
)
"""Added to the tables of a data directory that an older release made."""


class Database:
    """One sandbox's data.

    Args:
        data: the data directory.

    Raises:
        UsageError: if another sandbox runs on the directory.
    """

    def __init__(self, data: Path) -> None:
        self._path = data / DATABASE_FILE
        self._lock_descriptor = _lock(data)
        self._write_lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._writer = self._connect()
        self._writer.execute("PRAGMA cache_size=-65536")
        self._writer.executescript(_TABLES)
        for table, column, declaration in _LATER_COLUMNS:
            held = {row["name"] for row in self._writer.execute(f"PRAGMA table_info({table})")}
            if column not in held:
                self._writer.execute(f"ALTER TABLE {table} ADD COLUMN {column} {declaration}")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode=WAL")
        # A killed process loses nothing at NORMAL; only a power cut may, and a rehearsal can be repeated.
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; writers queue on a lock in this process, so none ever sees SQLITE_BUSY."""
        with self._write_lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for one request; it sees one state of the data throughout."""
        with self._idle_lock:
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._connect()
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("COMMIT")
            with self._idle_lock:
                self._idle.append(connection)

    def close(self) -> None:
        """Close every connection and let the next sandbox in."""
        with self._write_lock, self._idle_lock:
            for connection in (*self._idle, self._writer):
                connection.close()
            self._idle.clear()
        os.close(self._lock_descriptor)


def _lock(data: Path) -> int:
    # The kernel drops the lock with the process, so a killed sandbox never blocks the next one.
    descriptor = os.open(data / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UsageError(f"another sandbox is running on {data}; stop it or choose another directory") from error
    return descriptor
