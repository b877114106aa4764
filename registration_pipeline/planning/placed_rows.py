"""Rows of chunks that lie far apart in the plan, written once more side by side, so that such a chunk is read at once.

What belongs here: finding those chunks while the plan streams by, and holding their rows until they are complete. What does
not: the plan itself (``wave_writer.py``) and reading (``wave.py``).

The plan is sorted by key. A chunk of a kind that is rare in the bucket lies between its first and last key like any other, but
with the rows of hundreds of other chunks in between, and all of them would have to be decoded to get at it. Units of several
objects are written by place from the start (``wave_writer.py``), so their rows only count as rows in between here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.objects import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

_GROUP_KINDS: Final = frozenset(kind.value for kind, spec in KINDS.items() if spec.is_group)

FARTHEST_ROWS: Final = 65_536
"""A chunk that spans more rows of the plan is found by its place: more than eight row groups would have to be decoded."""


@dataclass(slots=True)
class _OpenChunk:
    """The chunk of one kind whose last row may still come.

    Args:
        first_row: where it begins in the plan.
        last_row: its last row so far.
        rows: its rows so far.
    """

    chunk_id: str
    first_row: int
    last_row: int = 0
    rows: list[pa.RecordBatch] = field(default_factory=list)


class PlacedRows:
    """Takes the plan's rows as they are written and hands on those of chunks that span too many of them.

    At most one chunk per kind is held, so that memory does not grow with the bucket.

    Args:
        write: takes the rows of a chunk, in their order, and returns where they begin among all that it took.
        farthest_rows: chunks that span more rows of the plan are handed on.
    """

    def __init__(self, write: Callable[[pa.RecordBatch], int], *, farthest_rows: int = FARTHEST_ROWS) -> None:
        self._write, self._farthest_rows = write, farthest_rows
        self._open: dict[str, _OpenChunk] = {}
        self._rows_seen = 0
        self.first_rows: dict[str, int] = {}
        """Chunk id -> where its rows begin among those that were handed on."""

    def add(self, rows: pa.RecordBatch) -> None:
        """Take rows of the plan, in its order; within a kind the chunks come one after the other."""
        chunk_ids = rows.column("chunk_id")
        of_kind: dict[str, list[str]] = {}
        for chunk_id in pc.unique(chunk_ids).to_pylist():
            kind = chunk_id.rsplit("-", 2)[1]
            if kind not in _GROUP_KINDS:
                of_kind.setdefault(kind, []).append(chunk_id)
        for kind, ids in of_kind.items():
            # What lies between the first and the last chunk of a kind begins and ends in these rows: it is near enough.
            for chunk_id in dict.fromkeys((ids[0], ids[-1])):
                self._take(kind, chunk_id, rows, chunk_ids)
        self._rows_seen += rows.num_rows

    def finish(self) -> None:
        """Complete the chunks that are open."""
        for kind in list(self._open):
            self._close(kind)

    def _take(self, kind: str, chunk_id: str, rows: pa.RecordBatch, chunk_ids: pa.Array) -> None:
        chunk = self._open.get(kind)
        places = pc.indices_nonzero(pc.equal(chunk_ids, pa.scalar(chunk_id, pa.string())))
        if chunk is None or chunk.chunk_id != chunk_id:
            self._close(kind)
            chunk = self._open[kind] = _OpenChunk(chunk_id, self._rows_seen + places[0].as_py())
        chunk.last_row = self._rows_seen + places[-1].as_py()
        chunk.rows.append(rows.take(places))

    def _close(self, kind: str) -> None:
        chunk = self._open.pop(kind, None)
        if chunk is None or chunk.last_row - chunk.first_row < self._farthest_rows:
            return
        begins = [self._write(rows) for rows in chunk.rows]
        self.first_rows[chunk.chunk_id] = begins[0]
