"""Verifies reports, which nothing reads: both forms of each, Parquet and CSV, have to say the same.

What does not belong here: what a report is about.
"""

from __future__ import annotations

import csv
from datetime import datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from registration_pipeline.errors import StateNotFoundError
from registration_pipeline.tracking.failures.files import ADDED_COLUMNS
from registration_pipeline.verification.report import Damage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from registration_pipeline.state.store import StateStore

_BATCH_ROWS = 10_000
_NEUTRALISED = "'"
"""What a cell may begin with that a spreadsheet would take for a formula."""


def pair_damage(
    store: StateStore, parquet: str, text: str, content: tuple[Sequence[str], Sequence[Iterable[object]]] | None = None
) -> Damage | None:
    """Compare the two forms of a report.

    Args:
        store: the state.
        parquet: the name of the one.
        text: the name of the other, CSV.
        content: the columns and rows that both should hold; None: what the first holds.
    """
    try:
        with store.local_file(parquet) as path:
            columns, rows = content or (_columns(path), None)
            if rows is not None and _columns(path) == list(columns)[: -len(ADDED_COLUMNS)]:
                columns, rows = _without_added(columns), [_without_added(list(row)) for row in rows]
            if rows is not None and not (_columns(path) == list(columns) and _agree(_texts(rows), _parquet_rows(path))):
                return Damage(parquet, "does not hold the rows that it was written with")
            with store.local_file(text) as beside:
                expected = _parquet_rows(path) if rows is None else _texts(rows)
                if _agree(expected, _csv_rows(beside, list(columns))):
                    return None
    except (pa.ArrowException, OSError) as error:
        return Damage(parquet, f"can't be read: {str(error).strip()}")
    except (csv.Error, UnicodeDecodeError) as error:
        return Damage(text, f"can't be read: {error}")
    except StateNotFoundError:
        lost = text if store.exists(parquet) else parquet
        return Damage(lost, "is missing, though the other form of the same report is there")
    both = "and the Parquet file beside it do not say the same: one of them is damaged"
    return Damage(text, both if content is None else "does not hold the rows that it was written with")


def _without_added(cells: Sequence[object]) -> list[Any]:
    """Return what an earlier version would have written."""
    return list(cells[: -len(ADDED_COLUMNS)])


def _agree(expected: Iterable[list[str]], found: Iterable[list[str]]) -> bool:
    return all(
        want is not None and have is not None and len(want) == len(have) and all(map(_same, want, have))
        for want, have in zip_longest(expected, found)
    )


def _same(want: str, have: str) -> bool:
    return have in {want, _NEUTRALISED + want}


def _columns(path: Path) -> list[str]:
    return list(pq.read_schema(path).names)


def _parquet_rows(path: Path) -> Iterator[list[str]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
            columns = [column.to_pylist() for column in batch.columns]
            yield from _texts(zip(*columns, strict=True))


def _texts(rows: Iterable[Iterable[object]]) -> Iterator[list[str]]:
    return ([_text(value) for value in row] for row in rows)


def _text(value: object) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _csv_rows(path: Path, columns: list[str]) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, strict=True)
        if next(rows, None) != columns:
            raise csv.Error("its heading is another one")
        yield from rows
