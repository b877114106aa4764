"""Rows that name a file by its last part: put beside the inventory, sorted by that name, so that each gets its object's key.

What does not belong here: rows whose object's key is known from the row alone, and what becomes of the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.facts.tables.rows import ROW_SCHEMA
from registration_pipeline.tables.external_sort import ExternalSort
from registration_pipeline.tables.sorted_merge import SortedMerge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_NAMED: Final[pa.Schema] = pa.schema(
    [pa.field("key", pa.string(), nullable=False), pa.field("object", pa.string(), nullable=False)]
)
"""``key`` is the name of a file, which is what both sides are sorted by; ``object`` is the key of the object."""

_PIECE_ROWS: Final = 4_096
_LAST_PART: Final = r"(?s)^.*/"


class NameJoin:
    """Gives rows the keys of all objects of their name.

    Args:
        folder: for sorting; an empty temporary folder of the caller's.
        inventory: batches with a column ``key``, sorted.
    """

    def __init__(self, folder: Path, inventory: Iterable[pa.RecordBatch]) -> None:
        self._names = ExternalSort(folder, _NAMED, by=("key", "object"))
        for batch in inventory:
            keys = batch.column("key")
            names = pc.replace_substring_regex(keys, _LAST_PART, "")
            self._names.add(pa.RecordBatch.from_arrays([names, keys], schema=_NAMED))
        self.shared_names = self.rows_without_object = 0
        self._last: str | None = None
        self._last_is_counted = False

    def joined(self, tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
        """Yield the rows with the keys of objects, in the order of their names; call once.

        Args:
            tables: rows of ``ROW_SCHEMA`` whose ``key`` is a name, sorted by it; no name is in two tables.
        """
        objects = (batch for table in self._names.tables() for batch in table.to_batches(max_chunksize=_PIECE_ROWS))
        merge = SortedMerge([objects], _NAMED, ("key",))
        for table in tables:
            if not table.num_rows:
                continue
            rows = table.combine_chunks()
            names, last = rows.column("key").combine_chunks(), (rows.column("key")[-1].as_py(),)
            found: list[pa.Array] = []
            while True:
                bound = merge.bound()
                until = last if bound is None or bound >= last else bound
                piece = merge.take_until(until)
                matching = piece.filter(pc.is_in(piece.column("key"), value_set=names))
                if matching.num_rows:
                    self._count_shared(matching.column("key"))
                    found.append(pc.unique(matching.column("key")))
                    yield from _beside(rows, matching)
                if until == last:
                    break
            known = pa.concat_arrays(found) if found else pa.nulls(0, pa.string())
            self.rows_without_object += pc.sum(pc.invert(pc.is_in(names, value_set=known)), min_count=0).as_py()

    def _count_shared(self, names: pa.Array) -> None:
        """Count the names that come more than once, also where a piece ends between them."""
        for one in pc.value_counts(names):
            name, count = one["values"].as_py(), one["counts"].as_py()
            goes_on = name == self._last
            if not (goes_on and self._last_is_counted) and (goes_on or count > 1):
                self.shared_names += 1
                self._last_is_counted = True
            elif not goes_on:
                self._last_is_counted = False
            self._last = name


def _beside(rows: pa.Table, objects: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield each row once for each object of its name."""
    import polars as pl

    left: Any = pl.from_arrow(rows)
    right: Any = pl.from_arrow(objects)
    for piece in right.iter_slices(_PIECE_ROWS):
        both = left.join(piece, on="key").drop("key").rename({"object": "key"}).select(ROW_SCHEMA.names)
        yield from both.to_arrow().cast(ROW_SCHEMA).to_batches()
