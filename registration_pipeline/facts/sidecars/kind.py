"""Sidecars as a kind of reading: what one is read as, and what a row says of the object that it belongs to.

What does not belong here: finding sidecars (``search.py``), JSON (``strict_json.py``) and reading many (``facts/reading``).

Encord's own synced folders take the same form: the object ``<key>.metadata.json`` holds the client metadata of ``<key>``, one
JSON object.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from registration_pipeline.facts.metadata.read_values import (
    INVALID,
    UNREADABLE,
    ReadValues,
    checked_values,
    unreadable,
    waiting,
)
from registration_pipeline.facts.metadata.value_sets import VALUES_SCHEMA, entry_set_name
from registration_pipeline.facts.reading.spec import WAITING, FactKind
from registration_pipeline.facts.sidecars.strict_json import NotStrictJSONError, json_object
from registration_pipeline.limits import MAX_CLIENT_METADATA_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.facts.reader import ObjectReader, StoredObject
    from registration_pipeline.settings.metadata import MetadataEntry

SIDECAR_VALUES_SCHEMA: Final[pa.Schema] = pa.schema(
    [
        *VALUES_SCHEMA,
        pa.field("sidecar_e_tag", pa.string()),
        pa.field("sidecar_size", pa.int64(), nullable=False),
        pa.field("sidecar_last_modified", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
"""``key`` is that of the object; the values belong to no version of it, so its ETag, size and time are null. What comes last
says as which version the sidecar was read. ``problem`` may also be ``waiting``: the sidecar could not be read for a reason
that passes, and the object is held until it can."""

MOST_BYTES: Final = MAX_CLIENT_METADATA_BYTES
"""Of a sidecar: what Encord accepts as the metadata of one unit."""

_PIECE_BYTES: Final = 1 << 20
"""That are asked for at once: nearly every sidecar is one piece, and a long one has the time of its pieces."""

_RANGE_BYTES: Final = 64 << 20
"""Of the sidecars that are read together, and so are in memory at once."""

_LARGE_BYTES: Final = 256 << 10
"""From here on a sidecar waits for its turn: parsed, it may take thirty times its bytes."""

_ONE_LARGE_AT_A_TIME: Final = threading.Lock()


def sidecar_kind(entry: MetadataEntry) -> FactKind[ReadValues]:
    """Return the kind of reading that an entry ``sidecar: <suffix>`` is.

    Its candidates are rows of ``SIDECAR_SCHEMA``.

    Args:
        entry: with ``sidecar``.
    """
    suffix, name = entry.sidecar, entry_set_name(entry)
    assert suffix is not None
    assert name is not None

    def target(item: StoredObject) -> StoredObject:
        return replace(item, key=item.key + suffix)

    def read(reader: ObjectReader, sidecar: StoredObject) -> ReadValues:
        return sidecar_values(reader, sidecar, sidecar.key.removesuffix(suffix), entry.prefix)

    return FactKind(
        name=name,
        what="sidecars",
        schema=SIDECAR_VALUES_SCHEMA,
        read=read,
        unreadable=unreadable,
        waiting=waiting,
        rows=_rows,
        retried=frozenset({UNREADABLE, WAITING}),
        target=target,
        version=("sidecar_e_tag", "sidecar_size", "sidecar_last_modified"),
        range_bytes=_RANGE_BYTES,
    )


def sidecar_values(reader: ObjectReader, sidecar: StoredObject, key: str, prefix: str) -> ReadValues:
    """Return the values in a sidecar, or what is wrong with it.

    Args:
        reader: of the source's objects.
        sidecar: as it was listed.
        key: of the object that it belongs to.
        prefix: of the entry.

    Raises:
        ObjectReadError, HaltError: what the reader raises.
    """
    if sidecar.size > MOST_BYTES:
        size = f"has {sidecar.size:,} bytes, and Encord accepts {MOST_BYTES:,} of metadata for one unit"
        return _invalid(sidecar, key, size, 0)
    content = _content(reader, sidecar)
    if len(content) <= _LARGE_BYTES:
        return _parsed(content, sidecar, key, prefix)
    with _ONE_LARGE_AT_A_TIME:
        return _parsed(content, sidecar, key, prefix)


def _content(reader: ObjectReader, sidecar: StoredObject) -> bytes:
    starts = range(0, sidecar.size, _PIECE_BYTES)
    return b"".join(reader.read(sidecar, start, min(_PIECE_BYTES, sidecar.size - start)) for start in starts)


def _parsed(content: bytes, sidecar: StoredObject, key: str, prefix: str) -> ReadValues:
    try:
        values = json_object(content)
    except NotStrictJSONError as error:
        return _invalid(sidecar, key, str(error), len(content))
    return checked_values(values, prefix, key=key, place=f"sidecar {sidecar.key!r}", bytes_read=len(content))


def _invalid(sidecar: StoredObject, key: str, what: str, bytes_read: int) -> ReadValues:
    where = f"{key!r} has metadata that can't be sent: its sidecar {sidecar.key!r}"
    message = f"{where} {what}. Correct it; the next sync reads it again"
    return ReadValues(problem=INVALID, message=message, bytes_read=bytes_read)


def _rows(objects: Sequence[StoredObject], found: Sequence[ReadValues]) -> pa.RecordBatch:
    nothing = [None] * len(objects)
    columns = [
        [item.key for item in objects],
        nothing,
        nothing,
        nothing,
        [one.values for one in found],
        [one.problem for one in found],
        [one.message for one in found],
        [item.e_tag for item in objects],
        [item.size for item in objects],
        [item.last_modified for item in objects],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SIDECAR_VALUES_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SIDECAR_VALUES_SCHEMA)
