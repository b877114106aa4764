"""Which failures were in the last message, as digests, and which of today's are not among them.

What does not belong here: what follows from that (``rules.py``) and where it is recorded (``records.py``).

A failure is the same one while the stage, the unit (or the rejected object) and the reason are the same. Its message and its
attempt may differ from night to night. Everything streams: digests are sorted on disk, and both sides are read forward.
"""

from __future__ import annotations

import tempfile
from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh3_128_digest

from registration_pipeline.state.layout import alerts_folder
from registration_pipeline.state.markers import FileSet
from registration_pipeline.state.parquet import ParquetPartWriter, Part, read_parts
from registration_pipeline.state.temporary import temporary_space
from registration_pipeline.tables.external_sort import ExternalSort
from registration_pipeline.tables.sorted_lookup import SortedLookup
from registration_pipeline.tables.sorted_merge import SortedMerge
from registration_pipeline.tracking.failures.files import STAGE_PLAN

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.failures.files import FailureRow

FIRST_OBJECTS: Final = 3
"""Rows that a message shows, if it has no more reasons than that."""

MOST_EXAMPLES: Final = 6
"""Rows that a message with many reasons shows: one of each reason, as far as they go."""

_BATCH_ROWS: Final = 10_000
_SORT_BYTES: Final = 32 << 20
_MODULUS: Final = 1 << 128
_KNOWN_SCHEMA: Final = pa.schema([pa.field("digest", pa.binary(), nullable=False)])
_SORTED_SCHEMA: Final = pa.schema(
    [
        pa.field("digest", pa.binary(), nullable=False),
        pa.field("place", pa.int64(), nullable=False),
        pa.field("objects", pa.int64(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Many failures as two numbers, whatever their order: how many, and the sum of their digests."""

    rows: int = 0
    total: int = 0

    @classmethod
    def of(cls, rows: Iterable[FailureRow]) -> Self:
        """Return the fingerprint of rows."""
        count = total = 0
        for row in rows:
            count += 1
            total += int.from_bytes(digest_of(row), "big")
        return cls(count, total % _MODULUS)


@dataclass(frozen=True, slots=True)
class KnownFailures:
    """The failures of a message, as the state keeps them.

    Args:
        fingerprint: of all of them.
        parts: the sorted digests.
        objects: of the failures; None: an earlier version recorded them, without it.
    """

    fingerprint: Fingerprint
    parts: tuple[Part, ...] = ()
    objects: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the form that it has in a record."""
        return {
            "rows": self.fingerprint.rows,
            "objects": self.objects,
            "digest": f"{self.fingerprint.total:032x}",
            "parts": [part.to_json() for part in self.parts],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read the form that it has in a record."""
        fingerprint = Fingerprint(int(value["rows"]), int(value["digest"], 16))
        return cls(fingerprint, tuple(map(Part.from_json, value["parts"])), value.get("objects"))


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a comparison found.

    Args:
        rows: failures of today.
        objects: of those.
        new_rows: those that were not in the last message.
        new_objects: objects of those, by stage and reason.
        first: the first of them, of each reason at least one as far as they go; what Encord refused before rejections.
        known: all of today, to be recorded with the message; None: nothing is new.
    """

    rows: int = 0
    objects: int = 0
    new_rows: int = 0
    new_objects: Mapping[tuple[str, str], int] = field(default_factory=dict)
    first: tuple[FailureRow, ...] = ()
    known: KnownFailures | None = None


def digest_of(row: FailureRow) -> bytes:
    """Return what identifies a failure from night to night: 16 bytes."""
    identity = "\0".join((row.stage, row.reason, row.unit_id or "", "" if row.unit_id else row.key))
    return xxh3_128_digest(identity.encode("utf-8", "surrogatepass"))


def not_accepted(rows: Iterable[FailureRow], accepted: Collection[str], plan_stage: str) -> Iterator[FailureRow]:
    """Leave out the objects that were rejected for a reason that the source's ``accept_rejected`` names."""
    return (row for row in rows if row.stage != plan_stage or row.reason not in accepted)


def compare(
    store: StateStore, source: str, known: KnownFailures | None, failures: Callable[[], Iterable[FailureRow]]
) -> News:
    """Compare today's failures with those of the last message; reads them up to three times.

    Args:
        store: the state, which gets today's digests if any failure is new.
        source: its name.
        known: of the last message; None: nothing was known.
        failures: gives the rows, in the same order each time.

    Raises:
        StateError: the state can't be read or written, or there is no room in the temporary folder.
    """
    fingerprint = Fingerprint.of(failures())
    if not fingerprint.rows or (known is not None and known.fingerprint == fingerprint):
        return News(rows=fingerprint.rows)
    with tempfile.TemporaryDirectory(prefix="registration-", ignore_cleanup_errors=True) as folder:
        return _Comparison(store, source, known, fingerprint, Path(folder)).run(failures)


class _Comparison:
    """One comparison of which it is known that the two sides are not the same."""

    def __init__(
        self, store: StateStore, source: str, known: KnownFailures | None, fingerprint: Fingerprint, folder: Path
    ) -> None:
        self._store, self._source, self._fingerprint, self._folder = store, source, fingerprint, folder
        batches = read_parts(store, known.parts) if known is not None else iter(())
        self._known = SortedLookup(SortedMerge([batches], _KNOWN_SCHEMA, ("digest",)), ("digest",))
        self._objects = 0
        self._new: Counter[tuple[str, str]] = Counter()
        self._new_rows = 0
        self._first: dict[tuple[str, str], list[int]] = {}

    def run(self, failures: Callable[[], Iterable[FailureRow]]) -> News:
        with temporary_space("The comparison of failures", self._folder):
            ordered = ExternalSort(self._folder, _SORTED_SCHEMA, by=("digest",), run_bytes=_SORT_BYTES)
            for batch in _batches(failures()):
                ordered.add(batch)
            files = FileSet(self._store, alerts_folder(self._source))
            with ParquetPartWriter(files, _KNOWN_SCHEMA, stem="known", distinct=("digest",)) as writer:
                for table in ordered.tables():
                    for batch in table.combine_chunks().to_batches():
                        self._take(batch)
                        writer.write(batch.select(["digest"]))
                parts = writer.finish() if self._new_rows else ()
        known = KnownFailures(self._fingerprint, parts, self._objects) if self._new_rows else None
        return News(
            rows=self._fingerprint.rows,
            objects=self._objects,
            new_rows=self._new_rows,
            new_objects=dict(self._new),
            first=_rows_in_order(failures(), _examples(self._first)),
            known=known,
        )

    def _take(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        self._objects += pc.sum(batch.column("objects")).as_py()
        digests = batch.column("digest")
        before = self._known.rows_of(digests).column("digest")
        new = batch.filter(pc.invert(pc.is_in(digests, value_set=before)))
        self._new_rows += new.num_rows
        columns = (new.column(name).to_pylist() for name in ("stage", "reason", "objects", "place"))
        for stage, reason, objects, place in zip(*columns, strict=True):
            self._new[stage, reason] += objects
            first = self._first.setdefault((stage, reason), [])
            insort(first, place)
            del first[FIRST_OBJECTS:]


def _examples(first: Mapping[tuple[str, str], Sequence[int]]) -> list[int]:
    """Return the places to show, in the order in which they are shown.

    Each reason gives one before any gives another. What Encord refused comes before what was never sent to it.
    """
    reasons = sorted(first, key=lambda reason: (reason[0] == STAGE_PLAN, first[reason][0]))
    most = max(FIRST_OBJECTS, min(len(reasons), MOST_EXAMPLES))
    turns = [(turn, rank) for rank, reason in enumerate(reasons) for turn in range(len(first[reason]))]
    shown = sorted(turns)[:most]
    return [first[reasons[rank]][turn] for turn, rank in sorted(shown, key=lambda one: (one[1], one[0]))]


def _batches(rows: Iterable[FailureRow]) -> Iterator[pa.RecordBatch]:
    numbered = enumerate(rows)
    while batch := list(islice(numbered, _BATCH_ROWS)):
        columns = (
            [digest_of(row) for _, row in batch],
            [place for place, _ in batch],
            [row.objects for _, row in batch],
            [row.stage for _, row in batch],
            [row.reason for _, row in batch],
        )
        arrays = [pa.array(column, name.type) for column, name in zip(columns, _SORTED_SCHEMA, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=_SORTED_SCHEMA)


def _rows_in_order(rows: Iterable[FailureRow], places: Sequence[int]) -> tuple[FailureRow, ...]:
    """Return the rows at some places, in the order of these."""
    in_file = sorted(places)
    found = dict(zip(in_file, _rows_at(rows, in_file), strict=True))
    return tuple(found[place] for place in places)


def _rows_at(rows: Iterable[FailureRow], places: list[int]) -> tuple[FailureRow, ...]:
    """Return the rows at some places, which are sorted, reading no further than the last."""
    remaining = iter(rows)
    passed = [0, *(place + 1 for place in places)]
    skipped = (place - begin for place, begin in zip(places, passed, strict=False))
    return tuple(chain.from_iterable(islice(remaining, skip, skip + 1) for skip in skipped))
