"""Hands rows on in the order of their keys, though some of them come late: when all others are through.

What does not belong here: what the rows mean. Without late rows nothing is kept. From the moment when late ones may come,
the others are parked on local disk as they are, the late ones are sorted, and at the end both are merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from registration_pipeline.tables.external_sort import ExternalSort
from registration_pipeline.tables.sorted_merge import SortedMerge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_BLOCK_ROWS = 16_384
"""Rows that the merge reads at a time of the parked ones."""

_SORT_BYTES = 64 << 20
"""Arrow bytes that are sorted at once: two of these sorts are in memory beside that of the members."""


class KeyOrder:
    """Takes rows and hands them on in the order of their keys.

    Args:
        folder: for what has to wait; made when it is needed; the caller removes it.
        schema: of the rows; it has a column ``key`` without nulls, and no key comes twice.
        write: takes the rows in their order.
    """

    def __init__(self, folder: Path, schema: pa.Schema, write: Callable[[pa.RecordBatch], None]) -> None:
        self._folder, self._schema, self._write = folder, schema, write
        self._parked: pa.ipc.RecordBatchStreamWriter | None = None
        self._file: pa.OSFile | None = None
        self._late: ExternalSort | None = None

    def add(self, rows: pa.RecordBatch) -> None:
        """Take rows behind all that were added before.

        Raises:
            OSError: the folder can't hold them.
        """
        if self._parked is None:
            self._write(rows)
        elif rows.num_rows:
            self._parked.write_batch(rows)

    def expect_late(self) -> None:
        """Hand on nothing more before the end: rows may come late, none before those that were handed on.

        Raises:
            OSError: the folder can't be written.
        """
        if self._parked is not None:
            return
        self._folder.mkdir(parents=True)
        options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
        self._file = pa.OSFile(str(self._folder / "parked.arrows"), "wb")
        self._parked = pa.ipc.new_stream(self._file, self._schema, options=options)
        self._late = ExternalSort(self._folder, self._schema, run_bytes=_SORT_BYTES)

    def add_late(self, rows: pa.RecordBatch) -> None:
        """Take rows in any order; ``expect_late`` was called before the first row behind them was added.

        Raises:
            OSError: the folder can't hold them.
        """
        assert self._late is not None
        self._late.add(rows)

    def finish(self) -> None:
        """Hand on what was kept.

        Raises:
            OSError: the folder can't be written or read.
        """
        if self._parked is None or self._file is None or self._late is None:
            return
        self._parked.close()
        self._file.close()
        late = (batch for table in self._late.tables() for batch in table.to_batches())
        for rows in SortedMerge([self._parked_rows(), late], self._schema):
            self._write(rows.sort_by("key"))

    def close(self) -> None:
        """Close the file of what was kept; does nothing after ``finish``."""
        if self._file is not None and not self._file.closed:
            self._file.close()

    def _parked_rows(self) -> Iterator[pa.RecordBatch]:
        with pa.OSFile(str(self._folder / "parked.arrows"), "rb") as file, pa.ipc.open_stream(file) as stream:
            for batch in stream:
                for start in range(0, batch.num_rows, _BLOCK_ROWS):
                    yield batch.slice(start, _BLOCK_ROWS)
