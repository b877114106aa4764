"""The rows of units that are sent again: those of their plan, with the place and the metadata of the upsert.

What does not belong here: which units are sent (``decide.py``), and writing (``writer.py``).
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from registration_pipeline.planning.upserts.schema import UPSERT_UNIT_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.planning.units import ChunkUnits


class ChunkRows:
    """The columns of a chunk's units that planning an upsert needs one by one."""

    def __init__(self, units: ChunkUnits) -> None:
        self.spans = units.spans()
        self.unit_ids: list[str] = units.first_values("unit_id")
        self.keys, self.urls, self.sizes, self.titles, self.media = map(
            units.values, ("key", "object_url", "size", "title", "media_metadata")
        )


class SentUnit(NamedTuple):
    """A unit that is sent.

    Args:
        planned_index: its position in the chunk that it was registered with.
        objects: how many it has.
        unit_index: its position in the chunk of upserts.
        text: its client metadata.
        row: as ``SENT_SCHEMA``.
    """

    planned_index: int
    objects: int
    unit_index: int
    text: str
    row: dict[str, object]


def placed_rows(planned: ChunkUnits, rows: ChunkRows, sent: Sequence[SentUnit], folder_uuid: str) -> pa.Table:
    """Return the rows of units of one chunk as they are sent."""
    places = [place for one in sent for place in range(*rows.spans[one.planned_index])]
    units = [one for one in sent for _ in range(one.objects)]
    texts = [text for one in sent for text in (one.text, *repeat(None, one.objects - 1))]
    table = planned.take(places)
    own: dict[str, Any] = {
        "chunk_id": pa.array([one.row["chunk_id"] for one in units], pa.string()),
        "unit_index": pa.array([one.unit_index for one in units], pa.int32()),
        "client_metadata": pa.array(texts, pa.string()),
        "item_uuid": pa.array([one.row["item_uuid"] for one in units], pa.string()),
        "folder_uuid": pa.repeat(pa.scalar(folder_uuid, pa.string()), len(units)),
    }
    columns = [
        own[column.name]
        if column.name in own
        else table.column(column.name).combine_chunks()
        if column.name in table.column_names
        else pa.nulls(len(units), column.type)
        for column in UPSERT_UNIT_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=UPSERT_UNIT_SCHEMA)
