"""Finds the units that may have to be sent again: one merge by key of everything planned, metadata now and what was sent last.

What does not belong here: deciding about one unit (``decide.py``) and making chunks of them (``plan.py``).

Three streams are read forward together, so memory holds a batch of each. Most rows are settled by comparing whole columns: a
unit whose text is the one that it was sent last is never read alone. Objects of units of several leave the stream, as they do
when they are planned: they are sorted by unit and position beyond memory, and joined there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.objects import KINDS
from registration_pipeline.planning.ledger import merged_runs
from registration_pipeline.planning.schema import PLAN_SCHEMA
from registration_pipeline.planning.upserts.schema import CANDIDATE_SCHEMA
from registration_pipeline.state.parquet import read_parts
from registration_pipeline.tables.sorted_merge import SortedMerge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.planning.ledger import Run
    from registration_pipeline.planning.upserts.registered import RegisteredChunk
    from registration_pipeline.planning.upserts.sent import LastSent, SentStream
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tables.sorted_merge import Key

_COMPARED: Final[pa.Schema] = pa.schema(
    [PLAN_SCHEMA.field(name) for name in ("key", "chunk_id", "kind", "unit_index", "position", "client_metadata")]
)
_FACTS: Final[pa.Schema] = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("client_metadata", pa.string()),
        pa.field("problem", pa.string()),
        pa.field("message", pa.string()),
    ]
)
_BATCH_ROWS: Final = 16_384
_GROUPS: Final = pa.array([kind.value for kind, spec in KINDS.items() if spec.is_group])
_WITH_METADATA: Final = pa.array([kind.value for kind, spec in KINDS.items() if spec.has_client_metadata])
_SENT_COLUMNS: Final = {
    "done_item": ("done", "item_uuid"),
    "done_attempt": ("done", "attempt"),
    "done_metadata": ("done", "metadata"),
    "failed_chunk": ("failed", "chunk_id"),
    "failed_item": ("failed", "item_uuid"),
    "failed_attempt": ("failed", "attempt"),
    "failed_metadata": ("failed", "metadata"),
    "failed_state": ("failed", "state"),
    "failed_tries": ("failed", "tries"),
    "failed_at": ("failed", "at"),
}


@dataclass(slots=True)
class Comparison:
    """One pass over everything planned.

    Args:
        chunks: with registered units, by id.
        counts: units, or objects of units that are not joined yet, by what was found.
    """

    chunks: Mapping[str, RegisteredChunk]
    counts: Counter[str] = field(default_factory=Counter)

    def rows(
        self, store: StateStore, runs: Iterable[Run], facts: FactSet, sent: SentStream
    ) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        """Yield single units that may be sent or are invalid, and all objects of units of several; ``CANDIDATE_SCHEMA``.

        Raises:
            StateCorruptError: a file of the state is missing or unreadable.
        """
        planned = merged_runs(store, runs, schema=_COMPARED, batch_rows=_BATCH_ROWS)
        known = SortedMerge([read_parts(store, facts.parts, _FACTS.names, _BATCH_ROWS)], _FACTS)
        while (bound := planned.bound()) is not None:
            bound = _not_beyond(bound, known.bound(), sent.bound())
            rows, said, last = planned.take_until(bound), known.take_until(bound), sent.take_until(bound)
            if rows.num_rows:
                yield self._compared(rows, said, last)

    def _compared(
        self, rows: pa.RecordBatch, facts: pa.RecordBatch, last: LastSent
    ) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        rows = rows.filter(pc.is_in(rows.column("kind"), _WITH_METADATA))
        ids = pc.unique(rows.column("chunk_id")).to_pylist()
        registered = {chunk_id: self.chunks[chunk_id] for chunk_id in ids if chunk_id in self.chunks}
        places = pc.index_in(rows.column("chunk_id"), pa.array(list(registered), pa.string()))
        is_registered = pc.is_valid(places)
        is_first = pc.equal(rows.column("position"), pa.scalar(0, pa.int32()))
        self.counts["not_registered"] += _count(pc.and_(pc.invert(is_registered), is_first))
        rows, places = rows.filter(is_registered), places.filter(is_registered)
        candidates = _beside(rows, facts, last)
        chunks = list(registered.values())
        attempts = pa.array([chunk.attempt for chunk in chunks], pa.int32()).take(places)
        was_sent = pa.array([chunk.sent_metadata for chunk in chunks], pa.bool_()).take(places)
        is_group = pc.is_in(rows.column("kind"), _GROUPS)
        members = candidates.filter(is_group)
        is_single = pc.invert(is_group)
        return self._singles(
            candidates.filter(is_single), attempts.filter(is_single), was_sent.filter(is_single)
        ), members

    def _singles(self, rows: pa.RecordBatch, attempts: pa.Array, was_sent: pa.Array) -> pa.RecordBatch:
        """Return the units that comparing columns does not settle."""
        self.counts["unknown"] += _count(pc.is_null(rows.column("is_known")))
        is_invalid = pc.invert(pc.fill_null(rows.column("is_known"), fill_value=True))
        done, failed = pc.is_valid(rows.column("done_attempt")), pc.is_valid(rows.column("failed_attempt"))
        self.counts["failed"] += _count(failed)
        self.counts["done"] += _count(pc.and_(done, pc.invert(failed)))
        nothing = pa.nulls(rows.num_rows, pa.string())
        planned = pc.if_else(was_sent, rows.column("planned"), nothing)
        before = pc.if_else(done, rows.column("done_metadata"), planned)
        now = rows.column("metadata")
        same = pc.or_(
            pc.fill_null(pc.equal(before, now), fill_value=False), pc.and_(pc.is_null(before), pc.is_null(now))
        )
        # A later attempt may have given the unit another item, which has what was planned.
        is_other = pc.fill_null(pc.not_equal(rows.column("done_attempt"), attempts), fill_value=False)
        is_open = pc.or_(pc.invert(same), is_other)
        is_open = pc.and_(is_open, pc.fill_null(rows.column("is_known"), fill_value=False))
        return rows.filter(pc.or_(pc.or_(is_open, failed), is_invalid))


def _not_beyond(bound: Key, *others: Key | None) -> Key:
    return min([bound, *(other for other in others if other is not None)])


def _count(flags: pa.BooleanArray) -> int:
    return int(pc.sum(flags).as_py() or 0)


def _beside(rows: pa.RecordBatch, facts: pa.RecordBatch, last: LastSent) -> pa.RecordBatch:
    """Return planned rows with what is known and what was sent, as ``CANDIDATE_SCHEMA``."""
    keys = rows.column("key")
    known = pc.index_in(keys, facts.column("key"))
    places = {
        "done": pc.index_in(keys, last.done.column("key")),
        "failed": pc.index_in(keys, last.failed.column("key")),
    }
    sent = {"done": last.done, "failed": last.failed}
    is_known = pc.is_null(facts.column("problem").take(known))
    columns: dict[str, Any] = {
        name: rows.column(name) for name in ("kind", "chunk_id", "unit_index", "position", "key")
    }
    columns["metadata"] = facts.column("client_metadata").take(known)
    columns["is_known"] = pc.if_else(pc.is_valid(known), is_known, pa.scalar(None, pa.bool_()))
    columns["problem"] = facts.column("problem").take(known)
    columns["message"] = facts.column("message").take(known)
    columns["planned"] = rows.column("client_metadata")
    for name, (which, column) in _SENT_COLUMNS.items():
        columns[name] = sent[which].column(column).take(places[which])
    return pa.RecordBatch.from_arrays([columns[name] for name in CANDIDATE_SCHEMA.names], schema=CANDIDATE_SCHEMA)
