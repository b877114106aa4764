"""Sorts any number of rows by some of their columns in constant memory.

What does not belong here: where rows come from and what becomes of them, such as settling keys that come more than once.

Rows are collected up to a limit, sorted, written to disk as a run, and the runs are merged block by block
(``sorted_merge.py``). Arrow compares the bytes of UTF-8 text, which is the order of an inventory; no collation is involved.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pyarrow as pa

from registration_pipeline.tables.sorted_merge import SortedMerge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

RUN_BYTES = 128 << 20
"""Arrow bytes that are sorted at once. Sorting copies them about twice, so this bounds the peak at some 400 MB."""

BLOCK_BYTES = 256 << 10
"""Arrow bytes of a run that the merge reads at a time."""

FAN_IN = 128
"""Runs merged at once: with blocks of 256 KiB some 50 MB of buffers, and far below 1,024 open files."""


class ExternalSort:
    """Takes rows in any order and gives them back by the columns ``by``, text in the order of its bytes.

    Args:
        folder: where runs go; an empty temporary folder of the caller's.
        schema: of the rows.
        settle: sorts a table by ``by`` and leaves of equal keys what the caller wants, the same however often it is asked; by
            default all rows, in any order.
        by: the columns of the key, the most significant first; without nulls.
        run_bytes: Arrow bytes that are sorted at once.
        block_bytes: Arrow bytes of a run that are read at a time.
        fan_in: runs merged at once.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        settle: Callable[[pa.Table], pa.Table] | None = None,
        *,
        by: Sequence[str] = ("key",),
        run_bytes: int = RUN_BYTES,
        block_bytes: int = BLOCK_BYTES,
        fan_in: int = FAN_IN,
    ) -> None:
        self._folder, self._schema, self._by = folder, schema, tuple(by)
        self._settle = settle or self._sorted
        self._run_bytes, self._block_bytes, self._fan_in = run_bytes, block_bytes, fan_in
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0
        self._runs: list[Path] = []
        self._runs_written = 0

    def add(self, rows: pa.RecordBatch) -> None:
        """Take rows of the schema.

        Raises:
            OSError: the folder can't hold them.
        """
        if rows.num_rows == 0:
            return
        self._pending.append(rows)
        self._pending_bytes += rows.nbytes
        if self._pending_bytes >= self._run_bytes:
            self._write_run([self._sorted_pending()])

    def tables(self) -> Iterator[pa.Table]:
        """Yield everything, in tables of increasing keys. Call once.

        Raises:
            OSError: the folder can't hold the runs.
        """
        last = self._sorted_pending()
        if not self._runs:
            yield last
            return
        self._write_run([last])
        while len(self._runs) > self._fan_in:
            merged, self._runs = self._runs[: self._fan_in], self._runs[self._fan_in :]
            self._write_run(self._merged(merged))
        yield from self._merged(self._runs)

    def _sorted_pending(self) -> pa.Table:
        table = pa.Table.from_batches(self._pending, self._schema).combine_chunks()
        self._pending, self._pending_bytes = [], 0
        return self._settle(table)

    def _sorted(self, table: pa.Table) -> pa.Table:
        return table.sort_by([(name, "ascending") for name in self._by])

    def _write_run(self, tables: Iterator[pa.Table] | Sequence[pa.Table]) -> None:
        path = self._folder / f"run-{self._runs_written:06d}.arrows"
        self._runs_written += 1
        options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, self._schema, options=options) as stream:
            for table in tables:
                rows = max(self._block_bytes * table.num_rows // max(table.nbytes, 1), 64)
                stream.write_table(table, max_chunksize=rows)
        self._runs.append(path)

    def _merged(self, paths: Sequence[Path]) -> Iterator[pa.Table]:
        """Yield the rows of all runs by key, and remove the runs' files at the end."""
        with ExitStack() as stack:
            for path in paths:
                stack.callback(path.unlink, missing_ok=True)
            runs = [_batches(stack, path) for path in paths]
            for rows in SortedMerge(runs, self._schema, self._by):
                yield self._settle(pa.Table.from_batches([rows]))


def _batches(stack: ExitStack, path: Path) -> Iterator[pa.RecordBatch]:
    file = stack.enter_context(pa.OSFile(str(path), "rb"))
    return iter(stack.enter_context(pa.ipc.open_stream(file)))
