"""Accepts upload jobs and keeps them: what was asked for, which duplicates were found at the start, how far it is.

What does not belong here: registering the units (registration), running jobs in the background (jobs), HTTP.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from registration_pipeline.sandbox.api.wire import timestamp
from registration_pipeline.sandbox.config import DedupeAt, GroupMatching, UrlMatching
from registration_pipeline.sandbox.faults.values import FAILING_UNITS, Fate, Fault
from registration_pipeline.sandbox.jobs.lost_evidence import as_told
from registration_pipeline.sandbox.jobs.manifests import ExternalFiles, SubmittedUnit
from registration_pipeline.sandbox.jobs.unit_rules import UnitRule, dump_rules, parse_rules
from registration_pipeline.sandbox.jobs.url_forms import is_held

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

PENDING, DONE, ERROR, CANCELLED = "PENDING", "DONE", "ERROR", "CANCELLED"
JOB_ERROR = "Internal error while processing the upload job"
"""Said by a job that a fault ends as ``ERROR``."""
UNIT_RULE_PREFIX = "fate:"
"""What strikes of units that fail by their job's fate count under, in ``rule_strikes``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What an accepted job will do; fixed when the start call is accepted.

    Args:
        units: in submitted order.
        skipped: positions of the units that are duplicates of what the folder held at the start.
        check_each: search for duplicates again as each unit is registered.
        upsert_metadata: give the existing item the metadata of the skipped unit.
        rules: planted failures in force at the start.
        failing: by position, the units that fail a few times by the job's fate.
    """

    units: list[SubmittedUnit]
    skipped: frozenset[int]
    check_each: bool
    upsert_metadata: bool
    rules: tuple[UnitRule, ...]
    failing: dict[int, UnitFate] = field(default_factory=dict)

    def sends_metadata(self, *, duplicate: bool) -> bool:
        """Whether a unit's client metadata will be kept."""
        return self.upsert_metadata or not duplicate


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFate:
    """A unit that fails ``times`` times with ``error``, for the object at position ``frame``, before it succeeds.

    ``rule`` is what its strikes count under.
    """

    rule: str
    error: str
    times: int
    frame: int = 0


def find_duplicates(
    connection: sqlite3.Connection,
    folder_id: int,
    units: Sequence[SubmittedUnit],
    matching: UrlMatching,
    group_matching: GroupMatching = GroupMatching.ALL_URLS,
) -> frozenset[int]:
    """Positions of the units that the folder holds."""
    return frozenset(
        position
        for position, unit in enumerate(units)
        if is_held(connection, folder_id, unit, urls=matching, groups=group_matching)
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
    url_matching: UrlMatching = UrlMatching.EXACT,
    group_matching: GroupMatching = GroupMatching.ALL_URLS,
    fault: Fault | None = None,
) -> tuple[int, str]:
    """Write the job down, with the fate that a fault gives it, and return its row id and UUID."""
    at_start = files.skip_duplicate_urls and dedupe_at is DedupeAt.START
    skipped = frozenset[int]()
    if at_start:
        skipped = find_duplicates(connection, folder_id, files.units, url_matching, group_matching)
    submission = {
        "units": [_stored(unit) for unit in files.units],
        "skipped": sorted(skipped),
        "check_each": files.skip_duplicate_urls and dedupe_at is DedupeAt.MATERIALISE,
        "upsert_metadata": files.skip_duplicate_urls and files.upsert_metadata,
        "rules": dump_rules(rules),
        "failing": _failing_units(files.units, fault),
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
    if fault is not None and fault.fate is not None:
        _meet_fate(connection, cursor.lastrowid, fault, units=len(files.units))
    return cursor.lastrowid, job_uuid


def _failing_units(units: Sequence[SubmittedUnit], fault: Fault | None) -> dict[str, dict[str, Any]]:
    if fault is None or fault.fate not in FAILING_UNITS:
        return {}
    failing = {}
    # The same unit fails alike in every job, so that it succeeds after as many attempts whatever else goes wrong.
    generators = [Random(f"{fault.seed}:{unit.identity}") for unit in units]  # noqa: S311 - no secret
    draws = [generator.random() for generator in generators]
    lowest = set(sorted(range(len(units)), key=draws.__getitem__)[: FAILING_UNITS[fault.fate]])
    for position, (generator, draw) in enumerate(zip(generators, draws, strict=True)):
        if draw < fault.unit_probability or position in lowest:
            failing[str(position)] = {
                "rule": f"{UNIT_RULE_PREFIX}{fault.seed}",
                "error": generator.choice(fault.unit_messages),
                "times": generator.randint(1, fault.unit_failures),
                # Drawn last: the others are what they were before units had several objects.
                "frame": generator.randrange(len(units[position].urls)),
            }
    return failing


def _meet_fate(connection: sqlite3.Connection, job_id: int, fault: Fault, *, units: int) -> None:
    partial = fault.fate in (Fate.STUCK, Fate.ERROR, Fate.CANCELLED, Fate.PENDING)
    connection.execute(
        "UPDATE jobs SET fate = ?, fate_position = ?, hidden = ?, run_at = ? WHERE id = ?",
        (
            fault.fate,
            int(units * fault.share) if partial else None,
            fault.fate in (Fate.LOST, Fate.NEVER),
            time.time() + fault.seconds if fault.fate is Fate.LATE else None,
            job_id,
        ),
    )
    if fault.fate is Fate.NEVER:
        end_job(connection, job_id, CANCELLED)


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
        failing={int(position): UnitFate(**fate) for position, fate in stored.get("failing", {}).items()},
    )


def add_violation(
    connection: sqlite3.Connection, *, folder_uuid: str, file_name: str | None, message: str, refused: bool
) -> None:
    """Keep what was wrong or doubtful with a manifest, for the admin page."""
    connection.execute(
        "INSERT INTO violations (at, folder_uuid, file_name, refused, message) VALUES (?, ?, ?, ?, ?)",
        (timestamp(), folder_uuid, file_name, refused, message),
    )


def find_job(
    connection: sqlite3.Connection, folder_id: int, job_uuid: str, *, retention_seconds: float | None
) -> sqlite3.Row | None:
    """The job's row, if it belongs to the folder, its id was not lost and it did not end too long ago."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM jobs WHERE uuid = ? AND folder_id = ? AND NOT hidden", (job_uuid, folder_id)
    ).fetchone()
    if row is None or row["ended_at"] is None or retention_seconds is None:
        return row
    return row if row["ended_at"] >= timestamp(seconds_ago=retention_seconds) else None


def units_in_flight(connection: sqlite3.Connection) -> int:
    """Units of all pending jobs that are not processed yet."""
    query = "SELECT total(units - position) FROM jobs WHERE status = ?"
    return int(connection.execute(query, (PENDING,)).fetchone()[0])


def cancel_job(connection: sqlite3.Connection, job: sqlite3.Row) -> int:
    """Stop a pending job; units already registered stay. Returns how many units were stopped."""
    if job["status"] != PENDING:
        return 0
    end_job(connection, job["id"], CANCELLED)
    stopped: int = job["units"] - job["position"]
    return stopped


def end_job(connection: sqlite3.Connection, job_id: int, status: str) -> None:
    """End a pending job; the units that it did not come to count as cancelled."""
    connection.execute(
        "UPDATE jobs SET status = ?, cancelled = units - position, position = units, ended_at = ?, submission = NULL"
        " WHERE id = ?",
        (status, timestamp(), job_id),
    )


def job_state(connection: sqlite3.Connection, job: sqlite3.Row) -> dict[str, Any]:
    """The answer to a poll."""
    slices = connection.execute(
        "SELECT items, errors FROM job_slices WHERE job_id = ? ORDER BY position", (job["id"],)
    ).fetchall()
    unit_errors = [error for row in slices for error in json.loads(row["errors"])]
    job_errors = [JOB_ERROR] if job["status"] == ERROR and job["fate"] == Fate.ERROR else []
    state = {
        "status": job["status"],
        "itemsWithNames": [item for row in slices for item in json.loads(row["items"])],
        "errors": [*job_errors, *sorted({error["error"] for error in unit_errors})],
        "unitsPendingCount": job["units"] - job["position"],
        "unitsDoneCount": job["done"],
        "unitsErrorCount": job["failed"],
        "unitsCancelledCount": job["cancelled"],
        "unitErrors": unit_errors,
        "fileName": job["file_name"],
    }
    return as_told(state, job["fate"])
