"""Files with columns, Parquet and CSV, read a batch at a time.

What does not belong here: files of lines (``jsonl.py``) and what becomes of the rows (``rows.py``).

Arrow reads both: Parquet page by page, in memory that does not grow with the row groups, and CSV with every row checked for
its number of fields. Decision 045 has what was measured of the alternatives.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq

from registration_pipeline.counted import counted
from registration_pipeline.errors import HaltError
from registration_pipeline.settings.metadata import FRAME_COLUMN
from registration_pipeline.state.shortage import shortage, shortage_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline.facts.tables.columns import Columns, TableForm

BATCH_ROWS: Final = 32_768
BATCH_BYTES: Final = 16 << 20
"""Of values before they are text; embeddings become five times as much."""

_BUFFER_BYTES: Final = 1 << 20
_BLOCK_BYTES: Final = 16 << 20
"""Of CSV; no row may be longer."""

_MAGIC: Final = b"PAR1"
_PACKED: Final = (b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")
_NOT_UTF8: Final = (b"\xff\xfe", b"\xfe\xff")


def parquet_batches(path: Path, file: str, form: TableForm) -> Iterator[tuple[Columns, pa.RecordBatch]]:
    """Yield the rows of a Parquet file.

    Args:
        path: of the file.
        file: its name, for errors.
        form: what the entry asks of its columns.

    Raises:
        ConfigurationError: it is not Parquet, or has not the columns that the entry needs.
    """
    try:
        opened = pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES)
    except (pa.ArrowException, OSError) as error:
        raise broken(error, file, form, "Parquet") from None
    with opened:
        columns = form.columns(file, opened.schema_arrow.names)
        form.check_types(file, columns, opened.schema_arrow)
        batches = opened.iter_batches(
            batch_size=_rows_at_once(opened, columns), columns=columns.read, use_threads=False
        )
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise broken(error, file, form, "Parquet") from None
            if batch is None:
                return
            # Asked for "a", Arrow gives a column "a.b" as well.
            yield columns, batch.select(columns.read)


def _rows_at_once(file: pq.ParquetFile, columns: Columns) -> int:
    rows = max(int(file.metadata.num_rows), 1)
    size, starts = 0, tuple(f"{name}." for name in columns.read)
    for group in range(file.num_row_groups):
        chunks = file.metadata.row_group(group)
        for place in range(chunks.num_columns):
            chunk = chunks.column(place)
            if f"{chunk.path_in_schema}.".startswith(starts):
                size += int(chunk.total_uncompressed_size)
    return max(min(BATCH_ROWS, BATCH_BYTES * rows // max(size, 1)), 16)


def csv_batches(path: Path, file: str, form: TableForm) -> Iterator[tuple[Columns, pa.RecordBatch]]:
    """Yield the rows of a CSV file, all columns as text, empty fields as null. Blank lines are not rows.

    Args:
        path: of the file.
        file: its name, for errors.
        form: what the entry asks of its columns.

    Raises:
        ConfigurationError: it is not CSV in UTF-8 with commas, a row has another number of fields than the heading, or a
            column is not there.
    """
    refuse_other_content(path, file, form)
    _refuse_open_quote(path, file, form)
    columns = csv_columns(_heading(path, file, form), file, form)
    convert = pv.ConvertOptions(
        column_types=dict.fromkeys(columns.read, pa.string()),
        include_columns=columns.read,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    with _csv_errors(file, form) as wrong, _open_csv(path, wrong, convert) as batches:
        for batch in batches:
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield columns, batch.slice(start, BATCH_ROWS)


def csv_columns(names: list[str], file: str, form: TableForm) -> Columns:
    """Return the columns of a CSV file with these names in its heading.

    Raises:
        ConfigurationError: a column is not there, or the file is one of key frames.
    """
    columns = form.columns(file, names)
    if columns.has_frames:
        raise form.problem(
            file,
            f"has a column {FRAME_COLUMN!r}, so its values are embeddings of frames, and CSV has no lists. Write it as "
            f"Parquet or JSON lines; if {FRAME_COLUMN!r} is a value like others, name it in `columns`",
        )
    return columns


def _heading(path: Path, file: str, form: TableForm) -> list[str]:
    with _csv_errors(file, form) as wrong, _open_csv(path, wrong, pv.ConvertOptions()) as opened:
        return list(opened.schema.names)


def _open_csv(path: Path, wrong: list[str], convert: pv.ConvertOptions) -> pv.CSVStreamingReader:
    def refuse(row: pv.InvalidRow) -> str:
        where = "" if row.number is None else f" {row.number - 1:,}"
        wrong.append(
            f"has {counted(row.actual_columns, 'field')} in row{where} and {row.expected_columns:,} in its heading (the "
            "heading is not counted as a row). Write every row with all fields, and fields with commas or line breaks in "
            "quotes"
        )
        return "error"

    return pv.open_csv(
        path,
        read_options=pv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        parse_options=pv.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse),
        convert_options=convert,
    )


@contextmanager
def _csv_errors(file: str, form: TableForm) -> Iterator[list[str]]:
    """Give a list for what is wrong with a row, and say what Arrow's errors mean."""
    wrong: list[str] = []
    try:
        yield wrong
    except (pa.ArrowException, OSError) as error:
        if wrong:
            raise form.problem(file, wrong[0]) from None
        text = str(error)
        if "Empty CSV" in text:
            raise form.problem(file, "is empty. Write the names of the columns as its first line") from None
        if "UTF8" in text:
            raise form.problem(file, "holds a text that is not UTF-8. Write it again as UTF-8") from None
        if "straddling" in text:
            problem = (
                f"has a row of more than {_BLOCK_BYTES >> 20} MB, or a quote that does not end. Correct the quotes"
            )
            raise form.problem(file, problem) from None
        raise broken(error, file, form, "CSV") from None


def refuse_other_content(path: Path, file: str, form: TableForm) -> None:
    """Refuse a file of text that is something else: its suffix is wrong, or it is compressed or not UTF-8.

    Raises:
        ConfigurationError: says what it seems to be.
    """
    with path.open("rb") as opened:
        refuse_other_start(opened.read(8), file, form)


def refuse_other_start(start: bytes, file: str, form: TableForm) -> None:
    """See ``refuse_other_content``; ``start`` is the first bytes of the file."""
    if start.startswith(_MAGIC):
        raise form.problem(file, "is Parquet, other than its suffix says. Give it the suffix .parquet")
    if start.startswith(_PACKED):
        raise form.problem(file, "is compressed. Unpack it")
    if start.startswith(_NOT_UTF8):
        raise form.problem(file, "is not UTF-8 but UTF-16. Write it again as UTF-8")


def _refuse_open_quote(path: Path, file: str, form: TableForm) -> None:
    """Refuse CSV with an odd number of quotes: to Arrow, all behind one that does not end is one field."""
    quotes = 0
    with path.open("rb") as opened:
        while piece := opened.read(_BLOCK_BYTES):
            quotes += piece.count(b'"')
    if quotes % 2:
        raise form.problem(
            file,
            "has an odd number of double quotes, so one of its fields does not end. Put fields with commas, line breaks or "
            "quotes in quotes, and write a quote inside as two",
        )


def broken(error: Exception, file: str, form: TableForm, kind: str) -> Exception:
    """Return the error for a file that Arrow can't read: it is damaged, unless this machine ran short of something."""
    if short_of := shortage(error):
        return HaltError(shortage_text(f"The table {file} can't be read", short_of))
    said = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
    return form.problem(file, f"can't be read as {kind}, which its suffix says that it is ({said}). Write it again")
