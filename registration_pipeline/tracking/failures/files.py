"""A row of the failure log, and how rows become files: Parquet, CSV and JSON, as a stream.

What does not belong here: which rows there are (``log.py``).
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from registration_pipeline.objects import RejectionReason
from registration_pipeline.tables.csv_cells import CsvWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    Take = Callable[[Sequence["FailureRow"]], object]

STAGE_PLAN = "plan"
STAGE_REGISTRATION = "registration"
STAGE_UPSERT = "upsert"
STAGE_DATASET = "dataset"

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
        chunk_id: that the unit was planned in, also with the stages ``upsert`` and ``dataset``; None for rejected objects.
        attempt: number of the attempt that failed, 0 for rejected objects.
        stage: ``plan`` (rejected), ``registration`` (Encord said no), ``upsert`` (it is registered, and new metadata of it
            did not get there) or ``dataset`` (it is registered, and not linked).
        trace_id: of the call to Encord that showed the failure, which Encord's support finds it by; None where none is known.
        group_key: what names the unit that a rejected object would be in, for what is shown to people. Not a column.
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
    trace_id: str | None = None
    group_key: str | None = None

    @property
    def cells(self) -> tuple[object, ...]:
        """The values of the columns, in their order."""
        return _CELLS(self)


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
        pa.field("trace_id", pa.string()),
    ]
)
COLUMNS = tuple(FAILURE_SCHEMA.names)
ADDED_COLUMNS = ("trace_id",)
"""The last ones, which files of earlier versions lack."""

_AT = COLUMNS.index("at")
_CELLS: attrgetter[tuple[object, ...]] = attrgetter(*COLUMNS)
FOR_ITS_UNIT = frozenset({RejectionReason.UNIT_INCOMPLETE, RejectionReason.LATE_MEMBER, RejectionReason.UNIT_TOO_LARGE})
"""Reasons that all objects of a unit may have at once."""


@dataclass
class FailureTally:
    """What is shown of a failure log, gathered while its rows pass by on their way elsewhere.

    Args:
        most: rows in the sample, the first ones; of objects that are rejected for their unit, one for each unit.
        reasons: rows by reason, a row being a failed unit or a rejected object.
        objects_by_reason: objects of those rows.
        upsert_units: rows of units that are registered, and whose new metadata did not get to Encord.
        upsert_objects: objects of those.
        unlinked: rows of units that are registered and not linked to a dataset.
        unlinked_objects: objects of those.
    """

    most: int
    reasons: Counter[str] = field(default_factory=Counter)
    objects_by_reason: Counter[str] = field(default_factory=Counter)
    sample: list[FailureRow] = field(default_factory=list)
    upsert_units: int = 0
    upsert_objects: int = 0
    unlinked: int = 0
    unlinked_objects: int = 0
    _others: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    @property
    def shown(self) -> int:
        """How many rows the sample is about."""
        return len(self.sample) + self._others.total()

    def others(self, row: FailureRow) -> int:
        """Return how many objects besides are rejected for the same reason of the same unit as a row of the sample."""
        unit = _unit_of(row)
        return self._others[unit] if unit else 0

    @property
    def rows(self) -> int:
        """How many rows have passed."""
        return self.reasons.total()

    @property
    def objects(self) -> int:
        """How many objects are not registered."""
        return self.objects_by_reason.total() - self.upsert_objects - self.unlinked_objects

    def watch(self, rows: Iterable[FailureRow]) -> Iterator[FailureRow]:
        """Pass the rows on."""
        for row in rows:
            self.reasons[row.reason] += 1
            self.objects_by_reason[row.reason] += row.objects
            if row.stage == STAGE_UPSERT:
                self.upsert_units, self.upsert_objects = self.upsert_units + 1, self.upsert_objects + row.objects
            if row.stage == STAGE_DATASET:
                self.unlinked, self.unlinked_objects = self.unlinked + 1, self.unlinked_objects + row.objects
            self._show(row)
            yield row

    def _show(self, row: FailureRow) -> None:
        unit = _unit_of(row)
        if unit is not None and unit in self._others:
            self._others[unit] += 1
        elif len(self.sample) < self.most:
            self.sample.append(row)
            if unit:
                self._others[unit] = 0


def _unit_of(row: FailureRow) -> tuple[str, str, str] | None:
    """Return what rows have in common that are shown as one: source, reason and unit; None: the row is shown alone."""
    return (row.source, row.reason, row.group_key) if row.group_key is not None and row.reason in FOR_ITS_UNIT else None


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
    return [*row.cells[:_AT], row.at.isoformat(), *row.cells[_AT + 1 :]]


@contextmanager
def _json(path: Path, *, is_ascii: bool) -> Iterator[Take]:
    """One list, indented as ``json.dumps`` would."""
    before = "["
    with path.open("w", encoding="utf-8", newline="") as file:

        def take(rows: Sequence[FailureRow]) -> None:
            nonlocal before
            for row in rows:
                document = {
                    **dict(zip(COLUMNS, row.cells, strict=True)),
                    "at": row.at.isoformat().replace("+00:00", "Z"),
                }
                text = json.dumps(document, indent=2, ensure_ascii=is_ascii).replace("\n", "\n  ")
                file.write(f"{before}\n  {text}")
                before = ","

        yield take
        file.write("[]\n" if before == "[" else "\n]\n")
