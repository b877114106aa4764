"""Rows sorted by object become one row for each: two rows for one object are its problem, frames of one are put together.

What does not belong here: making and sorting rows (``rows.py``, ``names.py``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.facts.metadata.value_sets import VALUES_SCHEMA
from registration_pipeline.facts.metadata.values import ValueProblem, problem_message
from registration_pipeline.facts.tables.rows import noted_problems
from registration_pipeline.limits import MAX_CLIENT_METADATA_BYTES
from registration_pipeline.objects import RejectionReason
from registration_pipeline.settings.metadata import ENCORD_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from registration_pipeline.settings.metadata import KeyframeConfig

_BATCH_ROWS: Final = 16_384
_BATCH_BYTES: Final = 8 << 20
_MOST_ROWS: Final = 2
"""Of one object, or one frame of it, that are kept: as many as a message names."""


def keep_two(rows: pa.Table) -> pa.Table:
    """Sort rows of ``ROW_SCHEMA`` by object, frame and place, and leave the first two of each object and frame.

    However many rows one object has, no more than two of them are in memory at the end.
    """
    table = rows.sort_by([("key", "ascending"), ("frame", "ascending")])
    same = _same_as_before(table)
    if not pc.any(same, min_count=0).as_py():
        return table
    table = table.sort_by([(name, "ascending") for name in ("key", "frame", "file", "row")])
    same = _same_as_before(table)
    third = pc.and_(same, _shifted(same))
    return table.filter(pc.invert(third))


def _same_as_before(table: pa.Table) -> pa.BooleanArray:
    """Return which rows have the object and frame of the row before them."""
    columns = [table.column(name).combine_chunks() for name in ("key", "frame")]
    parts = [pc.equal(column.slice(1), column.slice(0, max(len(column) - 1, 0))) for column in columns]
    return _shifted(pc.and_(*parts), length=table.num_rows)


def _shifted(flags: pa.BooleanArray, length: int | None = None) -> pa.BooleanArray:
    """Return flags one row later, the first one false."""
    length = len(flags) if length is None else length
    moved: pa.BooleanArray = pa.concat_arrays([pa.array([False]), flags]).slice(0, length)
    return moved


class Settled:
    """Takes sorted rows and gives rows of ``VALUES_SCHEMA``.

    Args:
        files: the names of the files, by number.
        has_frames: the rows are embeddings of frames.
        config: of key frames.
    """

    def __init__(self, files: Sequence[str], *, has_frames: bool, config: KeyframeConfig | None) -> None:
        self._files, self._has_frames = files, has_frames
        self._config = "" if config is None else f'"config":{_json(config.model_dump(mode="json"))},'
        self.objects = self.duplicates = 0

    def batches(self, tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
        """Yield one row for each object, in the order of their keys.

        Args:
            tables: rows of ``ROW_SCHEMA`` as ``keep_two`` leaves them, sorted over all of them; those of one object and frame
                are in one table.
        """
        found = self._framed(tables) if self._has_frames else map(self._single, tables)
        for batch in found:
            self.objects += batch.num_rows
            yield from _in_pieces(batch)

    def _single(self, table: pa.Table) -> pa.RecordBatch:
        same = _same_as_before(table)
        values = table.column("values").combine_chunks()
        special = pc.or_(same, table.column("trouble").combine_chunks().is_valid())
        messages: dict[int, str] = {}
        for place in pc.indices_nonzero(special).to_pylist():
            if same[place].as_py():
                messages[place - 1] = self._twice(table, place)
                self.duplicates += 1
            else:
                messages[place] = self._wrong(table, place)
        if not messages:
            return _value_rows(table.column("key").combine_chunks(), values, None)
        noted = pa.array([messages.get(place) for place in range(table.num_rows)], pa.string())
        values = pc.if_else(noted.is_valid(), pa.scalar(None, pa.string()), values)
        first = pc.invert(same)
        return _value_rows(
            table.column("key").combine_chunks().filter(first), values.filter(first), noted.filter(first)
        )

    def _framed(self, tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
        keys: list[str] = []
        texts: list[str | None] = []
        messages: list[str | None] = []
        video: _Video | None = None

        def finish(one: _Video) -> None:
            text, message = one.ended(self._config)
            keys.append(one.key)
            texts.append(text)
            messages.append(message)

        for table in tables:
            same = _same_as_before(table).to_pylist()
            columns = [table.column(name).to_pylist() for name in ("key", "frame", "values", "trouble")]
            for place, (key, frame, text, trouble) in enumerate(zip(*columns, strict=True)):
                if video is None or video.key != key:
                    if video is not None:
                        finish(video)
                    video = _Video(key)
                if same[place]:
                    self.duplicates += 1
                    video.fail(self._twice(table, place))
                elif trouble is not None:
                    video.fail(self._wrong(table, place))
                else:
                    video.add(frame, text)
            if sum(len(text or "") for text in texts) >= _BATCH_BYTES or len(keys) >= _BATCH_ROWS:
                yield _made(keys, texts, messages)
                keys, texts, messages = [], [], []
        if video is not None:
            finish(video)
            yield _made(keys, texts, messages)

    def _place(self, table: pa.Table, place: int) -> str:
        row, file = table.column("row")[place].as_py(), table.column("file")[place].as_py()
        return f"row {row:,} of {self._files[file]}"

    def _wrong(self, table: pa.Table, place: int) -> str:
        problems = noted_problems(table.column("trouble")[place].as_py())
        return problem_message(table.column("key")[place].as_py(), self._place(table, place), problems)

    def _twice(self, table: pa.Table, place: int) -> str:
        key, frame = table.column("key")[place].as_py(), table.column("frame")[place].as_py()
        of_frame = f" for frame {frame}" if frame else ""
        return (
            f"{key!r} has two rows{of_frame}: {self._place(table, place - 1)} and {self._place(table, place)}. Leave one of "
            "them, and the next sync reads the table again"
        )


class _Video:
    """The frames of one object, as text; once they are too much, or one of them is wrong, nothing is kept of them."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._frames: list[str] = []
        self._bytes = self._count = 0
        self._message: str | None = None

    def add(self, frame: str, text: str | None) -> None:
        self._count += 1
        if text is None or self._message is not None:
            return
        if self._bytes <= MAX_CLIENT_METADATA_BYTES:
            self._frames.append(f'"{frame}":{text}')
            self._bytes += len(self._frames[-1]) + 1
        else:
            self._frames.clear()

    def fail(self, message: str) -> None:
        self._message = self._message or message
        self._frames.clear()

    def ended(self, config: str) -> tuple[str | None, str | None]:
        """Return the values and the message, one of which is None."""
        if self._message is None and self._bytes > MAX_CLIENT_METADATA_BYTES:
            rule = f"must be at most {MAX_CLIENT_METADATA_BYTES:,} bytes for all frames of an object"
            problem = ValueProblem(f"{ENCORD_KEY}.frames", f"{self._count:,} frames", rule)
            self._message = problem_message(self.key, "all its rows of the table", [problem])
        if self._message is not None:
            return None, self._message
        if not (config or self._frames):
            return None, None
        return f'{{"{ENCORD_KEY}":{{{config}"frames":{{{",".join(self._frames)}}}}}}}', None


def _made(keys: Sequence[str], texts: Sequence[str | None], messages: Sequence[str | None]) -> pa.RecordBatch:
    columns = [pa.array(column, pa.string()) for column in (keys, texts, messages)]
    return _value_rows(*columns)


def _value_rows(keys: pa.Array, values: pa.Array, messages: pa.Array | None) -> pa.RecordBatch:
    count = len(keys)
    nothing = pa.nulls(count, pa.string())
    messages = nothing if messages is None else messages
    reason = pa.scalar(RejectionReason.INVALID_METADATA.value, pa.string())
    columns: dict[str, Any] = {
        "key": keys,
        "values": values,
        "problem": pc.if_else(messages.is_valid(), reason, pa.scalar(None, pa.string())),
        "message": messages,
    }
    arrays = [columns.get(field.name, pa.nulls(count, field.type)) for field in VALUES_SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=VALUES_SCHEMA)


def _in_pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield a batch in pieces of few bytes, which row groups are made of."""
    rows = max(min(_BATCH_ROWS, _BATCH_BYTES * batch.num_rows // max(batch.nbytes, 1)), 1)
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
