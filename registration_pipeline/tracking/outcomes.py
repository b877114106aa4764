"""The verdict for every object of a chunk, per attempt, as Parquet.

How a verdict is reached belongs to ``submission.verdicts``; here it is only written and read. The journal's verdict names the
file, so that two writers can never replace each other's, and holds every failure, so that a lost file can be made again.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from registration_pipeline.errors import StateConflictError, StateNotFoundError
from registration_pipeline.objects import FailureReason
from registration_pipeline.planning.parts import read_units
from registration_pipeline.state.layout import outcomes_name
from registration_pipeline.tracking.journal import Journal
from registration_pipeline.tracking.states import JournalEventKind, UnitFailure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from registration_pipeline.planning.wave import PlannedUnit
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.states import JournalEvent


class Verdict(StrEnum):
    """What became of an object."""

    REGISTERED = "registered"
    ALREADY_REGISTERED = "already_registered"
    """Its URL was in the folder before: Encord skipped it, which is as good as registered."""
    FAILED = "failed"

    @property
    def is_registered(self) -> bool:
        """Tell whether the object is in the folder."""
        return self is not Verdict.FAILED


class Outcome(NamedTuple):
    """The verdict for one object. A tuple, for there are many.

    Args:
        item_uuid: Encord's storage item, where the job or the folder named it.
        reason: only for failed objects; the closed set of words.
        message: what Encord said.
        subtask_uuid: what Encord's support asks for.
        at: when the verdict was reached, UTC.
    """

    key: str
    object_url: str
    unit_id: str
    verdict: Verdict
    attempt: int
    at: datetime
    item_uuid: str | None = None
    reason: FailureReason | None = None
    message: str | None = None
    subtask_uuid: str | None = None


OUTCOME_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("object_url", pa.string(), nullable=False),
        pa.field("unit_id", pa.string(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("attempt", pa.int32(), nullable=False),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("item_uuid", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("message", pa.string()),
        pa.field("subtask_uuid", pa.string()),
    ]
)
_DIGEST_DIGITS = 12


def outcomes_table(outcomes: Sequence[Outcome]) -> pa.Table:
    """Return the outcomes as columns of ``OUTCOME_SCHEMA``."""
    columns = list(zip(*outcomes, strict=True)) or [()] * len(OUTCOME_SCHEMA)
    arrays = [_array(column, field.type) for column, field in zip(columns, OUTCOME_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=OUTCOME_SCHEMA)


def _array(values: Sequence[Any], of: pa.DataType) -> pa.Array:
    # Most columns hold one value throughout, and a thousand times and words convert slowly.
    is_constant = len(values) > 0 and values.count(values[0]) == len(values)
    return pa.repeat(pa.scalar(values[0], of), len(values)) if is_constant else pa.array(values, of)


def write_outcomes(store: StateStore, source: str, chunk_id: str, attempt: int, outcomes: Sequence[Outcome]) -> str:
    """Write the verdicts of one attempt and return the base name that the verdict's journal entry has to give.

    A crash between the two leaves outcomes that nobody vouches for.
    """
    buffer = io.BytesIO()  # a chunk's outcomes are some hundred kilobytes
    pq.write_table(outcomes_table(outcomes), buffer, compression="zstd")
    data = buffer.getvalue()
    base_name = f"{attempt:04d}-{hashlib.sha256(data).hexdigest()[:_DIGEST_DIGITS]}.parquet"
    with suppress(StateConflictError):  # the same bytes, by their digest
        store.create(outcomes_name(source, chunk_id, base_name), data)
    return base_name


def unit_failures(units: Sequence[PlannedUnit], outcomes: Iterable[Outcome]) -> tuple[UnitFailure, ...]:
    """Return the failed units as the verdict's journal entry keeps them."""
    failed = {outcome.unit_id: outcome for outcome in outcomes if not outcome.verdict.is_registered}
    return tuple(
        UnitFailure(
            unit_index=unit.unit_index,
            reason=str(failed[unit.unit_id].reason or FailureReason.OTHER),
            message=failed[unit.unit_id].message,
            subtask_uuid=failed[unit.unit_id].subtask_uuid,
        )
        for unit in units
        if unit.unit_id in failed
    )


def read_outcomes(store: StateStore, source: str, verdict: JournalEvent) -> list[Outcome]:
    """Read the verdicts that an attempt ended with; a lost file is made again from the plan and the journal.

    Raises:
        StateCorruptError: the file is lost and the chunk's plan too.
    """
    base_name = verdict.outcomes or f"{verdict.attempt:04d}.parquet"
    try:
        # Neither pq.read_table nor threads: Arrow's threads may drop the last reference to what a Python file gave them when
        # the interpreter is ending already, which aborts the process (pyarrow 26: "terminate called without an active
        # exception").
        with (
            store.open(outcomes_name(source, verdict.chunk_id, base_name)) as file,
            pq.ParquetFile(file) as parquet,
        ):
            rows = parquet.read(use_threads=False).to_pylist()
    except StateNotFoundError:
        return _outcomes_from_journal(store, source, verdict)
    return [
        Outcome(
            **{
                **row,
                "verdict": Verdict(row["verdict"]),
                "reason": FailureReason(row["reason"]) if row["reason"] else None,
            }
        )
        for row in rows
    ]


def _outcomes_from_journal(store: StateStore, source: str, verdict: JournalEvent) -> list[Outcome]:
    """Say of every planned object what the verdict's entry says; only the items' UUIDs are lost."""
    entries = Journal(store, source).events(verdict.chunk_id) if verdict.failed else []
    failures = {
        failure.unit_index: failure
        for entry in entries
        if entry.kind is JournalEventKind.VERDICT and entry.attempt == verdict.attempt
        for failure in entry.failures
    }
    return [
        Outcome(
            key=entry.key,
            object_url=entry.object_url,
            unit_id=unit.unit_id,
            verdict=Verdict.FAILED if unit.unit_index in failures else Verdict.REGISTERED,
            attempt=verdict.attempt,
            at=verdict.at,
            **_failure_of(failures.get(unit.unit_index)),
        )
        for unit in read_units(store, source, verdict.chunk_id)
        for entry in unit.objects
    ]


def _failure_of(failure: UnitFailure | None) -> dict[str, Any]:
    if failure is None:
        return {}
    return {
        "reason": FailureReason(failure.reason),
        "message": failure.message,
        "subtask_uuid": failure.subtask_uuid,
    }
