"""The verdict for every object of a chunk, per attempt, as Parquet.

How a verdict is reached belongs to ``submission.verdicts``; here it is only written and read. The journal's verdict names the
file, so that two writers can never replace each other's, and holds every failure, so that a lost file can be made again.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from registration_pipeline.errors import StateConflictError, StateCorruptError, StateNotFoundError
from registration_pipeline.objects import FailureReason
from registration_pipeline.planning.halves import read_units
from registration_pipeline.state.damage import damaged
from registration_pipeline.state.layout import outcomes_name
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import JournalEventKind, UnitFailure

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from datetime import datetime

    from registration_pipeline.planning.units import PlannedUnit
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.journal.states import JournalEvent


class Verdict(StrEnum):
    """What became of an object."""

    REGISTERED = "registered"
    ALREADY_REGISTERED = "already_registered"
    """Only in states of earlier versions, which concluded it from a job's silence: it has no item UUID. A retry searches for
    the item, and an audit reports it as missing where there is none."""
    FAILED = "failed"

    @property
    def is_registered(self) -> bool:
        """Return whether the object is in the folder."""
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


class FailedUnit(NamedTuple):
    """A unit that is not registered.

    Args:
        first: the outcome of its first object.
        objects: how many objects it has.
    """

    first: Outcome
    objects: int


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
_REPEATING = ["verdict", "attempt", "at", "reason", "message", "subtask_uuid"]
_DIGEST_DIGITS = 12


class ChunkOutcomes(Sequence[Outcome]):
    """The outcomes of a chunk, in the order of its objects; never changes.

    Most chunks go well, and then no single one is read.

    Args:
        table: of ``OUTCOME_SCHEMA``.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> ChunkOutcomes:
        """Return outcomes as a sequence with columns."""
        columns = list(zip(*outcomes, strict=True)) or [()] * len(OUTCOME_SCHEMA)
        return cls.of_columns(columns)

    @classmethod
    def of_columns(cls, columns: Sequence[Any]) -> ChunkOutcomes:
        """Return outcomes of which there are the columns already, as Arrow's or as values."""
        arrays = [_array(column, field.type) for column, field in zip(columns, OUTCOME_SCHEMA, strict=True)]
        return cls(pa.Table.from_arrays(arrays, schema=OUTCOME_SCHEMA))

    @cached_property
    def failed(self) -> Sequence[Outcome]:
        """The outcomes of what is not registered."""
        is_failed = pc.equal(self.table.column("verdict"), pa.scalar(Verdict.FAILED.value))
        return _tuples(self.table.filter(is_failed)) if pc.any(is_failed).as_py() else []

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Outcome]: ...
    def __getitem__(self, index: int | slice) -> Outcome | Sequence[Outcome]:
        return self._outcomes[index]

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self._outcomes)

    @cached_property
    def _outcomes(self) -> list[Outcome]:
        return _tuples(self.table)


def failed_units(outcomes: ChunkOutcomes, *, without: Container[str] = ()) -> list[FailedUnit]:
    """Return the failed units of a chunk, in its order.

    Args:
        outcomes: of all its objects.
        without: keys that don't count, because the bucket does not hold them any more. A unit without any other object is
            left out.
    """
    counted = (outcome for outcome in outcomes.failed if outcome.key not in without)
    members = (list(group) for _, group in groupby(counted, key=operator.attrgetter("unit_id")))
    return [FailedUnit(found[0], len(found)) for found in members]


def _tuples(table: pa.Table) -> list[Outcome]:
    columns = {name: table.column(name).to_pylist() for name in OUTCOME_SCHEMA.names}
    columns["verdict"] = list(map(Verdict, columns["verdict"]))
    columns["reason"] = [FailureReason(reason) if reason else None for reason in columns["reason"]]
    return list(map(Outcome, *columns.values()))


def _array(values: Any, of: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    # Most columns hold one value throughout, and a thousand times and words convert slowly.
    is_constant = len(values) > 0 and values.count(values[0]) == len(values)
    return pa.repeat(pa.scalar(values[0], of), len(values)) if is_constant else pa.array(values, of)


def write_outcomes(store: StateStore, source: str, chunk_id: str, attempt: int, outcomes: ChunkOutcomes) -> str:
    """Write the verdicts of one attempt and return the base name that the verdict's journal entry has to give.

    A crash between the two leaves outcomes that no verdict confirms.
    """
    buffer = pa.BufferOutputStream()  # a chunk's outcomes are some ten kilobytes
    pq.write_table(outcomes.table, buffer, compression="zstd", use_dictionary=_REPEATING, write_statistics=False)
    data = buffer.getvalue().to_pybytes()
    base_name = f"{attempt:04d}-{_digest_of(data)}.parquet"
    with suppress(StateConflictError):  # the same bytes, by their digest
        store.create(outcomes_name(source, chunk_id, base_name), data)
    return base_name


def unit_failures(units: Sequence[PlannedUnit], outcomes: ChunkOutcomes) -> tuple[UnitFailure, ...]:
    """Return the failed units as the verdict's journal entry keeps them."""
    failed = {outcome.unit_id: outcome for outcome in outcomes.failed}
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


def read_outcomes(store: StateStore, source: str, verdict: JournalEvent) -> ChunkOutcomes:
    """Read the verdicts that an attempt ended with; a lost file is made again from the plan and the journal.

    Raises:
        StateCorruptError: the file is damaged, or it is lost and the chunk's plan too; or the verdict names none.
    """
    if verdict.outcomes is None:
        raise StateCorruptError(
            f"The verdict of attempt {verdict.attempt} of chunk {verdict.chunk_id} names no outcomes. Restore the journal "
            "folder from a backup."
        )
    name = outcomes_name(source, verdict.chunk_id, verdict.outcomes)
    try:
        data = store.read(name)
    except StateNotFoundError:
        return _outcomes_from_journal(store, source, verdict)
    check_outcomes(store, name, data)
    try:
        # Neither pq.read_table nor threads: Arrow's threads may drop the last reference to what a Python file gave them when
        # the interpreter is ending already, which aborts the process (pyarrow 26: "terminate called without an active
        # exception").
        with pq.ParquetFile(pa.BufferReader(data)) as parquet:
            return ChunkOutcomes(parquet.read(use_threads=False))
    except (pa.ArrowException, OSError) as error:
        raise damaged(store, name, f"can't be read: {str(error).strip()}") from error


def check_outcomes(store: StateStore, name: str, data: bytes) -> None:
    """Compare a file of outcomes with the digest in its name.

    Raises:
        StateCorruptError: it holds something else.
    """
    if _digest_of(data) != name.removesuffix(".parquet")[-_DIGEST_DIGITS:]:
        raise damaged(store, name, "is damaged: its content does not match the digest in its name")


def _digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGEST_DIGITS]


def _outcomes_from_journal(store: StateStore, source: str, verdict: JournalEvent) -> ChunkOutcomes:
    """Say of every planned object what the verdict's entry says; only the items' UUIDs are lost."""
    entries = Journal(store, source).events(verdict.chunk_id) if verdict.failed else []
    failures = {
        failure.unit_index: failure
        for entry in entries
        if entry.kind is JournalEventKind.VERDICT and entry.attempt == verdict.attempt
        for failure in entry.failures
    }
    return ChunkOutcomes.of(
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
    )


def _failure_of(failure: UnitFailure | None) -> dict[str, Any]:
    if failure is None:
        return {}
    return {
        "reason": FailureReason(failure.reason),
        "message": failure.message,
        "subtask_uuid": failure.subtask_uuid,
    }
