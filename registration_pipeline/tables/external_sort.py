"""Sorts the rows of a report by key in constant memory, and settles keys that come more than once.

What does not belong here: where rows come from (``inventory/reports/rows.py``) and what becomes of them.

Rows are collected up to a limit, sorted, written to disk as a run, and the runs are merged block by block. Arrow compares the
bytes of UTF-8 text, which is the order of an inventory; no collation is involved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.inventory.schema import BATCH_ROWS, INVENTORY_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ROW_SCHEMA: pa.Schema = INVENTORY_SCHEMA.append(pa.field("gone", pa.bool_(), nullable=False))
"""An inventory's columns and whether the row says that the object is gone (a delete marker)."""

RUN_BYTES = 128 << 20
"""Arrow bytes that are sorted at once. Sorting copies them about twice, so this bounds the peak at some 400 MB."""

BLOCK_BYTES = 256 << 10
"""Arrow bytes of a run that the merge reads at a time."""

FAN_IN = 128
"""Runs merged at once: with blocks of 256 KiB some 50 MB of buffers, and far below 1,024 open files."""

# Later values win: the newest row of a key, then the greatest version, then whatever makes the choice the same every time.
_PRECEDENCE = [
    (column, "ascending")
    for column in ("key", "last_modified", "version", "gone", "e_tag", "size", "storage_class", "content_type")
]


class KeySort:
    """Takes rows in any order and gives them back by key, each key once.

    Rows that agree in everything are one. Of rows that do not, the last modified one stands, then the greatest version id.
    A key whose standing row says that it is gone is left out.

    Args:
        folder: where runs go; an empty temporary folder of the caller's.
        run_bytes: Arrow bytes that are sorted at once.
        block_bytes: Arrow bytes of a run that are read at a time.
        fan_in: runs merged at once.
    """

    def __init__(
        self, folder: Path, *, run_bytes: int = RUN_BYTES, block_bytes: int = BLOCK_BYTES, fan_in: int = FAN_IN
    ) -> None:
        self._folder, self._run_bytes, self._block_bytes, self._fan_in = folder, run_bytes, block_bytes, fan_in
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0
        self._runs: list[Path] = []
        self._runs_written = 0

    def add(self, rows: pa.RecordBatch) -> None:
        """Take rows of ``ROW_SCHEMA``.

        Raises:
            OSError: the folder can't hold them.
        """
        if rows.num_rows == 0:
            return
        self._pending.append(rows)
        self._pending_bytes += rows.nbytes
        if self._pending_bytes >= self._run_bytes:
            self._write_run([self._sorted_pending()])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield everything, in batches of ``INVENTORY_SCHEMA`` with strictly increasing keys. Call once.

        Raises:
            OSError: the folder can't hold the runs.
        """
        last = self._sorted_pending()
        if not self._runs:
            yield from _present(last)
            return
        self._write_run([last])
        while len(self._runs) > self._fan_in:
            merged, self._runs = self._runs[: self._fan_in], self._runs[self._fan_in :]
            self._write_run(self._merged(merged))
        for table in self._merged(self._runs):
            yield from _present(table)

    def _sorted_pending(self) -> pa.Table:
        table = pa.Table.from_batches(self._pending, ROW_SCHEMA).combine_chunks()
        self._pending, self._pending_bytes = [], 0
        return _settled(table)

    def _write_run(self, tables: Iterator[pa.Table] | Sequence[pa.Table]) -> None:
        path = self._folder / f"run-{self._runs_written:06d}.arrows"
        self._runs_written += 1
        options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, ROW_SCHEMA, options=options) as stream:
            for table in tables:
                rows = max(self._block_bytes * table.num_rows // max(table.nbytes, 1), 64)
                stream.write_table(table, max_chunksize=rows)
        self._runs.append(path)

    def _merged(self, paths: Sequence[Path]) -> Iterator[pa.Table]:
        """Yield the rows of all runs by key, and remove the runs' files at the end."""
        runs = [_Run(path) for path in paths]
        try:
            while True:
                for run in runs:
                    run.refill()
                # Every run is read beyond this key or to its end, and holds a key once: up to it all rows are at hand.
                bounds = [run.last_key for run in runs if not run.is_at_end]
                pieces = [run.take_through(min(bounds) if bounds else None) for run in runs]
                table = pa.concat_tables(pieces).combine_chunks()
                if table.num_rows:
                    yield _settled(table)
                if not bounds:
                    return
        finally:
            for run in runs:
                run.close()
            for path in paths:
                path.unlink(missing_ok=True)


class _Run:
    """A sorted run on disk, read block by block."""

    def __init__(self, path: Path) -> None:
        self._file = pa.OSFile(str(path), "rb")
        self._stream = pa.ipc.open_stream(self._file)
        self._rows: pa.Table = ROW_SCHEMA.empty_table()
        self._block_rows = 0
        self.is_at_end = False

    @property
    def last_key(self) -> str:
        key: str = self._rows.column("key")[-1].as_py()
        return key

    def refill(self) -> None:
        """Read on while less than half a block is left, so that every round of the merge gets somewhere."""
        while not self.is_at_end and self._rows.num_rows * 2 <= self._block_rows:
            try:
                block = pa.Table.from_batches([self._stream.read_next_batch()])
            except StopIteration:
                self.is_at_end = True
                return
            self._block_rows = block.num_rows
            self._rows = pa.concat_tables([self._rows, block])

    def take_through(self, bound: str | None) -> pa.Table:
        """Remove and return the rows up to and including a key; all of them without one."""
        keys = self._rows.column("key")
        count = len(keys) if bound is None else pc.sum(pc.less_equal(keys, bound)).as_py() or 0
        taken, self._rows = self._rows.slice(0, count), self._rows.slice(count)
        return taken

    def close(self) -> None:
        self._stream.close()
        self._file.close()


def _settled(table: pa.Table) -> pa.Table:
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


def _present(table: pa.Table) -> Iterator[pa.RecordBatch]:
    rows = table.filter(pc.invert(table.column("gone"))).drop_columns("gone").cast(INVENTORY_SCHEMA)
    yield from (batch for batch in rows.to_batches(max_chunksize=BATCH_ROWS) if batch.num_rows)
