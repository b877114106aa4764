"""Sorts any number of rows by a text column in constant memory.

What does not belong here: where rows come from and what becomes of them, such as settling keys that come more than once.

Rows are collected up to a limit, sorted, written to disk as a run, and the runs are merged block by block. Arrow compares the
bytes of UTF-8 text, which is the order of an inventory; no collation is involved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

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
    """Takes rows in any order and gives them back by the text column ``key``, in the order of its bytes.

    Args:
        folder: where runs go; an empty temporary folder of the caller's.
        schema: of the rows; it has a column ``key`` of text without nulls.
        settle: sorts a table by ``key`` and leaves of equal keys what the caller wants, the same however often it is asked.
        run_bytes: Arrow bytes that are sorted at once.
        block_bytes: Arrow bytes of a run that are read at a time.
        fan_in: runs merged at once.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        settle: Callable[[pa.Table], pa.Table],
        *,
        run_bytes: int = RUN_BYTES,
        block_bytes: int = BLOCK_BYTES,
        fan_in: int = FAN_IN,
    ) -> None:
        self._folder, self._schema, self._settle = folder, schema, settle
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
        runs = [_Run(path) for path in paths]
        try:
            while True:
                for run in runs:
                    run.refill()
                # Every run is read beyond this key or to its end: up to it all rows are at hand.
                bounds = [run.last_key for run in runs if not run.is_at_end]
                pieces = [run.take_through(min(bounds) if bounds else None) for run in runs]
                table = pa.concat_tables(pieces).combine_chunks()
                if table.num_rows:
                    yield self._settle(table)
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
        self._rows: pa.Table = self._stream.schema.empty_table()
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
