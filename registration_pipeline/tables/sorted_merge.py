"""Reads several sorted streams of Arrow batches forward together, in as much memory as one batch of each takes.

What does not belong here: where the streams come from, and what becomes of rows with equal keys.

The rows at hand of all streams are complete up to a bound: the smallest of the last keys that were read. So rows are read up
to a bound, never beyond it. A key is a tuple, one value for each column that the streams are sorted by; none of them is null.
Text compares by code point, which is the order of its UTF-8 bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Key: TypeAlias = tuple[Any, ...]
"""The values of the columns that a stream is sorted by."""


class SortedMerge:
    """Several sorted streams.

    Args:
        streams: batches with columns of ``schema``, each stream sorted by the columns ``by``.
        schema: of what is given out.
        by: the columns of the key, the most significant first.
    """

    def __init__(
        self, streams: Iterable[Iterator[pa.RecordBatch]], schema: pa.Schema, by: Sequence[str] = ("key",)
    ) -> None:
        self._schema, self._by = schema, tuple(by)
        self._cursors = [_Cursor(stream, self._by) for stream in streams]

    def bound(self) -> Key | None:
        """Return the key up to which the rows of every stream are at hand, reading on where needed; None at the end."""
        self._cursors = [cursor for cursor in self._cursors if cursor.fill()]
        return min((cursor.last for cursor in self._cursors), default=None)

    def take_until(self, bound: Key) -> pa.RecordBatch:
        """Remove and return the rows whose key is not behind ``bound``, stream by stream; the caller sorts them."""
        pieces = [piece for cursor in self._cursors for piece in cursor.take_until(bound)]
        if not pieces:
            return pa.RecordBatch.from_pylist([], schema=self._schema)
        return pieces[0] if len(pieces) == 1 else pa.concat_batches(pieces)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows: no key of a batch is behind, or equal to, one of the next batch."""
        while (bound := self.bound()) is not None:
            yield self.take_until(bound)


class _Cursor:
    """Reads one stream forward."""

    def __init__(self, batches: Iterator[pa.RecordBatch], by: tuple[str, ...]) -> None:
        self._batches, self._by = batches, by
        self._in_hand: pa.RecordBatch | None = None
        self._first: Key = ()
        self.last: Key = ()

    def fill(self) -> bool:
        """Have rows in hand unless the stream is at its end; return whether there are any."""
        while self._in_hand is None:
            batch = next(self._batches, None)
            if batch is None:
                return False
            if batch.num_rows:
                self._in_hand = batch
                self._first, self.last = key_at(batch, 0, self._by), key_at(batch, batch.num_rows - 1, self._by)
        return True

    def take_until(self, bound: Key) -> Iterator[pa.RecordBatch]:
        """Yield the rows not yet read whose key is not behind ``bound``."""
        while self.fill() and self._in_hand is not None and self._first <= bound:
            batch = self._in_hand
            if self.last <= bound:
                self._in_hand = None
                yield batch
                continue
            cut = rows_until(batch, bound, self._by)
            self._in_hand = batch.slice(cut)
            self._first = key_at(batch, cut, self._by)
            yield batch.slice(0, cut)


def key_at(batch: pa.RecordBatch, row: int, by: Sequence[str] = ("key",)) -> Key:
    """Return the key of a row."""
    return tuple(batch.column(name)[row].as_py() for name in by)


def rows_until(batch: pa.RecordBatch, bound: Key, by: Sequence[str] = ("key",)) -> int:
    """Return how many rows of a sorted batch have a key that is not behind ``bound``."""
    low, high = 0, batch.num_rows
    while low < high:
        middle = (low + high) // 2
        if key_at(batch, middle, by) <= bound:
            low = middle + 1
        else:
            high = middle
    return low
