"""Files of lines, each a JSON object.

What does not belong here: files with columns (``columnar.py``) and what becomes of the rows (``rows.py``).

Each line is read by itself, since lines need not have the same names or types: a reader of columns would turn a number into
text where another line has a text. Blank lines are not rows.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.facts.metadata.values import shown
from registration_pipeline.facts.tables.columnar import refuse_other_content

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline.facts.tables.columns import TableForm

_LONGEST_LINE: Final = 64 << 20
"""Bytes: six times what one unit's metadata may have."""
_BOM: Final = b"\xef\xbb\xbf"
_BATCH_ROWS: Final = 8_192
_BATCH_BYTES: Final = 16 << 20


def jsonl_batches(path: Path, file: str, form: TableForm) -> Iterator[list[dict[str, Any]]]:
    """Yield the objects of the lines, many at a time.

    Args:
        path: of the file.
        file: its name, for errors.
        form: for errors.

    Raises:
        ConfigurationError: a line is not a JSON object in UTF-8.
    """
    refuse_other_content(path, file, form)
    rows: list[dict[str, Any]] = []
    count = size = 0
    with path.open("rb") as lines:
        if lines.read(len(_BOM)) != _BOM:
            lines.seek(0)
        while line := lines.readline(_LONGEST_LINE + 1):
            if not line.strip():
                continue
            count, size = count + 1, size + len(line)
            rows.append(_object(line, count, file, form))
            if len(rows) >= _BATCH_ROWS or size >= _BATCH_BYTES:
                yield rows
                rows, size = [], 0
    if rows:
        yield rows


def first_rows(start: bytes, file: str, form: TableForm, *, is_whole: bool) -> list[dict[str, Any]]:
    """Return the objects of the whole lines at the beginning of a file.

    Args:
        start: its first bytes.
        file: its name, for errors.
        form: for errors.
        is_whole: there are no more bytes.

    Raises:
        ConfigurationError: see ``jsonl_batches``.
    """
    lines = start.removeprefix(_BOM).split(b"\n")
    found = (line for line in (lines if is_whole else lines[:-1]) if line.strip())
    return [_object(line, row, file, form) for row, line in enumerate(found, start=1)]


class _TwiceError(ValueError):
    """An object has a name twice; its text is the name."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = Counter(name for name, _ in pairs)
        raise _TwiceError(names.most_common(1)[0][0])
    return found


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_pairs)


def _object(line: bytes, row: int, file: str, form: TableForm) -> dict[str, Any]:
    if len(line) > _LONGEST_LINE:
        problem = f"has more than {_LONGEST_LINE >> 20} MB in row {row:,}. Write one JSON object in each line"
        raise form.problem(file, problem)
    try:
        found = _DECODER.decode(line.decode("utf-8"))
    except _TwiceError as error:
        problem = f"has the name {shown(str(error))} twice in row {row:,}. Leave one of the two"
        raise form.problem(file, problem) from None
    except RecursionError:
        problem = f"has a row {row:,} with too many objects and lists within each other. Write it with fewer levels"
        raise form.problem(file, problem) from None
    except ValueError as error:
        why = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else "is not JSON"
        raise form.problem(file, f"has a row {row:,} that {why}. Write one JSON object in each line") from None
    if not isinstance(found, dict):
        raise form.problem(file, f"has a row {row:,} that is not a JSON object. Write one JSON object in each line")
    return found
