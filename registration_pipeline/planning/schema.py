"""The Parquet schemas of a plan and its census. Only schemas belong here."""

from __future__ import annotations

import pyarrow as pa


def _required(name: str, of: pa.DataType) -> pa.Field:
    return pa.field(name, of, nullable=False)


_TIME = pa.timestamp("us", tz="UTC")

PLAN_SCHEMA: pa.Schema = pa.schema(
    [
        _required("key", pa.string()),
        _required("chunk_id", pa.string()),
        _required("kind", pa.string()),
        _required("unit_index", pa.int32()),
        _required("position", pa.int32()),
        _required("unit_id", pa.string()),
        _required("title", pa.string()),
        _required("object_url", pa.string()),
        _required("size", pa.int64()),
        _required("last_modified", _TIME),
        pa.field("e_tag", pa.string()),
        pa.field("version", pa.string()),
        pa.field("group_key", pa.string()),
        pa.field("client_metadata", pa.string()),
        pa.field("media_metadata", pa.string()),
    ]
)
"""One row per planned object, sorted by key. ``unit_index``: position of the unit in its chunk; ``position``: of the
object in its unit; both from 0. ``group_key`` is what names a unit of several objects; null for single ones. The metadata is
canonical JSON, on the row of position 0; null: there is none.

A wave's unit files hold the rows of chunks that are found by place once more, in the order of chunk, unit and position."""

CHUNK_SCHEMA: pa.Schema = pa.schema(
    [
        _required("chunk_id", pa.string()),
        _required("kind", pa.string()),
        _required("units", pa.int64()),
        _required("objects", pa.int64()),
        _required("bytes", pa.int64()),
        _required("first_key", pa.string()),
        _required("last_key", pa.string()),
        pa.field("first_row", pa.int64()),
    ]
)
"""One row per chunk, in the order in which their first keys come. ``first_row``: where its rows begin in the unit files of its
wave, counted over all of them from 0; null: they are found between its keys in the plan."""

GROUP_SCHEMA: pa.Schema = pa.schema(
    [
        _required("group_key", pa.string()),
        _required("chunk_id", pa.string()),
        _required("unit_index", pa.int32()),
        _required("unit_id", pa.string()),
        _required("objects", pa.int64()),
    ]
)
"""One row per unit of several objects, sorted by ``group_key``: how a later member finds that its unit is planned already."""

REJECTED_SCHEMA: pa.Schema = pa.schema(
    [
        _required("key", pa.string()),
        _required("size", pa.int64()),
        _required("last_modified", _TIME),
        _required("reason", pa.string()),
        _required("message", pa.string()),
        _required("object_url", pa.string()),
        pa.field("group_key", pa.string()),
    ]
)
"""One row per object of the inventory that Encord would not take, sorted by key."""

LEDGER_SCHEMA: pa.Schema = pa.schema(
    [PLAN_SCHEMA.field(name) for name in ("key", "chunk_id", "size", "last_modified", "e_tag")]
)
"""One row per planned object: its chunk, and what shows whether it is still the object that was planned."""

KNOWN_SCHEMA: pa.Schema = pa.schema([_required("key", pa.string()), _required("chunk_id", pa.string())])
"""One row per planned object that is gone, sorted by key."""

CHANGED_SCHEMA: pa.Schema = KNOWN_SCHEMA.append(_required("last_modified", _TIME))
"""One row per planned object that is another one now, sorted by key; ``last_modified`` is that of the newer one."""
