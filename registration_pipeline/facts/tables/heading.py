"""The heading of a table's file: its columns, read from a part of the file before anything depends on them.

What does not belong here: reading rows (``columnar.py``, ``jsonl.py``) and which columns an entry needs (``columns.py``).
"""

from __future__ import annotations

import codecs
import csv
import io
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from registration_pipeline.facts.tables.columnar import broken, csv_columns, refuse_other_start
from registration_pipeline.facts.tables.columns import TableForm
from registration_pipeline.facts.tables.jsonl import first_rows
from registration_pipeline.settings.metadata import FRAME_COLUMN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.facts.tables.files import TableFile, TableFiles
    from registration_pipeline.settings.metadata import FieldType, MetadataEntry

_START_BYTES: Final = 1 << 20
"""Read of a file of text; a heading that is longer is left to the sync."""
_MOST_FOOTER: Final = 16 << 20
_MAGIC: Final = b"PAR1"
_END: Final = 8
"""Bytes at the end of a Parquet file: the length of its footer, and the magic."""


def check_heading(files: TableFiles, file: TableFile, entry: MetadataEntry, types: Mapping[str, FieldType]) -> None:
    """Refuse a file whose columns would stop a sync, with the sync's error.

    Args:
        files: read a part of it.
        file: which.
        entry: of the table.
        types: of ``metadata_schema``.

    Raises:
        ConfigurationError: a column is not there or has a type that can't be sent, or the file is of another format.
        HaltError: the file can't be read.
    """
    form, suffix = TableForm(entry, files.key, types), (entry.table or "").rpartition(".")[2]
    if suffix == "parquet":
        _check_footer(files, file, form)
        return
    start = files.part(file, 0, min(file.size, _START_BYTES)) if file.size else b""
    refuse_other_start(start[:8], file.name, form)
    check = _check_csv if suffix == "csv" else _check_lines
    check(start, file.name, form, is_whole=file.size <= _START_BYTES)


def _check_footer(files: TableFiles, file: TableFile, form: TableForm) -> None:
    end = files.part(file, file.size - _END, _END) if file.size > _END else b""
    length = int.from_bytes(end[:4], "little")
    if not end.endswith(_MAGIC) or length > file.size - _END:
        raise broken(ValueError("it has no footer"), file.name, form, "Parquet")
    if length > _MOST_FOOTER:
        return
    footer = files.part(file, file.size - _END - length, length)
    try:
        schema = pq.read_schema(io.BytesIO(_MAGIC + footer + end))
    except (pa.ArrowException, OSError) as error:
        raise broken(error, file.name, form, "Parquet") from None
    form.check_types(file.name, form.columns(file.name, schema.names), schema)


def _check_csv(start: bytes, file: str, form: TableForm, *, is_whole: bool) -> None:
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start, final=is_whole)
    except UnicodeDecodeError:
        raise form.problem(file, "holds a text that is not UTF-8. Write it again as UTF-8") from None
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        names = next(filter(None, rows), None)
    except csv.Error:
        return  # beyond what this reader takes: the sync says what is wrong, if anything is
    if names is None:
        raise form.problem(file, "is empty. Write the names of the columns as its first line")
    if is_whole or rows.line_num <= text.count("\n"):
        csv_columns(names, file, form)


def _check_lines(start: bytes, file: str, form: TableForm, *, is_whole: bool) -> None:
    rows = first_rows(start, file, form, is_whole=is_whole)
    if not rows:
        return
    form.frames(file, is_there=FRAME_COLUMN in rows[0])
    names = sorted({name for row in rows for name in row})
    # Later lines may have other names; a key that none of so many has is wrong all the same.
    if is_whole or form.entry.key not in names:
        form.columns(file, names)
