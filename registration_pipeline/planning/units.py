"""The units of a chunk: as columns for what is done to all of them, as tuples for what needs one at a time.

What does not belong here: reading them from a plan (``wave.py``) and halving them (``halves.py``).
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, NamedTuple, overload

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.schema import PLAN_SCHEMA

UNIT_COLUMNS: Final = (
    *("key", "kind", "unit_index", "position", "unit_id", "title", "object_url", "size"),
    *("client_metadata", "media_metadata"),
)
"""Those of a plan that a unit is made of."""

_BLOCK: Final = 1_024
"""Members of a unit that are made at a time."""

_KINDS: Final = {kind.value: kind for kind in MediaKind}  # a look-up is ten times as fast as MediaKind(…)
_ORDER: Final = [("unit_index", "ascending"), ("position", "ascending")]


class PlannedObject(NamedTuple):
    """One object of a unit. A tuple, for there are many.

    Args:
        key: its whole key.
        object_url: where Encord finds it.
        size: that of when it was planned, in bytes.
        media_metadata: canonical JSON text in neutral names (``media_blocks.py``); None: nothing is known.
    """

    key: str
    object_url: str
    size: int
    media_metadata: str | None = None


class PlannedUnit(NamedTuple):
    """What Encord registers as one item. A tuple, for there are many.

    Args:
        unit_id: 16 hexadecimal digits, the same in every run.
        kind: which list of the manifest it goes to.
        title: what Encord shows; unique in the source.
        objects: in the order of their position; those of a unit of several are made when they are read, for it may have a
            million.
        unit_index: position in the chunk, from 0.
        client_metadata: canonical JSON text of an object; None: there is none.
    """

    unit_id: str
    kind: MediaKind
    title: str
    objects: Sequence[PlannedObject]
    unit_index: int
    client_metadata: str | None = None


class _Members(Sequence[PlannedObject]):
    """The objects of one unit of several, as rows of its chunk."""

    __slots__ = ("_rows",)

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return int(self._rows.num_rows)

    @overload
    def __getitem__(self, index: int) -> PlannedObject: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PlannedObject]: ...
    def __getitem__(self, index: int | slice) -> PlannedObject | Sequence[PlannedObject]:
        if isinstance(index, slice):
            return tuple(map(self.__getitem__, range(*index.indices(len(self)))))
        row = range(len(self))[index]
        return _objects(self._rows.slice(row, 1))[0]

    def __iter__(self) -> Iterator[PlannedObject]:
        for start in range(0, len(self), _BLOCK):
            yield from _objects(self._rows.slice(start, _BLOCK))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))


def _objects(rows: pa.Table) -> list[PlannedObject]:
    return list(map(PlannedObject, *(rows.column(name).to_pylist() for name in PlannedObject._fields)))


class ChunkUnits(Sequence[PlannedUnit]):
    """The units of a chunk in the order of ``unit_index``; never changes.

    A chunk without trouble is rendered and judged by its columns alone: making a thousand tuples takes longer than either.

    Args:
        rows: one row per object, with ``UNIT_COLUMNS``, in any order.
    """

    def __init__(self, rows: pa.Table) -> None:
        is_single = _increases(rows)
        # Sorting copies every text, and the rows of a chunk that is found by its place are in order.
        self._rows = rows if is_single or _is_in_order(rows) else rows.sort_by(_ORDER)
        self._is_single = is_single or _increases(self._rows)

    @classmethod
    def of(cls, units: Iterable[PlannedUnit]) -> ChunkUnits:
        """Return units as a sequence with columns."""
        rows = [
            (
                entry.key,
                unit.kind.value,
                unit.unit_index,
                position,
                unit.unit_id,
                unit.title,
                entry.object_url,
                entry.size,
                unit.client_metadata if position == 0 else None,
                entry.media_metadata,
            )
            for unit in units
            for position, entry in enumerate(unit.objects)
        ]
        columns = list(zip(*rows, strict=True)) or [()] * len(UNIT_COLUMNS)
        schema = pa.schema([PLAN_SCHEMA.field(name) for name in UNIT_COLUMNS])
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        return cls(pa.Table.from_arrays(arrays, schema=schema))

    @property
    def is_single(self) -> bool:
        """Return whether every unit is one object, so that a row is a unit."""
        return self._is_single

    @property
    def objects(self) -> int:
        """How many objects the units have together."""
        return int(self._rows.num_rows)

    @property
    def has_client_metadata(self) -> bool:
        """Return whether any unit has client metadata of its own."""
        return self._has("client_metadata")

    @property
    def has_media_metadata(self) -> bool:
        """Return whether media metadata of any object is known."""
        return self._has("media_metadata")

    def _has(self, name: str) -> bool:
        column = self._rows.column(name)
        return int(column.null_count) < len(column)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column of ``UNIT_COLUMNS``, one value per object."""
        return self._rows.column(name)

    def values(self, name: str) -> list[Any]:
        """Return a column as Python values, one per object."""
        found: list[Any] = self._rows.column(name).to_pylist()
        return found

    def take(self, places: Sequence[int]) -> pa.Table:
        """Return rows by their places, counted from 0 as in ``spans``, with ``UNIT_COLUMNS``."""
        return self._rows.take(pa.array(places, pa.int64()))

    def spans(self) -> list[tuple[int, int]]:
        """Return, per unit, the row of its first object and the row after its last one."""
        return list(pairwise([*self._first_rows, self.objects]))

    def first_values(self, name: str) -> list[Any]:
        """Return a column as Python values, one per unit: that of its first object."""
        column = self._rows.column(name)
        if self._is_single:
            return self.values(name)
        found: list[Any] = column.take(pa.array(self._first_rows, pa.int64())).to_pylist()
        return found

    def __len__(self) -> int:
        return self.objects if self._is_single else len(self._first_rows)

    @overload
    def __getitem__(self, index: int) -> PlannedUnit: ...
    @overload
    def __getitem__(self, index: slice) -> ChunkUnits: ...
    def __getitem__(self, index: int | slice) -> PlannedUnit | ChunkUnits:
        if not isinstance(index, slice):
            return self._tuples[index]
        start, stop, step = index.indices(len(self))
        if step != 1:
            return ChunkUnits.of(self._tuples[index])
        first_rows = [*self._first_rows, self.objects]
        return ChunkUnits(self._rows.slice(first_rows[start], first_rows[max(start, stop)] - first_rows[start]))

    @cached_property
    def _first_rows(self) -> Sequence[int]:
        """Where each unit begins."""
        if self._is_single:
            return range(self.objects)
        indexes = self.values("unit_index")
        return [row for row, index in enumerate(indexes) if row == 0 or index != indexes[row - 1]]

    @cached_property
    def _tuples(self) -> list[PlannedUnit]:
        names = ("unit_id", "kind", "title", "unit_index", "client_metadata")
        unit_ids, kinds, titles, indexes, metadata = map(self.first_values, names)
        members: Iterable[Sequence[PlannedObject]] = (
            ((single,) for single in _objects(self._rows))
            if self._is_single
            else (_Members(self._rows.slice(row, end - row)) for row, end in self.spans())
        )
        return list(map(PlannedUnit, unit_ids, map(_KINDS.__getitem__, kinds), titles, members, indexes, metadata))


def _increases(rows: pa.Table) -> bool:
    """Return whether every row has a higher ``unit_index`` than the one before it."""
    indexes = rows.column("unit_index").to_pylist()
    return all(map(operator.lt, indexes, indexes[1:]))


def _is_in_order(rows: pa.Table) -> bool:
    """Return whether the rows are sorted by unit, and those of a unit by position."""
    if rows.num_rows == 0:
        return True
    index, position = (rows.column(name).combine_chunks() for name in ("unit_index", "position"))
    after, before = (index[1:], position[1:]), (index[:-1], position[:-1])
    same = pc.and_(pc.equal(after[0], before[0]), pc.greater(after[1], before[1]))
    return bool(pc.all(pc.or_(pc.greater(after[0], before[0]), same), min_count=0).as_py())
