"""Parquet parts of the state: written whole, read in a stream, every byte that is read compared with its digest.

What does not belong here: what the rows mean (inventory, planning) and the marker that names the parts (``markers.py``).

Each row group is a region with a digest, and so is the tail: what lies behind the row groups. The commit marker holds the
tail's digest, and the tail those of the row groups, so a reader of one row group reads no more than that and the tail. A small
part, and one whose marker does not name the tail, is one region under the digest of the whole file.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq
from xxhash import xxh3_128

from registration_pipeline.errors import StateError, StateNotFoundError
from registration_pipeline.state.damage import damaged
from registration_pipeline.state.regions import DamagedRegionError, Region, RegionDigests, VerifiedFile
from registration_pipeline.state.shortage import shortage, shortage_text
from registration_pipeline.state.temporary import temporary_space

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from typing import IO

    from registration_pipeline.state.markers import FileSet
    from registration_pipeline.state.store import StateStore

ROW_GROUP_ROWS = 65_536
"""Rows per row group and per batch read: the unit of streaming, some 64 MB at the longest keys (1,024 bytes)."""

PART_ROWS = 1_000_000
"""Rows per part: 10 to 30 MB compressed, so that a part uploads in one conditional request."""

_GROUP_BYTES: Final = 128 << 20
"""Arrow bytes of a row group at the most, or those of one row: rows with texts of megabytes are held back no longer."""

_PART_BYTES: Final = 512 << 20
"""Of a file, after which a part ends: its rows hold texts of megabytes, and a part is uploaded in one request."""

_BLOCK_BYTES = 1 << 20
_REGIONS: Final = "registration_pipeline.regions"
_ONE_REGION_BYTES: Final = 1 << 20
"""Parts up to this size are read as one region: with one request, under the digest that they have anyway."""
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
        tail: what lies behind its row groups, which it holds the digests of; None: it is read as one region.
    """

    name: str
    rows: int
    bytes: int
    digest: str
    tail: Region | None = field(default=None)

    @property
    def whole(self) -> Region:
        """All of it."""
        return Region(0, self.bytes, self.digest)

    def to_json(self) -> dict[str, Any]:
        """Return the form it has in a commit marker."""
        whole = {"name": self.name, "rows": self.rows, "bytes": self.bytes, "xxh3": self.digest}
        return whole | ({"tail": {"begin": self.tail.begin, "xxh3": self.tail.digest}} if self.tail else {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read the form it has in a commit marker; parts of the first version have no tail."""
        size, tail = int(value["bytes"]), value.get("tail")
        region = Region(int(tail["begin"]), size, str(tail["xxh3"])) if tail else None
        return cls(str(value["name"]), int(value["rows"]), size, str(value["xxh3"]), region)


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
        bytes_per_group: the most Arrow bytes in one row group, or those of one row, for rows that may be large: what a reader
            holds at once. None: 128 MiB.
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
        bytes_per_group: int | None = None,
    ) -> None:
        self._bytes_per_group = bytes_per_group or _GROUP_BYTES
        self._dictionaries = [name for name in schema.names if name not in distinct]
        self._files, self._schema, self._stem = files, schema, stem
        self._rows_per_part, self._rows_per_group = rows_per_part, rows_per_group
        self._folder = tempfile.TemporaryDirectory(prefix="registration-pipeline-", ignore_cleanup_errors=True)
        self._path = Path(self._folder.name) / "part.parquet"
        self._open: _OpenPart | None = None
        self._rows_in_part = 0
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = self._pending_bytes = 0
        self._parts: list[Part] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.abandon()
        self._folder.cleanup()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows; small batches are gathered into whole row groups."""
        offset = 0
        while offset < batch.num_rows:
            piece = batch.slice(offset, self._room() - self._pending_rows)
            piece = piece.slice(0, _rows_within(piece, self._bytes_per_group - self._pending_bytes))
            if not piece.num_rows and not self._pending_rows:
                piece = batch.slice(offset, 1)
            offset += piece.num_rows
            self._pending.append(piece)
            self._pending_rows, self._pending_bytes = (
                self._pending_rows + piece.num_rows,
                self._pending_bytes + piece.nbytes,
            )
            is_full = self._pending_rows == self._room()
            if is_full or offset < batch.num_rows:  # the next row has no room
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
            if self._open is None:
                self._open = _OpenPart(self._path, self._schema, self._dictionaries)
            size = self._open.write(table)
        self._rows_in_part += table.num_rows
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0
        if self._rows_in_part == self._rows_per_part or size >= _PART_BYTES:
            self._publish()

    def _publish(self) -> None:
        if self._open is None:
            return
        with temporary_space("A part", self._path):
            size, digest, tail = self._open.finish()
        self._open = None
        name = self._files.new_name(self._stem, "parquet")
        self._files.store.create_from_file(name, self._path)
        self._parts.append(Part(name, self._rows_in_part, size, digest, tail))
        self._rows_in_part = 0


def _rows_within(rows: pa.RecordBatch, most_bytes: int) -> int:
    """Return how many of the first rows have at most so many bytes."""
    low, high = 0, int(rows.num_rows)
    if rows.nbytes <= most_bytes:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if rows.slice(0, middle).nbytes <= most_bytes else (low, middle)
    return low


class _OpenPart:
    """A Parquet file that is being written, and digested row group by row group."""

    def __init__(self, path: Path, schema: pa.Schema, dictionaries: Sequence[str]) -> None:
        self._closing = ExitStack()
        # Arrow's own file does not buffer: what it says was written can be read back at once.
        self._sink = self._closing.enter_context(pa.OSFile(str(path), "wb"))
        self._digests = self._closing.enter_context(RegionDigests(path))
        self._writer = pq.ParquetWriter(
            self._sink,
            schema,
            use_dictionary=list(dictionaries),
            compression="zstd",
            compression_level=_ZSTD_LEVEL,
            write_statistics=True,
        )

    def write(self, table: pa.Table) -> int:
        """Write one row group, and return the bytes of the file so far."""
        self._writer.write_table(table, row_group_size=table.num_rows)
        self._digests.end_region(self._sink.tell())
        return self._digests.regions[-1].end

    def finish(self) -> tuple[int, str, Region | None]:
        """Close the file and return its size, the digest of all of it and its tail, where it is to be read by regions."""
        with self._closing:
            regions = [[region.end, region.digest] for region in self._digests.regions]
            self._writer.add_key_value_metadata({_REGIONS: json.dumps(regions, separators=(",", ":"))})
            self._writer.close()
            size, digest = self._digests.finish()
        return size, digest, self._digests.regions[-1] if size > _ONE_REGION_BYTES else None

    def abandon(self) -> None:
        """Close the file, whatever it holds."""
        with self._closing, suppress(OSError):
            self._writer.close()


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
        StateCorruptError: a part is missing, or is not what its marker says.
    """
    for part in parts:
        with open_part(store, part) as file:
            yield from read_groups(store, part, file, columns, batch_rows)


def read_groups(
    store: StateStore, part: Part, file: pq.ParquetFile, columns: Sequence[str] | None, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Stream the rows of an open part, row group by row group: each is read, and compared with its digest, once.

    Raises:
        StateCorruptError: the part is not what was written.
    """
    names = None if columns is None else list(columns)
    for group in range(file.num_row_groups):
        batches = file.iter_batches(batch_size=batch_rows, row_groups=[group], columns=names, use_threads=False)
        while True:
            with vouched_for(store, part):
                batch = next(batches, None)
            if batch is None:
                break
            yield batch if names is None else batch.select(names)


@contextmanager
def open_part(store: StateStore, part: Part) -> Iterator[pq.ParquetFile]:
    """Open one part for readers that choose their row groups. Whatever they read is compared with its digest first.

    Raises:
        StateCorruptError: the part is missing, or is not what its marker says.
    """
    with vouched_for(store, part):
        stream = store.open(part.name)
    with stream:
        with vouched_for(store, part):
            file = _verified(stream, part)
        if file.metadata.num_rows != part.rows:
            raise damaged(store, part.name, f"holds {file.metadata.num_rows} rows, but {part.rows} were committed")
        yield file


def _verified(stream: IO[bytes], part: Part) -> pq.ParquetFile:
    """Return a part whose reads are verified.

    Arrow's threads may drop the last reference to a Python file when the interpreter is ending already, which aborts the
    process. So nothing is read ahead, and parts are not read with use_threads.
    """
    if part.tail is None:
        return pq.ParquetFile(VerifiedFile(stream, [part.whole], part.bytes), pre_buffer=False)
    metadata = pq.read_metadata(pa.BufferReader(VerifiedFile(stream, [part.tail], part.bytes).verify(part.tail)))
    regions, begin = list[Region](), 0
    for end, digest in json.loads(metadata.metadata[_REGIONS.encode()]):
        regions.append(Region(begin, end, digest))
        begin = end
    return pq.ParquetFile(VerifiedFile(stream, [*regions, part.tail], part.bytes), metadata=metadata, pre_buffer=False)


@contextmanager
def vouched_for(store: StateStore, part: Part) -> Iterator[None]:
    """Say of a part that it is damaged.

    Raises:
        StateCorruptError: in the place of what Arrow, the disk or a digest says.
    """
    try:
        yield
    except StateNotFoundError:
        raise damaged(store, part.name, "is missing, though its commit marker names it") from None
    except DamagedRegionError as error:
        raise damaged(store, part.name, f"is damaged: {error}") from error
    except (pa.ArrowException, OSError, MemoryError) as error:
        if short_of := shortage(error):
            raise StateError(shortage_text(f"{store.location(part.name)} can't be read", short_of)) from error
        raise damaged(store, part.name, f"can't be read: {str(error).strip()}") from error
