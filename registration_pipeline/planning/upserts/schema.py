"""The Parquet schemas of upserts. Only schemas belong here."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from registration_pipeline.planning.schema import PLAN_SCHEMA

DONE: Final = "done"
"""The state of what was sent to a unit when its item shows it; any other state is the reason of a failure."""


def _required(name: str, of: pa.DataType) -> pa.Field:
    return pa.field(name, of, nullable=False)


_TIME = pa.timestamp("us", tz="UTC")

UPSERT_UNIT_SCHEMA: Final[pa.Schema] = pa.schema(
    [
        *(field.with_nullable(True) for field in PLAN_SCHEMA),
        _required("item_uuid", pa.string()),
        _required("folder_uuid", pa.string()),
    ]
)
"""One row per object of the units that a wave of upserts sends, chunk after chunk: the rows of their plan with the metadata as
it is sent, the item that they are registered as, and its folder."""

SENT_SCHEMA: Final[pa.Schema] = pa.schema(
    [
        _required("key", pa.string()),
        _required("wave", pa.int32()),
        _required("chunk_id", pa.string()),
        _required("unit_id", pa.string()),
        _required("item_uuid", pa.string()),
        _required("attempt", pa.int32()),
        _required("metadata", pa.string()),
        _required("tries", pa.int32()),
        _required("at", _TIME),
    ]
)
"""One row per unit that a wave of upserts sends, sorted by ``key``, that of its first object. ``wave``: number of the wave in
its lineage; ``chunk_id``: of the upsert; ``attempt``: the newest one of the chunk that the unit was registered with;
``metadata``: canonical JSON without the keys that the pipeline adds; ``tries``: how often it has been sent, with this time."""

STATE_SCHEMA: Final[pa.Schema] = SENT_SCHEMA.append(_required("state", pa.string()))
"""The same with what became of it: ``DONE``, or the reason of its failure."""

COMPACT_SCHEMA: Final[pa.Schema] = pa.schema(
    [STATE_SCHEMA.field("key"), pa.field("e_tag", pa.string()), *list(STATE_SCHEMA)[1:]]
)
"""``STATE_SCHEMA`` as a set of facts: what was done last of each unit, and what failed after it. A key comes twice at most."""

CANDIDATE_SCHEMA: Final[pa.Schema] = pa.schema(
    [
        _required("kind", pa.string()),
        _required("chunk_id", pa.string()),
        _required("unit_index", pa.int32()),
        _required("position", pa.int32()),
        _required("key", pa.string()),
        pa.field("metadata", pa.string()),
        pa.field("is_known", pa.bool_()),
        pa.field("problem", pa.string()),
        pa.field("message", pa.string()),
        pa.field("planned", pa.string()),
        pa.field("done_item", pa.string()),
        pa.field("done_attempt", pa.int32()),
        pa.field("done_metadata", pa.string()),
        pa.field("failed_chunk", pa.string()),
        pa.field("failed_item", pa.string()),
        pa.field("failed_attempt", pa.int32()),
        pa.field("failed_metadata", pa.string()),
        pa.field("failed_state", pa.string()),
        pa.field("failed_tries", pa.int32()),
        pa.field("failed_at", _TIME),
    ]
)
"""One row per unit that may have to be sent, or per object of a unit of several: where it was planned, its metadata now and as
it was planned, and on the row of position 0 what was done last and what failed after it. ``is_known``: nothing of it is
invalid, unreadable or waits to be read; false: ``problem`` and ``message`` say what is invalid or unreadable."""

KEPT_SCHEMA: Final[pa.Schema] = pa.schema(
    [
        _required("key", pa.string()),
        _required("chunk_id", pa.string()),
        pa.field("unit_id", pa.string()),
        pa.field("objects", pa.int64()),
        pa.field("attempt", pa.int32()),
        pa.field("reason", pa.string()),
        pa.field("message", pa.string()),
    ]
)
"""One row per unit that failed and that a wave does not send: its first object and a chunk. Without ``reason``, its last
upsert failed, and the chunk is the one of upserts. With it, its metadata is invalid or can't be read, and the chunk and the
attempt are those that it was registered with. Files of earlier versions have only the first two columns."""
