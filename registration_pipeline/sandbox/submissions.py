"""Accepts upload jobs and keeps them: what was asked for, which duplicates were found at the start, how far it is.

What does not belong here: registering the units (registration), running jobs in the background (jobs), HTTP.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registration_pipeline.sandbox.config import DedupeAt
from registration_pipeline.sandbox.manifests import ExternalFiles, SubmittedUnit
from registration_pipeline.sandbox.rules import UnitRule, dump_rules, parse_rules
from registration_pipeline.sandbox.wire import timestamp

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

PENDING, DONE, ERROR, CANCELLED = "PENDING", "DONE", "ERROR", "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What an accepted job will do; fixed when the start call is accepted.

    Args:
        units: in submitted order.
        skipped: positions of the units that are duplicates of what the folder held at the start.
        check_each: look for duplicates again as each unit is registered.
        upsert_metadata: give the existing item the metadata of the skipped unit.
        rules: planted failures in force at the start.
    """

    units: list[SubmittedUnit]
    skipped: frozenset[int]
    check_each: bool
    upsert_metadata: bool
    rules: tuple[UnitRule, ...]


def find_duplicates(connection: sqlite3.Connection, folder_id: int, units: Sequence[SubmittedUnit]) -> frozenset[int]:
    """Positions of the units whose identity the folder holds."""
    query = "SELECT 1 FROM items WHERE folder_id = ? AND identity = ? LIMIT 1"
    return frozenset(
        position
        for position, unit in enumerate(units)
        if connection.execute(query, (folder_id, unit.identity)).fetchone() is not None
    )


def accept_job(
    connection: sqlite3.Connection,
    *,
    folder_id: int,
    owner: str,
    files: ExternalFiles,
    rules: Sequence[UnitRule],
    dedupe_at: DedupeAt,
    file_name: str | None,
    integration_uuid: str | None,
    ignore_errors: bool,
) -> tuple[int, str]:
    """Write the job down and return its row id and UUID."""
    at_start = files.skip_duplicate_urls and dedupe_at is DedupeAt.START
    skipped = find_duplicates(connection, folder_id, files.units) if at_start else frozenset[int]()
    submission = {
        "units": [_stored(unit) for unit in files.units],
        "skipped": sorted(skipped),
        "check_each": files.skip_duplicate_urls and dedupe_at is DedupeAt.MATERIALISE,
        "upsert_metadata": files.skip_duplicate_urls and files.upsert_metadata,
        "rules": dump_rules(rules),
    }
    job_uuid = str(uuid.uuid4())
    cursor = connection.execute(
        "INSERT INTO jobs (uuid, folder_id, owner, file_name, integration_uuid, ignore_errors, submission, status,"
        " created_at, units) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(job_uuid, folder_id, owner, file_name, integration_uuid, ignore_errors),
            *(json.dumps(submission), PENDING, timestamp(), len(files.units)),
        ),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid, job_uuid


def _stored(unit: SubmittedUnit) -> dict[str, Any]:
    # dataclasses.asdict copies every value deeply, a third of a job's cost.
    return {name: getattr(unit, name) for name in SubmittedUnit.__slots__}


def load_submission(text: str) -> Submission:
    """Read back what ``accept_job`` wrote."""
    stored = json.loads(text)
    return Submission(
        units=[SubmittedUnit(**unit) for unit in stored["units"]],
        skipped=frozenset(stored["skipped"]),
        check_each=stored["check_each"],
        upsert_metadata=stored["upsert_metadata"],
        rules=parse_rules(stored["rules"], where="stored rules"),
    )


def find_job(connection: sqlite3.Connection, folder_id: int, job_uuid: str) -> sqlite3.Row | None:
    """The job's row, if it belongs to the folder."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM jobs WHERE uuid = ? AND folder_id = ?", (job_uuid, folder_id)
    ).fetchone()
    return row


def cancel_job(connection: sqlite3.Connection, job: sqlite3.Row) -> int:
    """Stop a pending job; units already registered stay. Returns how many units were stopped."""
    if job["status"] != PENDING:
        return 0
    stopped: int = job["units"] - job["position"]
    connection.execute(
        "UPDATE jobs SET status = ?, cancelled = ?, position = units, ended_at = ?, submission = NULL WHERE id = ?",
        (CANCELLED, stopped, timestamp(), job["id"]),
    )
    return stopped


def job_state(connection: sqlite3.Connection, job: sqlite3.Row) -> dict[str, Any]:
    """The answer to a poll."""
    slices = connection.execute(
        "SELECT items, errors FROM job_slices WHERE job_id = ? ORDER BY position", (job["id"],)
    ).fetchall()
    unit_errors = [error for row in slices for error in json.loads(row["errors"])]
    return {
        "status": job["status"],
        "itemsWithNames": [item for row in slices for item in json.loads(row["items"])],
        "errors": sorted({error["error"] for error in unit_errors}),
        "unitsPendingCount": job["units"] - job["position"],
        "unitsDoneCount": job["done"],
        "unitsErrorCount": job["failed"],
        "unitsCancelledCount": job["cancelled"],
        "unitErrors": unit_errors,
        "fileName": job["file_name"],
    }
