"""Cells of CSV files that spreadsheets open: how they are written so that none is run as a formula, and read back.

What belongs here is the form of one cell and of one file, for every CSV that we write. What does not belong here: which rows
and columns there are, and reading the CSVs of others (``inventory/reports/``).

The rule (decision 029). A spreadsheet runs a cell that starts with one of ``= + - @``, a tab or a line break, or with the
full-width forms of the four. It may drop blanks, quotes and invisible characters before that, and one that expects another
separator starts a cell after each ``;``, tab or line break. At each of these places an apostrophe is put in front; where the
text there has apostrophes already, one more. Reading removes exactly that one, so every text comes back as it was.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TextIO

_RUN: Final = r"=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20"
"""The last four are the full-width forms, which East Asian versions of spreadsheets read as the plain ones."""

_DROPPED: Final = (
    r"'\" \x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
)
"""Whitespace, quotes, control and format characters: what a spreadsheet may drop before it judges a cell.

Nothing of it is in ``_RUN``, and ``;`` is in neither, so no character of a text is read twice.
"""

_START: Final = r"(?:^|(?<=[;\t\r\n]))"
_BEFORE_FORMULA: Final = re.compile(rf"{_START}(?=[{_DROPPED}]*[{_RUN}])")
_NEUTRALISED: Final = re.compile(rf"{_START}'(?=[{_DROPPED}]*[{_RUN}])")


def neutral_cell(text: str) -> str:
    """Return the text as a cell that no spreadsheet runs."""
    return _BEFORE_FORMULA.sub("'", text)


def plain_cell(cell: str) -> str:
    """Return the text that ``neutral_cell`` was given."""
    return _NEUTRALISED.sub("", cell)


class CsvWriter:
    """Writes rows with neutral cells, after a heading.

    Args:
        file: opened with ``newline=""``.
        columns: the heading.
    """

    __slots__ = ("_write_rows",)

    def __init__(self, file: TextIO, columns: Sequence[str]) -> None:
        # The module's own line end, CR LF: only then does it quote keys that hold a CR.
        writer = csv.writer(file)
        writer.writerow(columns)
        self._write_rows = writer.writerows

    def write(self, rows: Iterable[Iterable[object]]) -> None:
        """Write rows; numbers are written as they are, None as an empty cell."""
        self._write_rows([_written(value) for value in row] for row in rows)


def read_rows(file: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of a file that ``CsvWriter`` wrote, with the texts that it was given.

    Args:
        file: opened with ``newline=""``.
    """
    for row in csv.DictReader(file):
        yield {name: plain_cell(cell) for name, cell in row.items()}


def _written(value: object) -> object:
    return neutral_cell(value) if isinstance(value, str) else value
