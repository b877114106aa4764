"""Registers the units of an accepted job, slice by slice: each slice and the job's progress are one transaction.

So a killed sandbox continues with the next slice and no unit is registered twice or forgotten; and a cancelled job keeps
the slices that were done.

What does not belong here: waiting, threads, and who is notified when a job ends.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from registration_pipeline.sandbox.api.wire import timestamp
from registration_pipeline.sandbox.config import ErrorFrames, ErrorUrls, ListedOnError, SandboxConfig, SkippedCountsAs
from registration_pipeline.sandbox.faults.values import Fate
from registration_pipeline.sandbox.jobs.client_metadata import embedding_error, embedding_sizes
from registration_pipeline.sandbox.jobs.manifests import KINDS, SubmittedUnit
from registration_pipeline.sandbox.jobs.readers import Failure
from registration_pipeline.sandbox.jobs.submissions import CANCELLED, DONE, ERROR, PENDING, Submission, end_job
from registration_pipeline.sandbox.jobs.url_forms import is_held, match_key, normalise_url

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from registration_pipeline.sandbox.jobs.readers import Examined

SIGNATURE = "f1ac9d"
"""In the URLs of errors with ``error_text_has_url``; a test can search for it."""

_INSERT = """
INSERT INTO items (uuid, folder_id, identity, frames, item_type, name, description, client_metadata, owner, created_at,
                   last_edited_at, job_id, integration_uuid, file_size, mime_type, media, submitted_url)
VALUES (?, ?, ?, ?, ?, ?, '', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


@dataclass(slots=True)
class _Tally:
    items: list[dict[str, str]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    done: int = 0
    skipped: int = 0


def register_slice(
    connection: sqlite3.Connection,
    *,
    job_id: int,
    submission: Submission,
    start: int,
    examined: Sequence[Examined],
    config: SandboxConfig,
) -> str:
    """Register the units from ``start`` on, as many as were examined, and return the job's status afterwards.

    A job that was cancelled or deleted meanwhile is not changed.
    """
    job = connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if job is None or job["status"] != PENDING:
        return CANCELLED if job is None else str(job["status"])
    tally, sizes = _Tally(), embedding_sizes(connection)
    for offset, findings in enumerate(examined):
        position = start + offset
        unit = submission.units[position]
        key = match_key(unit, config.url_matching)
        duplicate = position in submission.skipped or (
            submission.check_each
            and is_held(connection, job["folder_id"], unit, urls=config.url_matching, groups=config.group_matching)
        )
        error = embedding_error(unit.client_metadata, sizes) if submission.sends_metadata(duplicate=duplicate) else None
        failure = Failure(error) if error else None
        if not duplicate:
            failure = _planted_error(connection, submission, position) or findings.failure or failure
            failure = failure or _lacking_media(unit, config)
        if failure is not None:
            tally.errors.append(_unit_error(unit, failure, config))
        elif duplicate:
            _skip(connection, job, unit, key, tally, config=config, upsert=submission.upsert_metadata)
        else:
            named = unit if config.titles_as_sent else replace(unit, title=unit.title.rpartition("/")[2])
            tally.items.append(_add(connection, job, named, key, findings))
            tally.done += 1
    connection.execute(
        "INSERT INTO job_slices (job_id, position, items, errors) VALUES (?, ?, ?, ?)",
        (job_id, start, json.dumps(tally.items), json.dumps(tally.errors)),
    )
    connection.execute(
        "UPDATE jobs SET position = position + ?, done = done + ?, failed = failed + ?, skipped = skipped + ? WHERE id = ?",
        (len(examined), tally.done, len(tally.errors), tally.skipped, job_id),
    )
    return _conclude(connection, job_id, config)


def _lacking_media(unit: SubmittedUnit, config: SandboxConfig) -> Failure | None:
    """Return the failure of a unit that lacks media metadata, where only the client may read its objects."""
    if not config.client_only or unit.has_media:
        return None
    return Failure("Media metadata is required: the integration has strict client-only access")


def _planted_error(connection: sqlite3.Connection, submission: Submission, position: int) -> Failure | None:
    """Return the failure that a rule or the job's fate has for a unit: one of its objects is enough."""
    unit, fate = submission.units[position], submission.failing.get(position)
    for rule in submission.rules:
        for url in filter(rule.matches, unit.urls):
            if rule.times is None or _strike(connection, f"{rule.pattern}\n{rule.error}", url, times=rule.times):
                return Failure(rule.error, url)
    if fate is not None and _strike(connection, fate.rule, unit.identity, times=fate.times):
        return Failure(fate.error, unit.urls[fate.frame])
    return None


def _strike(connection: sqlite3.Connection, rule: str, url: str, *, times: int) -> bool:
    """Count one more strike of a rule on a URL; False: it has struck as often as it may."""
    query = "SELECT strikes FROM rule_strikes WHERE rule = ? AND url = ?"
    row = connection.execute(query, (rule, url)).fetchone()
    if row is not None and row["strikes"] >= times:
        return False
    connection.execute(
        "INSERT INTO rule_strikes VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET strikes = strikes + 1", (rule, url)
    )
    return True


def _unit_error(unit: SubmittedUnit, failure: Failure, config: SandboxConfig) -> dict[str, Any]:
    urls = [failure.url] if failure.url is not None and config.error_frames is ErrorFrames.FAILED else unit.urls
    forms = {ErrorUrls.SENT: urls, ErrorUrls.NORMALISED: [*map(normalise_url, urls)], ErrorUrls.NONE: []}
    signed = f": {failure.url or unit.urls[0]}?X-Amz-Signature={SIGNATURE}" if config.error_text_has_url else ""
    return {
        "objectUrls": forms[config.error_urls],
        "error": failure.error + signed,
        "subtaskUuid": str(uuid.uuid4()),
        "actionDescription": KINDS[unit.kind].action,
    }


def _add(
    connection: sqlite3.Connection, job: sqlite3.Row, unit: SubmittedUnit, key: str, findings: Examined
) -> dict[str, str]:
    """Make the unit's item and return how the job's state names it."""
    item_uuid, now = str(uuid.uuid4()), timestamp()
    # What was said of a file is what Encord shows of it: it need not read the file then.
    media = dict(unit.media or {})
    size, mime_type = media.pop("fileSize", None), media.pop("mimeType", None)
    kept = unit.members if unit.members and any(unit.members) else media
    grouped = KINDS[unit.kind].grouped
    connection.execute(
        _INSERT,
        (
            *(item_uuid, job["folder_id"], key, json.dumps(unit.urls) if grouped else None),
            *(unit.item_type, unit.title, unit.client_metadata or "{}", job["owner"], now, now, job["id"]),
            *(job["integration_uuid"], size if size is not None else findings.size),
            *(mime_type or findings.mime_type, json.dumps(kept) if kept else None),
            None if grouped or unit.urls[0] == key else unit.urls[0],
        ),
    )
    return {"itemUuid": item_uuid, "name": unit.title}


def _skip(
    connection: sqlite3.Connection,
    job: sqlite3.Row,
    unit: SubmittedUnit,
    key: str,
    tally: _Tally,
    *,
    config: SandboxConfig,
    upsert: bool,
) -> None:
    tally.skipped += 1
    tally.done += config.skipped_counts_as is SkippedCountsAs.DONE
    place = (job["folder_id"], key)
    if upsert and unit.client_metadata is not None:
        _upsert(connection, place, unit.client_metadata, merges=config.upsert_merges_metadata)
    if config.skipped_in_items_with_names:
        query = "SELECT uuid, name FROM items WHERE folder_id = ? AND identity = ? ORDER BY id LIMIT 1"
        held = connection.execute(query, place).fetchone()
        if held is not None:
            tally.items.append({"itemUuid": held["uuid"], "name": held["name"]})


def _upsert(connection: sqlite3.Connection, place: tuple[int, str], metadata: str, *, merges: bool) -> None:
    """Give the items that the folder holds of a unit its client metadata."""
    query = "SELECT id, client_metadata FROM items WHERE folder_id = ? AND identity = ?"
    for item in connection.execute(query, place).fetchall():
        kept = json.dumps({**json.loads(item["client_metadata"]), **json.loads(metadata)}) if merges else metadata
        connection.execute(
            "UPDATE items SET client_metadata = ?, last_edited_at = ? WHERE id = ?", (kept, timestamp(), item["id"])
        )


def _conclude(connection: sqlite3.Connection, job_id: int, config: SandboxConfig) -> str:
    job = connection.execute(
        "SELECT units, position, failed, ignore_errors, fate_position FROM jobs WHERE id = ?", (job_id,)
    ).fetchone()
    if job["position"] < job["units"] or job["fate_position"] is not None:
        return PENDING
    is_strict = config.errors_end_jobs or not job["ignore_errors"]
    status = ERROR if job["failed"] and is_strict else DONE
    _end(connection, job_id, status, config)
    return status


def _end(connection: sqlite3.Connection, job_id: int, status: str, config: SandboxConfig) -> None:
    end_job(connection, job_id, status)
    if status != ERROR:
        return
    if config.rollback_on_error:
        connection.execute("DELETE FROM items WHERE job_id = ?", (job_id,))
        connection.execute("UPDATE jobs SET done = 0 WHERE id = ?", (job_id,))
    hides = {ListedOnError.KEPT: config.rollback_on_error, ListedOnError.NONE: True, ListedOnError.ALL: False}
    if hides[config.listed_on_error]:
        connection.execute("UPDATE job_slices SET items = '[]' WHERE job_id = ?", (job_id,))


def meet_fate(connection: sqlite3.Connection, job_id: int, config: SandboxConfig) -> str:
    """End a pending job that came to the unit where a fault breaks it off; a stuck one stays. Returns its status."""
    job = connection.execute("SELECT status, fate FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if job is None or job["status"] != PENDING:
        return CANCELLED if job is None else str(job["status"])
    if job["fate"] == Fate.STUCK:
        return PENDING
    status = {Fate.ERROR: ERROR, Fate.PENDING: DONE}.get(job["fate"], CANCELLED)
    _end(connection, job_id, status, config)
    return status
