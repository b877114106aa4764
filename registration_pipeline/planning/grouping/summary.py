"""Adds up the members of each unit, by columns: what a verdict and a place need to know of it.

What does not belong here: the verdict (``judge.py``) and the place (``place.py``).
"""

from __future__ import annotations

from itertools import starmap
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.planning.grouping.whole_units import differs_from_last

_SUMMED: Final = (
    ("key", "count"),
    ("reason", "count"),
    ("rule", "min"),
    ("last_modified", "max"),
    ("size", "sum"),
    ("url_bytes", "sum"),
    ("key", "min"),
    ("key", "max"),
    ("frame", "count"),
    ("repeats", "sum"),
    ("frame", "min"),
    ("frame", "max"),
)
"""In the order of the fields of ``UnitSummary``."""


class UnitSummary(NamedTuple):
    """A unit with all its members.

    Args:
        first_row: the place of its first member.
        group_key: what names it.
        first_key: the key of its first member in the unit's order.
        study: of that member's header.
        modality: of that member's header.
        objects: how many members it has.
        bad: how many of them Encord would not take.
        rule: the first of the rules that take its members.
        youngest: when the newest member was written, in microseconds since 1970 UTC.
        size: bytes of all members.
        url_bytes: length of all URLs.
        smallest_key: of all keys.
        largest_key: of all keys.
        frames: how many members have a frame number.
        repeats: how many of those have the number of the member before.
        first_frame: the smallest number.
        last_frame: the largest number.
        unread: how many members wait for their metadata.
    """

    first_row: int
    group_key: str
    first_key: str
    study: str | None
    modality: str | None
    objects: int
    bad: int
    rule: int
    youngest: int
    size: int
    url_bytes: int
    smallest_key: str
    largest_key: str
    frames: int
    repeats: int
    first_frame: int | None
    last_frame: int | None
    unread: int = 0

    @property
    def missing_frames(self) -> int:
        """How many numbers there are between the first and the last frame that no member has."""
        if self.first_frame is None or self.last_frame is None:
            return 0
        return self.last_frame - self.first_frame + 1 - (self.frames - self.repeats)


def summarise(rows: pa.Table) -> tuple[pa.Int64Array, list[UnitSummary]]:
    """Return of every row which unit it belongs to, counted from 0, and the units.

    Args:
        rows: ``MEMBER_SCHEMA``, sorted, of one kind.
    """
    begins = differs_from_last(rows)
    unit_of_row = pc.cumulative_sum(begins.cast(pa.int64()))
    first_rows = pa.concat_arrays([pa.array([0], pa.uint64()), pc.indices_nonzero(begins)])
    table = pa.table(
        {
            "unit": unit_of_row,
            **{name: rows.column(name) for name in ("key", "reason", "rule", "size", "frame")},
            "last_modified": rows.column("last_modified").cast(pa.int64()),
            "url_bytes": pc.binary_length(rows.column("object_url")).cast(pa.int64()),
            "repeats": _repeats(rows.column("frame").combine_chunks(), begins),
        }
    )
    summed = list(_SUMMED)
    if "is_unread" in rows.schema.names:
        table = table.append_column("unread", rows.column("is_unread").cast(pa.int64()))
        summed.append(("unread", "sum"))
    sums = table.group_by("unit", use_threads=False).aggregate(summed)
    firsts = rows.select(["group_key", "key", "study", "modality"]).take(first_rows)
    columns = [first_rows, *firsts.columns, *(sums.column(f"{name}_{how}") for name, how in summed)]
    units = zip(*(column.to_pylist() for column in columns), strict=True)
    return unit_of_row, list(starmap(UnitSummary, units))


def _repeats(frames: pa.Int64Array, begins: pa.BooleanArray) -> pa.Int64Array:
    """Return 1 for every row with the frame number of the row before it in its unit, else 0: equal numbers are neighbours."""
    first = pa.array([0] * min(len(frames), 1), pa.int64())
    same = pc.fill_null(pc.equal(frames.slice(1), frames.slice(0, max(len(frames) - 1, 0))), fill_value=False)
    return pa.concat_arrays([first, pc.and_(same, pc.invert(begins.slice(1))).cast(pa.int64())])
