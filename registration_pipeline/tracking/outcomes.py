"""The verdict for every object of a chunk, per attempt, as Parquet.

How a verdict is reached belongs to ``submission.verdicts``; here it is only written and read. The journal's verdict names the
file, so that two writers can never replace each other's, and holds every failure, so that a lost file can be made again.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from registration_pipeline.bounds.texts import shortened, shortened_again
from registration_pipeline.errors import StateConflictError, StateCorruptError, StateNotFoundError
from registration_pipeline.objects import FailureReason
from registration_pipeline.planning.halves import read_units
from registration_pipeline.state.damage import damaged
from registration_pipeline.state.layout import outcomes_name
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import JournalEventKind, UnitFailure

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
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
        message: what Encord said, whole at the first object that it was said of.
        subtask_uuid: what Encord's support asks for.
        at: when the verdict was reached, UTC.
        is_cause: whether Encord's error is about this object of a unit of several; None where it did not say so.
        trace_id: only for failed objects: of the call to Encord that showed it, where that is known.
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
    is_cause: bool | None = None
    trace_id: str | None = None


class FailedUnit(NamedTuple):
    """A unit that is not registered.

    Args:
        first: the outcome of its first object.
        objects: how many objects it has.
        cause: the outcome of the object that Encord's error is about, where it said so.
        cause_position: of that object in the unit, from 0.
    """

    first: Outcome
    objects: int
    cause: Outcome | None = None
    cause_position: int | None = None

    @property
    def said(self) -> Outcome:
        """The outcome that says why: of the object that the error is about, or else of the first."""
        return self.cause or self.first


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
        pa.field("is_cause", pa.bool_()),
        pa.field("trace_id", pa.string()),
    ]
)
"""The last two are written only where they are known of any object, so files without such units are as they always were."""

_REPEATING = ("verdict", "attempt", "at", "reason", "message", "subtask_uuid", "trace_id")
_CAUSE, _TRACE = _OPTIONAL = ("is_cause", "trace_id")
_MESSAGE = OUTCOME_SCHEMA.get_field_index("message")
_DIGEST_DIGITS = 12


class ChunkOutcomes(Sequence[Outcome]):
    """The outcomes of a chunk, in the order of its objects; never changes.

    Most chunks go well, and then no single one is read.

    Args:
        table: of ``OUTCOME_SCHEMA``.
    """

    def __init__(self, table: pa.Table) -> None:
        for name in (name for name in _OPTIONAL if name not in table.column_names):
            field = OUTCOME_SCHEMA.field(name)
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        self.table = table.select(OUTCOME_SCHEMA.names)

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> ChunkOutcomes:
        """Return outcomes as a sequence with columns."""
        columns: list[Sequence[Any]] = list(zip(*outcomes, strict=True)) or [()] * len(OUTCOME_SCHEMA)
        columns[_MESSAGE] = shortened_again(columns[_MESSAGE])
        return cls.of_columns(columns)

    @classmethod
    def of_columns(cls, columns: Sequence[Any]) -> ChunkOutcomes:
        """Return outcomes of which there are the columns already, as Arrow's or as values; optional ones may be missing."""
        fields = list(OUTCOME_SCHEMA)[: len(columns)]
        arrays = [_array(column, field.type) for column, field in zip(columns, fields, strict=True)]
        return cls(pa.Table.from_arrays(arrays, schema=pa.schema(fields)))

    @classmethod
    def joined(cls, parts: Sequence[ChunkOutcomes], *, attempt: int) -> ChunkOutcomes:
        """Return the outcomes of parts of a chunk, in this order, as those of one attempt of the chunk."""
        table = pa.concat_tables([OUTCOME_SCHEMA.empty_table(), *(part.table for part in parts)])
        place, attempts = OUTCOME_SCHEMA.get_field_index("attempt"), pa.scalar(attempt, pa.int32())
        return cls(table.set_column(place, OUTCOME_SCHEMA.field(place), pa.repeat(attempts, table.num_rows)))

    @cached_property
    def _is_failed(self) -> pa.ChunkedArray:
        return pc.equal(self.table.column("verdict"), pa.scalar(Verdict.FAILED.value))

    @cached_property
    def failed_objects(self) -> int:
        """How many objects are not registered."""
        return int(pc.sum(self._is_failed).as_py() or 0)

    @cached_property
    def failed(self) -> Sequence[Outcome]:
        """The outcomes of what is not registered, one per object: a failed unit may have a million (``failed_units``)."""
        return _tuples(self.table.filter(self._is_failed)) if self.failed_objects else []

    def traced(self, trace_id: str | None) -> ChunkOutcomes:
        """Return the outcomes with the id of a call at all failed objects that have none."""
        if trace_id is None or not self.failed_objects:
            return self
        known, place = self.table.column(_TRACE), OUTCOME_SCHEMA.get_field_index(_TRACE)
        ids = pc.if_else(pc.and_(self._is_failed, pc.is_null(known)), pa.scalar(trace_id), known)
        return ChunkOutcomes(self.table.set_column(place, OUTCOME_SCHEMA.field(place), ids))

    def failed_rows(self) -> pa.Array:
        """Return which rows of the table are of objects that are not registered."""
        return pc.indices_nonzero(self._is_failed)

    def items_by_unit(self) -> dict[str, str]:
        """Return the items of all units that have one, by unit id."""
        rows = self.table.select(["unit_id", "item_uuid"]).filter(pc.is_valid(self.table.column("item_uuid")))
        firsts = _taken(rows, _unit_starts(rows.column("unit_id")))
        return dict(zip(firsts.column("unit_id").to_pylist(), firsts.column("item_uuid").to_pylist(), strict=True))

    def registered_units(self) -> list[tuple[str, str | None]]:
        """Return the units that are registered, in the order of the chunk, each with its item, where that is known."""
        rows = self.table.select(["unit_id", "item_uuid"]).filter(pc.invert(self._is_failed))
        firsts = _taken(rows, _unit_starts(rows.column("unit_id")))
        return list(zip(firsts.column("unit_id").to_pylist(), firsts.column("item_uuid").to_pylist(), strict=True))

    def replaced(self, by: ChunkOutcomes, unit_ids: Collection[str]) -> ChunkOutcomes:
        """Return these outcomes with those of some units replaced by what another one says of the same objects."""
        wanted = pc.is_in(self.table.column("unit_id"), pa.array(list(unit_ids), pa.string())).combine_chunks()
        rows = pc.index_in(self.table.column("key"), by.table.column("key").combine_chunks()).combine_chunks()
        wanted = pc.and_(wanted, pc.is_valid(rows))
        others = by.table.take(rows)
        columns = [
            pc.if_else(wanted, others.column(name).combine_chunks(), self.table.column(name).combine_chunks())
            for name in OUTCOME_SCHEMA.names
        ]
        return ChunkOutcomes.of_columns(columns)

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


def failed_units(outcomes: ChunkOutcomes, *, without: Collection[str] = ()) -> list[FailedUnit]:
    """Return the failed units of a chunk, in its order.

    Args:
        outcomes: of all its objects.
        without: keys that don't count, because the bucket does not hold them any more. A unit without any other object is
            left out.
    """
    if not outcomes.failed_objects:
        return []
    rows, table = outcomes.failed_rows(), outcomes.table
    causes = _causes(table, rows)
    if without:
        rows = rows.filter(pc.invert(pc.is_in(table.column("key").take(rows), pa.array(list(without), pa.string()))))
    starts = _unit_starts(table.column("unit_id").take(rows))
    return [
        FailedUnit(first, end - start, *causes.get(first.unit_id, (None, None)))
        for first, (start, end) in zip(
            _tuples(table.take(rows.take(pa.array(starts, pa.int64())))), pairwise([*starts, len(rows)]), strict=True
        )
    ]


def _causes(table: pa.Table, failed: pa.Array) -> dict[str, tuple[Outcome, int]]:
    """Return the objects that errors are about and their positions, by unit id.

    Args:
        table: of ``OUTCOME_SCHEMA``.
        failed: its failed rows.
    """
    causes = pc.indices_nonzero(pc.fill_null(table.column(_CAUSE), fill_value=False)).to_pylist()
    if not causes:
        return {}
    starts = failed.take(pa.array(_unit_starts(table.column("unit_id").take(failed)), pa.int64())).to_pylist()
    return {
        outcome.unit_id: (outcome, row - starts[bisect_right(starts, row) - 1])
        for row, outcome in zip(causes, _tuples(_taken(table, causes)), strict=True)
    }


def _unit_starts(unit_ids: pa.ChunkedArray) -> list[int]:
    """Return where each unit begins; the objects of a unit are next to each other."""
    if not len(unit_ids):
        return []
    ids = unit_ids.combine_chunks()
    begins: list[int] = pc.indices_nonzero(pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1))).to_pylist()
    return [0, *(row + 1 for row in begins)]


def _taken(table: pa.Table, rows: Sequence[int]) -> pa.Table:
    return table.take(pa.array(rows, pa.int64()))


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
    table = outcomes.table
    table = table.drop_columns([name for name in _OPTIONAL if table.column(name).null_count == len(table)])
    repeating = [name for name in _REPEATING if name in table.column_names]
    pq.write_table(table, buffer, compression="zstd", use_dictionary=repeating, write_statistics=False)
    data = buffer.getvalue().to_pybytes()
    base_name = f"{attempt:04d}-{_digest_of(data)}.parquet"
    with suppress(StateConflictError):  # the same bytes, by their digest
        store.create(outcomes_name(source, chunk_id, base_name), data)
    return base_name


def unit_failures(units: Sequence[PlannedUnit], outcomes: ChunkOutcomes) -> tuple[UnitFailure, ...]:
    """Return the failed units as the verdict's journal entry keeps them."""
    failed = {unit.first.unit_id: unit for unit in failed_units(outcomes)}
    return tuple(
        UnitFailure(
            unit_index=unit.unit_index,
            reason=str(found.said.reason or FailureReason.OTHER),
            message=_short(found.said.message),
            subtask_uuid=found.said.subtask_uuid,
            position=found.cause_position,
        )
        for unit in units
        if (found := failed.get(unit.unit_id)) is not None
    )


def _short(message: str | None) -> str | None:
    return shortened(message) if message else message


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
    return open_outcomes(store, name, data)


def open_outcomes(store: StateStore, name: str, data: bytes) -> ChunkOutcomes:
    """Return the outcomes in the content of a file of that name.

    Raises:
        StateCorruptError: it is damaged.
    """
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
            **_failure_of(failures.get(unit.unit_index), position, verdict.trace_id),
        )
        for unit in read_units(store, source, verdict.chunk_id)
        for position, entry in enumerate(unit.objects)
    )


def _failure_of(failure: UnitFailure | None, position: int, trace_id: str | None) -> dict[str, Any]:
    if failure is None:
        return {}
    return {
        "reason": FailureReason(failure.reason),
        "message": failure.message,
        "subtask_uuid": failure.subtask_uuid,
        "is_cause": True if failure.position == position else None,
        "trace_id": trace_id,
    }
