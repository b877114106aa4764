"""Rows of files as rows that can be sorted: which object, which frame, from which row of which file, and the values as JSON.

What does not belong here: reading files (``columnar.py``, ``jsonl.py``) and what becomes of rows of one object
(``settled.py``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pyarrow as pa

from registration_pipeline.facts.metadata.values import (
    ValueProblem,
    canonical,
    prefixed,
    shown,
    value_problems,
    without_nulls,
)
from registration_pipeline.facts.tables.texts import column_texts
from registration_pipeline.settings.metadata import ENCORD_KEY, FRAME_COLUMN, KeyframeMode, field_name_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from registration_pipeline.facts.tables.columns import Columns, TableForm

ROW_SCHEMA: Final[pa.Schema] = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("frame", pa.string(), nullable=False),
        pa.field("file", pa.int32(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("values", pa.string()),
        pa.field("trouble", pa.string()),
    ]
)
"""``key`` names the object, ``frame`` is empty but in tables of key frames, ``file`` and ``row`` are the place. ``values`` is
canonical JSON; null: all values of the row are null. ``trouble`` holds ``ValueProblem`` as JSON; then ``values`` is null."""

_MOST_LISTED: Final = 101
"""Problems of a row that are kept: one more than a message lists."""


class RowWriter:
    """Makes rows of what the files hold.

    Args:
        form: of the table.
        resolve: gives the key of an object, or the name that it is found by, for what the key column holds; None: no object.
    """

    def __init__(self, form: TableForm, resolve: Callable[[str], str | None]) -> None:
        self._form, self._resolve = form, resolve
        self._prefix = form.entry.prefix
        config = form.entry.config
        self._may_be_broken = config is not None and config.keyframe_mode is KeyframeMode.SECONDS
        self.rows = self.without_object = 0

    def of_columns(self, file: int, first: int, columns: Columns, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of a batch of columns.

        Args:
            file: the number of the file.
            first: the number of the first row, from 1.
            columns: of the file.
            batch: with them.
        """
        frame: Any = pl.from_arrow(batch)
        troubles: dict[int, list[ValueProblem]] = {}
        frames = self._frames(frame[FRAME_COLUMN].to_list(), troubles) if columns.has_frames else [""] * frame.height
        texts = self._texts(frame, columns, frames, troubles)
        keys = self._keys(frame[columns.key].cast(pl.String).to_list())
        return self._batch(file, first, keys=keys, frames=frames, texts=texts, troubles=troubles)

    def of_objects(self, file: int, first: int, rows: Sequence[dict[str, Any]], seen: set[str]) -> pa.RecordBatch:
        """Return the rows of lines of JSON.

        Args:
            file: the number of the file.
            first: the number of the first row, from 1.
            rows: the objects.
            seen: takes the names that any of them has.
        """
        entry, has_frames = self._form.entry, self._form.has_frames
        assert entry.key is not None
        texts: list[str | None] = []
        troubles: dict[int, list[ValueProblem]] = {}
        frames = self._frames([row.get(FRAME_COLUMN) for row in rows], troubles) if has_frames else [""] * len(rows)
        for place, row in enumerate(rows):
            seen.update(row)
            names = entry.columns or row
            kept = {
                name: row[name]
                for name in names
                if name in row and name != entry.key and not (has_frames and name == FRAME_COLUMN)
            }
            texts.append(self._judged(place, kept, frames[place], troubles))
        keys = self._keys([row.get(entry.key) for row in rows])
        return self._batch(file, first, keys=keys, frames=frames, texts=texts, troubles=troubles)

    def _texts(
        self,
        frame: pl.DataFrame,
        columns: Columns,
        frames: Sequence[str],
        troubles: dict[int, list[ValueProblem]],
    ) -> list[str | None]:
        """Return the values of each row as canonical JSON; rows that may be wrong are judged one by one."""
        count = frame.height
        named = sorted((self._prefix + name, name) for name in columns.values)
        made = {name: column_texts(frame[name], self._csv_kind(frame[name], name)) for _, name in named}
        odd = pl.repeat(value=False, n=count, dtype=pl.Boolean, eager=True)
        pieces: list[pl.Expr] = []
        for full, name in named:
            one = made[name]
            odd = odd | (one.odd if field_name_problem(full) is None else frame[name].is_not_null())
            pieces.append(pl.lit(json.dumps(full) + ":") + pl.lit(one.json))
        texts: list[str | None] = [None] * count
        if pieces:
            joined = pl.select(pl.concat_str(pieces, separator=",", ignore_nulls=True)).to_series()
            texts = [f"{{{text}}}" if text else None for text in joined]
        for row in odd.arg_true():
            values = {name: made[name].value(row) for name in columns.values}
            texts[row] = self._judged(row, values, frames[row], troubles)
        return texts

    def _csv_kind(self, column: pl.Series, name: str) -> Any:
        return self._form.kind(name) if self._form.is_csv and column.dtype == pl.String else None

    def _judged(
        self, place: int, values: dict[str, Any], frame: str, troubles: dict[int, list[ValueProblem]]
    ) -> str | None:
        known = prefixed(without_nulls(values), self._prefix)
        checked = {ENCORD_KEY: {"frames": {frame or "0": known}}} if self._form.has_frames else known
        if problems := value_problems(checked):
            troubles.setdefault(place, []).extend(problems)
            return None
        return canonical(known)

    def _keys(self, written: Iterable[Any]) -> list[str | None]:
        return [self._resolve(text) if isinstance(text, str) and text else None for text in written]

    def _frames(self, written: Sequence[Any], troubles: dict[int, list[ValueProblem]]) -> list[str]:
        """Return the frame of each row as text, noting those that are none."""
        frames = []
        for row, number in enumerate(written):
            text = self._frame(number)
            if text is None:
                rule = "must be the number of a frame: " + ("0 or more" if self._may_be_broken else "whole, 0 or more")
                troubles[row] = [ValueProblem(FRAME_COLUMN, shown(number), rule)]
            frames.append(text or "")
        return frames

    def _frame(self, number: Any) -> str | None:
        if isinstance(number, bool | str) or number is None or not 0 <= number < 10**15:
            return None
        whole = int(number)
        if whole == number:
            return str(whole)
        text = repr(float(number))
        return text if self._may_be_broken and "e" not in text else None

    def _batch(
        self,
        file: int,
        first: int,
        *,
        keys: list[str | None],
        frames: list[str],
        texts: list[str | None],
        troubles: dict[int, list[ValueProblem]],
    ) -> pa.RecordBatch:
        count = len(keys)
        self.rows += count
        for row in troubles:
            texts[row] = None
        noted = [_noted(troubles.get(row)) for row in range(count)] if troubles else [None] * count
        rows = list(range(first, first + count))
        columns: list[Any] = [keys, frames, [file] * count, rows, texts, noted]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, ROW_SCHEMA, strict=True)]
        batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema([one.with_nullable(True) for one in ROW_SCHEMA]))
        lost = arrays[0].null_count
        self.without_object += lost
        found = batch.filter(arrays[0].is_valid()) if lost else batch
        return pa.RecordBatch.from_arrays(found.columns, schema=ROW_SCHEMA)


def _noted(problems: Sequence[ValueProblem] | None) -> str | None:
    return None if not problems else json.dumps([list(problem) for problem in problems[:_MOST_LISTED]])


def noted_problems(text: str) -> list[ValueProblem]:
    """Return the problems that a row's ``trouble`` holds."""
    return [ValueProblem(*problem) for problem in json.loads(text)]
