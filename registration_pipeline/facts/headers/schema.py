"""The set of facts ``headers``: what each row says. How headers are read does not belong here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa

from registration_pipeline.facts.reading.spec import latest_reading
from registration_pipeline.facts.sets import facts_schema
from registration_pipeline.objects import RejectionReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.facts.reader import StoredObject
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.state.store import StateStore

HEADERS: Final = "headers"
"""The name of the set."""

HEADER_SCHEMA: Final[pa.Schema] = facts_schema(
    pa.field("size", pa.int64(), nullable=False),
    pa.field("last_modified", pa.timestamp("us", tz="UTC"), nullable=False),
    pa.field("series", pa.string()),
    pa.field("study", pa.string()),
    pa.field("modality", pa.string()),
    pa.field("problem", pa.string()),
    pa.field("message", pa.string()),
    pa.field("bytes_read", pa.int64(), nullable=False),
)
"""Rows are sorted by ``key``, each key once: objects that are not planned and whose header says which series they are in.

``series`` and ``study`` are the SeriesInstanceUID and StudyInstanceUID, ``modality`` is the Modality where the header has a
valid one. ``problem`` is null, or a ``RejectionReason``: ``invalid_header`` or ``header_unreadable``; then ``message`` says
what to do, and ``series`` is there if the header says it all the same: no unit of that series is whole. Objects whose header
could not be read for a reason that passes have no row: their units wait. Nothing about a patient is ever kept.
"""

INVALID: Final = RejectionReason.INVALID_HEADER
UNREADABLE: Final = RejectionReason.HEADER_UNREADABLE


class Header(NamedTuple):
    """What was read of one object.

    Args:
        series: SeriesInstanceUID; with a problem None unless it is known.
        study: StudyInstanceUID; None with a problem.
        modality: e.g. ``CT``; None where the header has none.
        problem: None, ``INVALID`` or ``UNREADABLE``.
        message: what is wrong and what to do; None without a problem.
        bytes_read: of the object, from the store.
    """

    series: str | None = None
    study: str | None = None
    modality: str | None = None
    problem: RejectionReason | None = None
    message: str | None = None
    bytes_read: int = 0


def header_rows(objects: Sequence[StoredObject], headers: Sequence[Header]) -> pa.RecordBatch:
    """Return rows of ``HEADER_SCHEMA``.

    Args:
        objects: as they were listed.
        headers: what was read of each, in the same order.
    """
    columns = [
        [item.key for item in objects],
        [item.e_tag for item in objects],
        [item.size for item in objects],
        [item.last_modified for item in objects],
        [header.series for header in headers],
        [header.study for header in headers],
        [header.modality for header in headers],
        [None if header.problem is None else header.problem.value for header in headers],
        [header.message for header in headers],
        [header.bytes_read for header in headers],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, HEADER_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=HEADER_SCHEMA)


def latest_headers(store: StateStore, source: str) -> FactSet | None:
    """Return the last committed reading of headers; None: there is none, or it has other columns than ``HEADER_SCHEMA``.

    Raises:
        StateCorruptError: its commit marker is damaged.
    """
    return latest_reading(store, source, HEADERS, HEADER_SCHEMA)
