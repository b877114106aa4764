"""Finds rows of a sorted stream by their keys, reading forward only, in as much memory as the rows that are found.

What does not belong here: where the stream comes from, and what the rows mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from registration_pipeline.tables.sorted_merge import SortedMerge


class SortedLookup:
    """The rows of a stream, asked for once from the first key to the last.

    Args:
        rows: the stream.
        by: the columns it is sorted by, the most significant first.
    """

    def __init__(self, rows: SortedMerge, by: tuple[str, ...] = ("key",)) -> None:
        self._rows, self._by = rows, by

    def rows_of(self, keys: pa.Array, *, within: tuple[Any, ...] = ()) -> pa.RecordBatch:
        """Return the rows whose key is among some; every row is given out at most once.

        Args:
            keys: values of the last column of the key, sorted and not empty; no call asks for smaller ones than the call
                before it.
            within: the values of the columns before that one.
        """
        last, found = (*within, keys[-1].as_py()), list[pa.RecordBatch]()
        while True:
            bound = self._rows.bound()
            until = last if bound is None or bound >= last else bound
            found.append(self._among(self._rows.take_until(until), keys, within))
            if until == last:
                return found[0] if len(found) == 1 else pa.concat_batches(found)

    def _among(self, rows: pa.RecordBatch, keys: pa.Array, within: tuple[Any, ...]) -> pa.RecordBatch:
        wanted = pc.is_in(rows.column(self._by[-1]), value_set=keys)
        for name, value in zip(self._by, within, strict=False):
            column = rows.column(name)
            wanted = pc.and_(wanted, pc.equal(column, pa.scalar(value, column.type)))
        return rows.filter(wanted)
