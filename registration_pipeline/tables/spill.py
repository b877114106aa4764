"""Rows on local disk, cut into partitions by the hash of a key, so that two sides can be joined a partition at a time.

What does not belong here: what the rows mean (``audit/``). Rows of one key are always in partitions of one number, whatever
side they come from, so memory holds one partition of each side and never grows with the number of rows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar, get_type_hints
from zlib import crc32

import pyarrow as pa

from registration_pipeline.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Row = TypeVar("Row", bound=tuple[Any, ...])

_BUFFERED_ROWS: Final = 32_768
"""Rows that one spill keeps before it writes them: with keys of 1,024 bytes some 100 MB, usually 10."""

_BATCH_ROWS: Final = 1_024
"""Rows that a reader decodes at a time; a merge of many spills holds that many of each."""

_MOST_PARTITIONS: Final = 512
_ARROW_TYPES: Final = {str: pa.string(), str | None: pa.string(), int: pa.int64(), bool: pa.bool_()}


class Spill(Generic[Row]):
    """Rows of one kind in partitions.

    Args:
        folder: where its files go; a temporary folder of the caller's.
        name: what its files are called; a word that no other spill in the folder has.
        row_type: a ``NamedTuple`` of text, whole numbers and booleans.
        partitions: how many.
    """

    def __init__(self, folder: Path, name: str, row_type: type[Row], partitions: int) -> None:
        self._folder, self._name, self._row_type = folder, name, row_type
        hints = get_type_hints(row_type)
        self._schema = pa.schema([pa.field(field, _ARROW_TYPES[hint]) for field, hint in hints.items()])
        self._buffers: list[list[Row]] = [[] for _ in range(partitions)]
        self._buffered = 0
        self.rows = 0

    @property
    def partitions(self) -> range:
        """The numbers of the partitions."""
        return range(len(self._buffers))

    def add(self, key: bytes, row: Row) -> None:
        """Put a row into the partition of ``key``."""
        self._buffers[crc32(key) % len(self._buffers)].append(row)
        self.rows += 1
        self._buffered += 1
        if self._buffered == _BUFFERED_ROWS:
            self._flush()

    def read(self, partition: int) -> Iterator[Row]:
        """Yield the rows of a partition in the order in which they were added."""
        self._flush()
        path = self._path(partition)
        if not path.exists():
            return
        with pa.OSFile(str(path), "rb") as file:
            while file.tell() < file.size():
                with pa.ipc.open_stream(file) as stream:
                    for batch in stream:
                        columns = [column.to_pylist() for column in batch.columns]
                        yield from map(self._row_type._make, zip(*columns, strict=True))  # type: ignore[attr-defined]

    def take(self, partition: int) -> Iterator[Row]:
        """Yield the rows of a partition and remove its file at the end."""
        yield from self.read(partition)
        self._path(partition).unlink(missing_ok=True)

    def _path(self, partition: int) -> Path:
        return self._folder / f"{self._name}-{partition:03d}.arrows"

    def _flush(self) -> None:
        """Append each partition's rows as one small Arrow stream; no file stays open."""
        if not self._buffered:
            return
        try:
            for partition, rows in enumerate(self._buffers):
                if rows:
                    self._append(self._path(partition), rows)
                    rows.clear()
        except OSError as error:
            raise StateError(
                f"{self._folder} can't take what the audit has to set aside: {error.strerror or error}. Free space in the "
                "temporary folder, or set TMPDIR to a folder with room."
            ) from error
        self._buffered = 0

    def _append(self, path: Path, rows: list[Row]) -> None:
        arrays = [
            pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), self._schema, strict=True)
        ]
        options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
        with path.open("ab") as file, pa.ipc.new_stream(file, self._schema, options=options) as stream:
            stream.write_table(pa.Table.from_arrays(arrays, schema=self._schema), max_chunksize=_BATCH_ROWS)


class SpillRoom(NamedTuple):
    """A folder for spills that are joined with each other, and so have the same number of partitions."""

    folder: Path
    partitions: int

    def spill(self, name: str, row_type: type[Row]) -> Spill[Row]:
        """Return an empty spill."""
        return Spill(self.folder, name, row_type, self.partitions)


def partitions_for(rows: int, rows_per_partition: int) -> int:
    """Return how many partitions keep each near ``rows_per_partition``; beyond the most, partitions grow instead."""
    return min(max(math.ceil(rows / rows_per_partition), 1), _MOST_PARTITIONS)
