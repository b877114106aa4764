"""Every object that is not registered and why, per chunk and per source, as rows, Parquet and CSV.

Excluded objects are not here (the user asked for it), nor are pending ones (nothing has gone wrong).
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import pyarrow as pa

from registration_pipeline.errors import StateConflictError
from registration_pipeline.planning.wave import load_chunks, load_waves, read_census
from registration_pipeline.state.layout import failure_log_name, failures_name
from registration_pipeline.tracking.journal import Journal
from registration_pipeline.tracking.outcomes import Verdict, read_outcomes, write_parquet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from registration_pipeline.planning.wave import Wave
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.outcomes import Outcome

STAGE_PLAN = "plan"
STAGE_REGISTRATION = "registration"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow:
    """One object that is not registered. The fields and their order are those of ``failures --json``.

    Args:
        chunk_id: None for objects that were rejected before they got a chunk.
        attempt: number of the attempt that failed, 0 for rejected objects.
        stage: ``plan`` (rejected) or ``registration`` (Encord said no).
    """

    source: str
    key: str
    object_url: str | None
    chunk_id: str | None
    attempt: int
    stage: str
    reason: str
    message: str | None
    subtask_uuid: str | None
    at: datetime


FAILURE_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("object_url", pa.string()),
        pa.field("chunk_id", pa.string()),
        pa.field("attempt", pa.int32(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("message", pa.string()),
        pa.field("subtask_uuid", pa.string()),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
COLUMNS = tuple(field.name for field in fields(FailureRow))


def chunk_failures(source: str, chunk_id: str, outcomes: Iterable[Outcome]) -> list[FailureRow]:
    """Return the failed objects of one chunk."""
    return [
        FailureRow(
            source=source,
            key=outcome.key,
            object_url=outcome.object_url,
            chunk_id=chunk_id,
            attempt=outcome.attempt,
            stage=STAGE_REGISTRATION,
            reason=(outcome.reason or "other"),
            message=outcome.message,
            subtask_uuid=outcome.subtask_uuid,
            at=outcome.at,
        )
        for outcome in outcomes
        if outcome.verdict is Verdict.FAILED
    ]


def source_failures(store: StateStore, source: str) -> Iterator[FailureRow]:
    """Yield every object of the latest planned inventory that was rejected, then every one that failed.

    Streams: one chunk's outcomes and one batch of rejections are in memory at a time.
    """
    waves = load_waves(store, source)
    if not waves:
        return
    latest = waves[-1]
    yield from _rejected(store, source, latest)
    deleted = deleted_keys(store, latest)
    known = load_chunks(store, source, waves)
    for progress in Journal(store, source).all_progress():
        verdict = progress.verdict
        if verdict is None or not verdict.failed or progress.chunk_id not in known:
            continue
        gone = deleted.get(progress.chunk_id, frozenset())
        outcomes = read_outcomes(store, source, progress.chunk_id, verdict.attempt)
        yield from (row for row in chunk_failures(source, progress.chunk_id, outcomes) if row.key not in gone)


def deleted_keys(store: StateStore, wave: Wave) -> dict[str, set[str]]:
    """Return the planned keys that the wave's inventory no longer holds, by chunk id."""
    return _keys_by_chunk(store, wave, "deleted")


def changed_keys(store: StateStore, wave: Wave) -> dict[str, set[str]]:
    """Return the planned keys whose object differs in the wave's inventory, by chunk id."""
    return _keys_by_chunk(store, wave, "changed")


def _keys_by_chunk(store: StateStore, wave: Wave, which: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for batch in read_census(store, wave, which):
        for key, chunk_id in zip(batch.column("key").to_pylist(), batch.column("chunk_id").to_pylist(), strict=True):
            found.setdefault(chunk_id, set()).add(key)
    return found


def _rejected(store: StateStore, source: str, wave: Wave) -> Iterator[FailureRow]:
    for batch in read_census(store, wave, "rejected"):
        for row in batch.to_pylist():
            yield FailureRow(
                source=source,
                key=row["key"],
                object_url=row["object_url"],
                chunk_id=None,
                attempt=0,
                stage=STAGE_PLAN,
                reason=row["reason"],
                message=row["message"],
                subtask_uuid=None,
                at=wave.planned_at,
            )


def write_chunk_failure_log(
    store: StateStore, source: str, chunk_id: str, attempt: int, rows: Sequence[FailureRow]
) -> None:
    """Write one attempt's failure log as Parquet and CSV; nothing when nothing failed."""
    if rows:
        _write(store, [failures_name(source, chunk_id, attempt, suffix) for suffix in ("parquet", "csv")], rows)


def write_source_failure_log(store: StateStore, source: str, log_id: str, rows: Sequence[FailureRow]) -> list[str]:
    """Write the source's failure log as Parquet and CSV, also when it is empty, and return the two names."""
    names = [failure_log_name(source, log_id, suffix) for suffix in ("parquet", "csv")]
    _write(store, names, rows)
    return names


def _write(store: StateStore, names: Sequence[str], rows: Sequence[FailureRow]) -> None:
    parquet_name, csv_name = names
    write_parquet(store, parquet_name, failures_table(rows))
    try:
        store.create(csv_name, failures_csv(rows))
    except StateConflictError:
        store.delete(csv_name)
        store.create(csv_name, failures_csv(rows))


def failures_table(rows: Sequence[FailureRow]) -> pa.Table:
    """Return the rows as columns of ``FAILURE_SCHEMA``."""
    return pa.table({name: [getattr(row, name) for row in rows] for name in COLUMNS}, schema=FAILURE_SCHEMA)


def failures_csv(rows: Iterable[FailureRow]) -> bytes:
    """Return the rows as UTF-8 CSV with a heading; times are ISO 8601."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([value.isoformat() if name == "at" else value for name, value in asdict(row).items()])
    return text.getvalue().encode()


def failures_json(rows: Iterable[FailureRow]) -> list[dict[str, object]]:
    """Return the rows as ``failures --json`` prints them."""
    return [{**asdict(row), "at": row.at.isoformat().replace("+00:00", "Z")} for row in rows]


def failures_json_bytes(rows: Iterable[FailureRow]) -> bytes:
    """Return the rows as an indented JSON document."""
    return json.dumps(failures_json(rows), indent=2, ensure_ascii=False).encode() + b"\n"
