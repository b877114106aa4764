"""Cuts sorted rows of members into pieces that hold whole units, in bounded memory.

What does not belong here: what becomes of a unit (``judge.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.planning.grouping.members import UNIT_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PIECE_ROWS: Final = 65_536
"""Rows that are judged at once: what judging costs besides is then far less than a microsecond a row."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of whole units.

    Args:
        rows: sorted by unit; at least one.
        is_beyond: they are a part of one unit that has more objects than any unit may have.
    """

    rows: pa.Table
    is_beyond: bool = False


def whole_units(tables: Iterable[pa.Table], *, most_objects: int, piece_rows: int = PIECE_ROWS) -> Iterator[Piece]:
    """Yield the rows of sorted tables in pieces of one kind each.

    No more than the rows of one unit, and a piece, are held: of a unit with more objects than ``most_objects`` the rows go on
    as they come.

    Args:
        tables: sorted by kind and group key.
        most_objects: that a unit may have.
        piece_rows: how many rows are gathered.
    """
    gatherer = _Gatherer(most_objects, piece_rows)
    for table in tables:
        if table.num_rows:
            for piece in gatherer.add(table.combine_chunks()):
                yield from _by_kind(piece)
    for piece in gatherer.rest():
        yield from _by_kind(piece)


def differs_from_last(rows: pa.Table) -> pa.BooleanArray:
    """Return of every row whether a new unit begins there; of the first row it is false."""
    begins = pa.array([False] * min(rows.num_rows, 1), pa.bool_())
    if rows.num_rows < 2:  # noqa: PLR2004
        return begins
    kinds, group_keys = (rows.column(name).combine_chunks() for name in UNIT_KEY)
    others = pc.or_(_changes(kinds), _changes(group_keys))
    return pa.concat_arrays([begins, others])


def _changes(column: pa.Array) -> pa.BooleanArray:
    return pc.not_equal(column.slice(1), column.slice(0, len(column) - 1))


class _Gatherer:
    """Holds what is not whole yet: whole units that are too few for a piece, and the rows of the last one so far."""

    def __init__(self, most_objects: int, piece_rows: int) -> None:
        self._most_objects, self._piece_rows = most_objects, piece_rows
        self._held: list[pa.Table] = []
        self._held_rows = 0
        self._open_rows = 0
        self._last: tuple[object, ...] | None = None
        self._is_beyond = False

    def add(self, table: pa.Table) -> Iterator[Piece]:
        begins = pc.indices_nonzero(differs_from_last(table))
        continues = self._last == _unit_of(table, 0)
        self._last = _unit_of(table, table.num_rows - 1)
        if self._is_beyond and continues:
            end = begins[0].as_py() if len(begins) else table.num_rows
            yield Piece(table.slice(0, end), is_beyond=True)
            if end == table.num_rows:
                return
            table, continues = table.slice(end), False
            begins = pc.subtract(begins, begins[0])[1:] if len(begins) > 1 else begins.slice(0, 0)
        self._is_beyond = False
        self._held.append(table)
        self._held_rows += table.num_rows
        if len(begins):
            self._open_rows = table.num_rows - begins[-1].as_py()
        else:
            self._open_rows = table.num_rows + (self._open_rows if continues else 0)
        is_beyond = self._open_rows > self._most_objects
        if is_beyond or self._held_rows - self._open_rows >= self._piece_rows:
            yield from self._whole()
        if is_beyond:
            self._is_beyond = True
            yield Piece(pa.concat_tables(self._held), is_beyond=True)
            self._held, self._held_rows, self._open_rows = [], 0, 0

    def rest(self) -> Iterator[Piece]:
        if self._held:
            yield Piece(pa.concat_tables(self._held))

    def _whole(self) -> Iterator[Piece]:
        """Give out the units that are whole."""
        held = pa.concat_tables(self._held)
        end = self._held_rows - self._open_rows
        if end:
            yield Piece(held.slice(0, end))
        self._held, self._held_rows = [held.slice(end)], self._open_rows


def _unit_of(table: pa.Table, row: int) -> tuple[object, ...]:
    return tuple(table.column(name)[row].as_py() for name in UNIT_KEY)


def _by_kind(piece: Piece) -> Iterator[Piece]:
    rows = piece.rows.combine_chunks()
    kinds = rows.column("kind").combine_chunks()
    if kinds[0] == kinds[-1]:
        yield Piece(rows, is_beyond=piece.is_beyond)
        return
    bounds = [0, *(row + 1 for row in pc.indices_nonzero(_changes(kinds)).to_pylist()), rows.num_rows]
    for begin, end in pairwise(bounds):
        yield Piece(rows.slice(begin, end - begin), is_beyond=piece.is_beyond)
