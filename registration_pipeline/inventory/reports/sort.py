"""Sorts the rows of a report by key out of core, and settles keys that come more than once.

What does not belong here: sorting itself (``tables/external_sort.py``), where rows come from (``rows.py``) and what becomes
of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.inventory.schema import BATCH_ROWS, INVENTORY_SCHEMA
from registration_pipeline.tables.external_sort import BLOCK_BYTES, FAN_IN, RUN_BYTES, ExternalSort

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROW_SCHEMA: pa.Schema = INVENTORY_SCHEMA.append(pa.field("gone", pa.bool_(), nullable=False))
"""An inventory's columns and whether the row says that the object is gone (a delete marker)."""

# Later values win: the newest row of a key, then the greatest version, then whatever makes the choice the same every time.
_PRECEDENCE: Final = [
    (column, "ascending")
    for column in ("key", "last_modified", "version", "gone", "e_tag", "size", "storage_class", "content_type")
]


class KeySort:
    """Accepts rows in any order and gives them back by key, each key once.

    Rows that agree in everything are one. Of rows that do not, the last modified one counts, then the greatest version id.
    A key whose row that counts says that it is gone is left out.

    Args:
        folder: where runs go; an empty temporary folder of the caller's.
        run_bytes: Arrow bytes that are sorted at once.
        block_bytes: Arrow bytes of a run that are read at a time.
        fan_in: runs merged at once.
    """

    def __init__(
        self, folder: Path, *, run_bytes: int = RUN_BYTES, block_bytes: int = BLOCK_BYTES, fan_in: int = FAN_IN
    ) -> None:
        self._sort = ExternalSort(
            folder, ROW_SCHEMA, _one_of_each, run_bytes=run_bytes, block_bytes=block_bytes, fan_in=fan_in
        )

    def add(self, rows: pa.RecordBatch) -> None:
        """Take rows of ``ROW_SCHEMA``.

        Raises:
            OSError: the folder can't hold them.
        """
        self._sort.add(rows)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield everything, in batches of ``INVENTORY_SCHEMA`` with strictly increasing keys. Call once.

        Raises:
            OSError: the folder can't hold the runs.
        """
        for table in self._sort.tables():
            rows = table.filter(pc.invert(table.column("gone"))).drop_columns("gone").cast(INVENTORY_SCHEMA)
            yield from (batch for batch in rows.to_batches(max_chunksize=BATCH_ROWS) if batch.num_rows)


def _one_of_each(table: pa.Table) -> pa.Table:
    """Return one chunk of rows by key, each key once."""
    keys = _keys(table)
    if pc.all(pc.less(keys[:-1], keys[1:])).as_py():
        return table
    table = table.take(pc.sort_indices(keys))
    keys = _keys(table)
    is_repeated = pc.equal(keys[:-1], keys[1:])
    if not pc.any(is_repeated).as_py():
        return table
    table = table.sort_by(_PRECEDENCE).combine_chunks()
    keys = _keys(table)
    is_last: Any = pa.concat_arrays([pc.not_equal(keys[:-1], keys[1:]), pa.array([True])])
    return table.filter(is_last)


def _keys(table: pa.Table) -> pa.Array:
    column = table.column("key")
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
