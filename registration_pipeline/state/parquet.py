"""Parquet parts of the state: written whole, read in a stream, checked against what their commit marker says.

What does not belong here: what the rows mean (inventory, planning) and the marker that names the parts (``markers.py``).
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from xxhash import xxh3_128

from registration_pipeline.errors import StateCorruptError, StateError, StateNotFoundError
from registration_pipeline.state.markers import RESTORE
from registration_pipeline.state.shortage import shortage, shortage_text
from registration_pipeline.state.temporary import temporary_space

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from registration_pipeline.state.markers import FileSet
    from registration_pipeline.state.store import StateStore

ROW_GROUP_ROWS = 65_536
"""Rows per row group and per batch read: the unit of streaming, some 64 MB at the longest keys (1,024 bytes)."""

PART_ROWS = 1_000_000
"""Rows per part: 10 to 30 MB compressed, so that a part uploads in one conditional request."""

_BLOCK_BYTES = 1 << 20
_ZSTD_LEVEL = (
    1  # keys and ETags come out 4 % smaller than at level 3 (listings and plans alike), in two thirds of the time
)


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file under a commit marker.

    Args:
        name: its whole name in the state, source included.
        rows: how many rows it holds.
        bytes: its size.
        digest: XXH3-128 of its bytes, as 32 hexadecimal digits.
    """

    name: str
    rows: int
    bytes: int
    digest: str

    def to_json(self) -> dict[str, Any]:
        """Return the form it has in a commit marker."""
        return {"name": self.name, "rows": self.rows, "bytes": self.bytes, "xxh3": self.digest}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read the form it has in a commit marker."""
        return cls(str(value["name"]), int(value["rows"]), int(value["bytes"]), str(value["xxh3"]))


class ParquetPartWriter:
    """Cuts record batches into Parquet parts and publishes each into a file set as soon as it is full.

    A part is written in the system's temporary folder (``TMPDIR``); at most one is there at a time. Use it as a context
    manager: leaving the block removes that folder, and only ``finish`` publishes the last part.

    Args:
        files: where the parts go.
        schema: what every batch must have.
        stem: how part names start.
        rows_per_part: the most rows in one part.
        rows_per_group: the most rows in one row group: what a reader must decode to get at any row of it.
        distinct: columns whose values hardly repeat. They get no dictionary, which would hold nearly all values before it is
            given up: writing takes longer with one, and reading too.
    """

    def __init__(
        self,
        files: FileSet,
        schema: pa.Schema,
        *,
        stem: str = "part",
        rows_per_part: int = PART_ROWS,
        rows_per_group: int = ROW_GROUP_ROWS,
        distinct: Collection[str] = (),
    ) -> None:
        self._dictionaries = [name for name in schema.names if name not in distinct]
        self._files, self._schema, self._stem = files, schema, stem
        self._rows_per_part, self._rows_per_group = rows_per_part, rows_per_group
        self._folder = tempfile.TemporaryDirectory(prefix="registration-pipeline-", ignore_cleanup_errors=True)
        self._path = Path(self._folder.name) / "part.parquet"
        self._writer: pq.ParquetWriter | None = None
        self._rows_in_part = 0
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._parts: list[Part] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            with temporary_space("A part", self._path):
                self._writer.close()
        self._folder.cleanup()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows; small batches are gathered into whole row groups."""
        offset = 0
        while offset < batch.num_rows:
            piece = batch.slice(offset, self._room() - self._pending_rows)
            offset += piece.num_rows
            self._pending.append(piece)
            self._pending_rows += piece.num_rows
            if self._pending_rows == self._room():
                self._write_row_group()

    def finish(self) -> tuple[Part, ...]:
        """Publish the last part and return all, in the order of their rows; none if there were no rows."""
        self._write_row_group()
        self._publish()
        return tuple(self._parts)

    def _room(self) -> int:
        return min(self._rows_per_group, self._rows_per_part - self._rows_in_part)

    def _write_row_group(self) -> None:
        if not self._pending_rows:
            return
        table = pa.Table.from_batches(self._pending, schema=self._schema)
        with temporary_space("A part", self._path):
            if self._writer is None:
                self._writer = pq.ParquetWriter(
                    self._path,
                    self._schema,
                    use_dictionary=self._dictionaries,
                    compression="zstd",
                    compression_level=_ZSTD_LEVEL,
                    write_statistics=True,
                )
            self._writer.write_table(table, row_group_size=self._rows_per_group)
        self._rows_in_part += table.num_rows
        self._pending, self._pending_rows = [], 0
        if self._rows_in_part == self._rows_per_part:
            self._publish()

    def _publish(self) -> None:
        if self._writer is None:
            return
        with temporary_space("A part", self._path):
            self._writer.close()
        self._writer = None
        name = self._files.new_name(self._stem, "parquet")
        with temporary_space("A part", self._path):
            size, digest = file_digest(self._path)
        self._files.store.create_from_file(name, self._path)
        self._parts.append(Part(name, self._rows_in_part, size, digest))
        self._rows_in_part = 0


def file_digest(path: Path) -> tuple[int, str]:
    """Return the size of a file in bytes and the XXH3-128 digest of its content, as 32 hexadecimal digits.

    Raises:
        OSError: it can't be read.
    """
    digest = xxh3_128()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
        return file.tell(), digest.hexdigest()


def read_parts(
    store: StateStore,
    parts: Iterable[Part],
    columns: Sequence[str] | None = None,
    batch_rows: int = ROW_GROUP_ROWS,
) -> Iterator[pa.RecordBatch]:
    """Stream the rows of ``parts`` in order, in batches of at most ``batch_rows``, of ``columns`` (default: all).

    Raises:
        StateCorruptError: a part is missing, unreadable or has another number of rows than its marker says.
    """
    for part in parts:
        with open_part(store, part) as file:
            batches = file.iter_batches(
                batch_size=batch_rows, columns=None if columns is None else list(columns), use_threads=False
            )
            while True:
                with _vouched_for(store, part):
                    batch = next(batches, None)
                if batch is None:
                    break
                yield batch if columns is None else batch.select(list(columns))


@contextmanager
def open_part(store: StateStore, part: Part) -> Iterator[pq.ParquetFile]:
    """Open one part for readers that choose their row groups.

    Raises:
        StateCorruptError: the part is missing, no Parquet or has another number of rows than its marker says.
    """
    with _vouched_for(store, part):
        stream = store.open(part.name)
    with stream:
        with _vouched_for(store, part):
            # Arrow's threads may drop the last reference to a Python file when the interpreter is ending already, which aborts
            # the process; a native file has none. For the same reason parts are not read with use_threads.
            file = pq.ParquetFile(stream, pre_buffer=isinstance(stream, pa.NativeFile))
        if file.metadata.num_rows != part.rows:
            raise StateCorruptError(
                f"{store.location(part.name)} holds {file.metadata.num_rows} rows, but {part.rows} were committed. "
                f"{RESTORE}"
            )
        yield file


@contextmanager
def _vouched_for(store: StateStore, part: Part) -> Iterator[None]:
    try:
        yield
    except StateNotFoundError:
        raise StateCorruptError(
            f"{store.location(part.name)} is missing, though its commit marker names it. {RESTORE}"
        ) from None
    except (pa.ArrowException, OSError, MemoryError) as error:
        if short_of := shortage(error):
            raise StateError(shortage_text(f"{store.location(part.name)} can't be read", short_of)) from error
        raise StateCorruptError(
            f"{store.location(part.name)} can't be read: {str(error).strip()}. {RESTORE}"
        ) from error
