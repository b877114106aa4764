"""A row of the failure log, and how rows become files: Parquet, CSV and JSON, as a stream.

What does not belong here: which rows there are (``log.py``).
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from registration_pipeline.tables.csv_cells import CsvWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    Take = Callable[[Sequence["FailureRow"]], object]

BATCH_ROWS = 10_000
"""Rows in memory at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow:
    """A unit that Encord did not register, or an object that was rejected before it became one.

    The fields and their order are those of ``failures --json``.

    Args:
        key: of the object; of a unit, its first one that the bucket still holds.
        object_url: of that object; of a unit, the one that Encord's error is about, where it said so.
        unit_id: None for rejected objects.
        objects: how many objects of the unit the bucket holds; 1 for rejected objects.
        chunk_id: None for rejected objects.
        attempt: number of the attempt that failed, 0 for rejected objects.
        stage: ``plan`` (rejected) or ``registration`` (Encord said no).
    """

    source: str
    key: str
    object_url: str | None
    unit_id: str | None
    objects: int
    chunk_id: str | None
    attempt: int
    stage: str
    reason: str
    message: str | None
    subtask_uuid: str | None
    at: datetime


FAILURE_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("object_url", pa.string()),
        pa.field("unit_id", pa.string()),
        pa.field("objects", pa.int64(), nullable=False),
        pa.field("chunk_id", pa.string()),
        pa.field("attempt", pa.int32(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("message", pa.string()),
        pa.field("subtask_uuid", pa.string()),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
COLUMNS = tuple(field.name for field in fields(FailureRow))
_CELLS_BEFORE_TIME = attrgetter(*COLUMNS[:-1])


@dataclass
class FailureTally:
    """What is shown of a failure log, gathered while its rows pass by on their way elsewhere.

    Args:
        most: rows in the sample, the first ones.
        reasons: rows by reason, a row being a failed unit or a rejected object.
        objects_by_reason: objects of those rows.
    """

    most: int
    reasons: Counter[str] = field(default_factory=Counter)
    objects_by_reason: Counter[str] = field(default_factory=Counter)
    sample: list[FailureRow] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows have passed."""
        return self.reasons.total()

    @property
    def objects(self) -> int:
        """How many objects those rows are about."""
        return self.objects_by_reason.total()

    def watch(self, rows: Iterable[FailureRow]) -> Iterator[FailureRow]:
        """Pass the rows on."""
        for row in rows:
            self.reasons[row.reason] += 1
            self.objects_by_reason[row.reason] += row.objects
            if len(self.sample) < self.most:
                self.sample.append(row)
            yield row


def write_failures(rows: Iterable[FailureRow], paths: Sequence[Path], *, is_ascii: bool = False) -> None:
    """Write the rows to local files, whose suffixes say how: ``.parquet``, ``.csv`` or ``.json``.

    Args:
        rows: read once, and to the end even where there is no file to write.
        paths: each is replaced.
        is_ascii: escape everything else in JSON.

    Raises:
        OSError: a file can't be written.
    """
    remaining = iter(rows)
    forms: dict[str, Callable[[Path], AbstractContextManager[Take]]] = {
        ".parquet": _parquet,
        ".csv": _csv,
        ".json": partial(_json, is_ascii=is_ascii),
    }
    with ExitStack() as stack:
        takers = [stack.enter_context(forms[path.suffix](path)) for path in paths]
        while batch := list(islice(remaining, BATCH_ROWS)):
            for take in takers:
                take(batch)


@contextmanager
def _parquet(path: Path) -> Iterator[Take]:
    with pq.ParquetWriter(path, FAILURE_SCHEMA, compression="zstd") as writer:
        yield lambda rows: writer.write_table(
            pa.table({name: [getattr(row, name) for row in rows] for name in COLUMNS}, schema=FAILURE_SCHEMA)
        )


@contextmanager
def _csv(path: Path) -> Iterator[Take]:
    """UTF-8 with a heading, no cell a formula; times are ISO 8601."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = CsvWriter(file, COLUMNS)
        yield lambda rows: writer.write(map(_csv_row, rows))


def _csv_row(row: FailureRow) -> list[object]:
    return [*_CELLS_BEFORE_TIME(row), row.at.isoformat()]


@contextmanager
def _json(path: Path, *, is_ascii: bool) -> Iterator[Take]:
    """One list, indented as ``json.dumps`` would."""
    before = "["
    with path.open("w", encoding="utf-8", newline="") as file:

        def take(rows: Sequence[FailureRow]) -> None:
            nonlocal before
            for row in rows:
                document = {**asdict(row), "at": row.at.isoformat().replace("+00:00", "Z")}
                text = json.dumps(document, indent=2, ensure_ascii=is_ascii).replace("\n", "\n  ")
                file.write(f"{before}\n  {text}")
                before = ","

        yield take
        file.write("[]\n" if before == "[" else "\n]\n")
