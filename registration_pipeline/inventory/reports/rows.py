"""Reads one data file of a report, whatever its format, and makes rows of the columns that an inventory has.

What does not belong here: which columns a provider writes and what its rows mean (``amazon.py`` and its neighbours).
Columns are found by name; unknown ones are not even read.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.inventory.reports.sort import ROW_SCHEMA
from registration_pipeline.inventory.reports.values import (
    ValueProblemError,
    column_name,
    numbers,
    text,
    times,
    unquoted,
)
from registration_pipeline.inventory.schema import BATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

_CSV_BLOCK_BYTES = 8 << 20
"""Text that is parsed at once; no row of a report is longer."""

_READ_AHEAD_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"


class ReportFormat(StrEnum):
    """How a report's files are written."""

    PARQUET = "parquet"
    ORC = "orc"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class CsvForm:
    """How a CSV file is written.

    Args:
        names: its columns, where they are known without the file; else the first line has them.
        has_header: whether the first line holds names; None means it does if it names a column that is wanted.
        delimiter: between values.
    """

    names: tuple[str, ...] = ()
    has_header: bool | None = False
    delimiter: str = ","


Columns = dict[str, pa.Array]
"""A batch's columns by ``column_name``; what the file does not have is not there."""


def read_columns(path: Path, form: ReportFormat, wanted: AbstractSet[str], sheet: CsvForm) -> Iterator[Columns]:
    """Yield the wanted columns of a local file, a batch at a time.

    Args:
        path: the file.
        form: how it is written.
        wanted: names as ``column_name`` returns them.
        sheet: how a CSV is written.

    Raises:
        ValueProblemError: the file is not of this format, or is damaged.
    """
    reader = {ReportFormat.PARQUET: _parquet, ReportFormat.ORC: _orc, ReportFormat.CSV: _csv}[form]
    try:
        for batch in reader(path, wanted, sheet):
            names = map(column_name, batch.schema.names)
            yield {name: column for name, column in zip(names, batch.columns, strict=True) if name in wanted}
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise ValueProblemError(f"it can't be read as {form} ({error})") from error


def rows_of(
    columns: Columns, key: pa.Array, gone: pa.Array | None, sources: Mapping[str, Sequence[str]]
) -> pa.RecordBatch:
    """Return rows of ``ROW_SCHEMA``.

    Args:
        columns: a batch.
        key: whole keys, decoded.
        gone: which rows say that the object is gone; None means none does.
        sources: for each column of an inventory the report's names for it; the first that is there counts.

    Raises:
        ValueProblemError: a value can't be read, or a row lacks key, size or time.
    """
    count = len(key)

    def column(name: str) -> pa.Array:
        return next((columns[source] for source in sources.get(name, ()) if source in columns), pa.nulls(count))

    is_gone = pa.repeat(pa.scalar(value=False), count) if gone is None else pc.fill_null(gone, False)
    size, modified = numbers(column("size")), times(column("last_modified"))
    is_lacking = pc.or_(pc.is_null(key), pc.and_(pc.invert(is_gone), pc.or_(pc.is_null(size), pc.is_null(modified))))
    if (row := pc.index(is_lacking, pa.scalar(value=True)).as_py()) >= 0:
        raise ValueProblemError(
            f"the row of key {key[row].as_py()!r} lacks its key, its size or the time of its last change"
        )
    arrays = {
        "key": key,
        "size": pc.fill_null(size, 0),
        "last_modified": pc.fill_null(modified, pa.scalar(0, modified.type)),
        "e_tag": unquoted(column("e_tag")),
        "gone": is_gone,
    } | {name: text(column(name)) for name in ("storage_class", "content_type", "version")}
    return pa.RecordBatch.from_arrays([arrays[name] for name in ROW_SCHEMA.names], schema=ROW_SCHEMA)


def _parquet(path: Path, wanted: AbstractSet[str], _: CsvForm) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    # Column chunks are streamed, so that memory does not hold a row group.
    with pq.ParquetFile(path, buffer_size=_READ_AHEAD_BYTES, pre_buffer=False) as file:
        names = [name for name in file.schema_arrow.names if column_name(name) in wanted]
        yield from file.iter_batches(batch_size=BATCH_ROWS, columns=names)


def _orc(path: Path, wanted: AbstractSet[str], _: CsvForm) -> Iterator[pa.RecordBatch]:
    from pyarrow import orc

    file = orc.ORCFile(str(path))
    names = [name for name in file.schema.names if column_name(name) in wanted]
    for stripe in range(file.nstripes):
        whole = file.read_stripe(stripe, columns=names)
        for start in range(0, whole.num_rows, BATCH_ROWS):
            yield whole.slice(start, BATCH_ROWS)


def _csv(path: Path, wanted: AbstractSet[str], sheet: CsvForm) -> Iterator[pa.RecordBatch]:
    from pyarrow import csv as arrow_csv

    first = _first_line(path, sheet.delimiter)
    is_named = any(column_name(name) in wanted for name in first)
    has_header = is_named if sheet.has_header is None else sheet.has_header
    names = list(first) if has_header or not sheet.names else list(sheet.names)
    if not first:
        return
    with _opened(path) as file:
        reader = arrow_csv.open_csv(
            file,
            read_options=arrow_csv.ReadOptions(
                column_names=names, skip_rows=int(has_header), block_size=_CSV_BLOCK_BYTES, use_threads=False
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=sheet.delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=[name for name in names if column_name(name) in wanted],
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
            ),
        )
        yield from reader


def _first_line(path: Path, delimiter: str) -> tuple[str, ...]:
    with _opened(path) as file:
        start = file.read(_CSV_BLOCK_BYTES).decode("utf-8-sig", "replace")
    return tuple(next(csv.reader(start.splitlines(keepends=True), delimiter=delimiter), ()))


def _opened(path: Path) -> IO[bytes]:
    """Open a file that may be compressed: its first bytes say so, whatever it is called."""
    with path.open("rb") as file:
        is_compressed = file.read(2) == _GZIP_MAGIC
    return cast("IO[bytes]", gzip.open(path)) if is_compressed else path.open("rb")
