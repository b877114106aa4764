"""Which objects of an inventory were planned before: a streaming merge of the inventory with every committed wave.

What does not belong here: what happens to objects that were not (``decision.py``).

Inventory and waves are sorted by key. For each inventory batch, every wave gives its rows up to the last key of the
batch; the match itself runs in Arrow. Memory holds one batch of the inventory and one small batch per wave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.planning.schema import CHANGED_SCHEMA, KNOWN_SCHEMA, PLAN_SCHEMA
from registration_pipeline.tables.part_reader import read_sorted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registration_pipeline.planning.wave import Wave
    from registration_pipeline.state.store import StateStore

_COLUMNS: Final = ("key", "chunk_id", "size", "last_modified", "e_tag")
_SCHEMA: Final = pa.schema([PLAN_SCHEMA.field(name) for name in _COLUMNS])

_ROWS_IN_HAND: Final = 262_144
"""Rows that all waves together keep decoded ahead of the inventory."""

_FEWEST_ROWS: Final = 4_096
"""Rows that a single wave decodes at once, however many waves there are: less would be slow."""


@dataclass(frozen=True, slots=True)
class LedgerMatch:
    """A piece of an inventory batch against the ledger.

    Args:
        rows: the piece; may be empty.
        known: one boolean per row.
        changed: ``CHANGED_SCHEMA``: known rows that are not what was planned.
        deleted: ``KNOWN_SCHEMA``: ledger rows of this key range that the inventory does not have.
    """

    rows: pa.RecordBatch
    known: pa.BooleanArray
    changed: pa.RecordBatch
    deleted: pa.RecordBatch


class Ledger:
    """Every object ever planned, read once from the first key to the last.

    Args:
        store: the state.
        waves: the committed waves.
        batch_rows: how many rows each wave decodes at once; by default as many as memory allows.
    """

    def __init__(self, store: StateStore, waves: Sequence[Wave], *, batch_rows: int | None = None) -> None:
        filled = [wave for wave in waves if wave.parts]
        batch_rows = batch_rows or max(_FEWEST_ROWS, _ROWS_IN_HAND // max(len(filled), 1))
        self._cursors = [_Cursor(_wave_rows(store, wave, batch_rows)) for wave in filled]

    def match(self, batch: pa.RecordBatch) -> Iterator[LedgerMatch]:
        """Compare the next inventory batch, in pieces that together are the batch.

        Args:
            batch: not empty; batches come in the order of their keys.
        """
        last_key = _key_at(batch, batch.num_rows - 1)
        offset = 0
        while True:
            # No further than every wave has been read: a wave may hold any number of rows below the batch's last key.
            bound = min([last_key, *self._bounds()])
            cut = batch.num_rows if bound == last_key else _rows_until(batch, bound)
            yield _match(batch.slice(offset, cut - offset), self._take_until(bound))
            offset = cut
            if bound == last_key:
                return

    def rest(self) -> Iterator[pa.RecordBatch]:
        """Yield, as ``KNOWN_SCHEMA`` and sorted, the ledger's rows behind the last inventory batch: all deleted."""
        while True:
            bounds = self._bounds()
            if not bounds:
                return
            yield self._take_until(min(bounds)).sort_by("key").select(KNOWN_SCHEMA.names)

    def _bounds(self) -> list[str]:
        return [bound for cursor in self._cursors if (bound := cursor.last_key_in_hand()) is not None]

    def _take_until(self, last_key: str) -> pa.RecordBatch:
        taken = [piece for cursor in self._cursors for piece in cursor.take_until(last_key)]
        return _one_batch(taken)


class _Cursor:
    """Reads one wave forward."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._in_hand: pa.RecordBatch | None = None

    def last_key_in_hand(self) -> str | None:
        """Return the last key of the batch in hand, reading one if needed; None at the end."""
        if self._in_hand is None or self._in_hand.num_rows == 0:
            self._in_hand = next(self._batches, None)
        return None if self._in_hand is None else _key_at(self._in_hand, self._in_hand.num_rows - 1)

    def take_until(self, last_key: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows not yet taken whose key is not behind ``last_key``."""
        while (bound := self.last_key_in_hand()) is not None and self._in_hand is not None:
            batch = self._in_hand
            if bound <= last_key:
                self._in_hand = None
                yield batch
                continue
            cut = _rows_until(batch, last_key)
            if cut:
                self._in_hand = batch.slice(cut)
                yield batch.slice(0, cut)
            return


def _match(rows: pa.RecordBatch, planned: pa.RecordBatch) -> LedgerMatch:
    keys, planned_keys = rows.column("key"), planned.column("key")
    where = pc.index_in(keys, value_set=planned_keys)
    known = pc.is_valid(where)
    found = where.filter(known)
    before, now = planned.take(found), rows.filter(known)
    differs = _differs(before, now)
    changed = pa.RecordBatch.from_arrays(
        [
            *before.select(KNOWN_SCHEMA.names).filter(differs).columns,
            now.column("last_modified").filter(differs),
        ],
        schema=CHANGED_SCHEMA,
    )
    return LedgerMatch(rows, known, changed, _without(planned, found).sort_by("key"))


def _without(planned: pa.RecordBatch, found: pa.Int32Array) -> pa.RecordBatch:
    """Return, as ``KNOWN_SCHEMA``, the rows that are not at the places ``found``; keys come but once, so counting tells."""
    rows = planned.select(KNOWN_SCHEMA.names)
    if len(found) == rows.num_rows:
        return rows.slice(0, 0)
    places = pa.array(range(rows.num_rows), pa.int32())
    return rows.filter(pc.invert(pc.is_in(places, value_set=found)))


def _rows_until(batch: pa.RecordBatch, last_key: str) -> int:
    """Return how many rows of a sorted batch have a key that is not behind ``last_key``."""
    low, high = 0, batch.num_rows
    while low < high:
        middle = (low + high) // 2
        if _key_at(batch, middle) <= last_key:
            low = middle + 1
        else:
            high = middle
    return low


def _key_at(batch: pa.RecordBatch, row: int) -> str:
    key: str = batch.column(0)[row].as_py()
    return key


def _wave_rows(store: StateStore, wave: Wave, batch_rows: int) -> Iterator[pa.RecordBatch]:
    for part in wave.parts:
        yield from read_sorted(store, part, columns=_COLUMNS, batch_rows=batch_rows)


def _differs(before: pa.RecordBatch, now: pa.RecordBatch) -> pa.BooleanArray:
    """Compare ETags where both have one; elsewhere size and time decide."""
    other_tag = pc.not_equal(before.column("e_tag"), now.column("e_tag"))
    other_size = pc.not_equal(before.column("size"), now.column("size"))
    other_time = pc.not_equal(before.column("last_modified"), now.column("last_modified"))
    return pc.coalesce(other_tag, pc.or_(other_size, other_time))


def _one_batch(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if not batches:
        return pa.RecordBatch.from_pylist([], schema=_SCHEMA)
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
