"""The set of facts ``media``: what each row says. How files are probed does not belong here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa

from registration_pipeline.facts.sets import facts_schema
from registration_pipeline.state.sealed import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registration_pipeline.facts.reader import StoredObject

MEDIA: Final = "media"
"""The name of the set."""

MEDIA_SCHEMA: Final[pa.Schema] = facts_schema(
    pa.field("size", pa.int64(), nullable=False),
    pa.field("last_modified", pa.timestamp("us", tz="UTC"), nullable=False),
    pa.field("media_metadata", pa.string()),
    pa.field("problem", pa.string()),
    pa.field("message", pa.string()),
    pa.field("bytes_read", pa.int64(), nullable=False),
    pa.field("probe", pa.string(), nullable=False),
)
"""Rows are sorted by ``key``, each key once. ``media_metadata`` is canonical JSON with neutral names: images ``mime_type,
file_size, width, height``; videos ``fps, duration, width, height, file_size, mime_type``; audio ``duration, file_size,
mime_type, sample_rate, bit_depth, codec, num_channels``; PDF ``file_size, num_pages``; text ``file_size, mime_type``; DICOM
``tags``. It is null exactly if there is a ``problem``: ``no_media_metadata``, the file can't be understood, or
``media_unreadable``, it can't be read; then ``message`` says why and what to do. ``probe`` is what the object was probed as: a
row of another probe than the object has now does not count. Objects that could not be read for a reason that passes have no
row."""

NO_MEDIA: Final = "no_media_metadata"
UNREADABLE: Final = "media_unreadable"

NO_PROBE: Final = "none"
"""Of objects of a kind that has no media metadata, and of those that could not be read."""

MOST_BLOCK_BYTES: Final = 1 << 20
"""Of one block as JSON. Only DICOM of many hundred frames comes near it; a unit may have 10 MB of metadata in all."""


class Media(NamedTuple):
    """What was found of one object.

    Args:
        block: the media metadata; None with a problem.
        problem: None, ``NO_MEDIA`` or ``UNREADABLE``.
        message: what is wrong and what to do; None without a problem.
        bytes_read: of the object, from the store.
        probe: as what it was probed.
    """

    block: Mapping[str, Any] | None = None
    problem: str | None = None
    message: str | None = None
    bytes_read: int = 0
    probe: str = NO_PROBE


def media_rows(objects: Sequence[StoredObject], found: Sequence[Media]) -> pa.RecordBatch:
    """Return rows of ``MEDIA_SCHEMA``.

    Args:
        objects: as they were listed.
        found: what was found of each, in the same order.
    """
    columns = [
        [item.key for item in objects],
        [item.e_tag for item in objects],
        [item.size for item in objects],
        [item.last_modified for item in objects],
        [None if media.block is None else canonical_json(media.block).decode().strip() for media in found],
        [media.problem for media in found],
        [media.message for media in found],
        [media.bytes_read for media in found],
        [media.probe for media in found],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, MEDIA_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=MEDIA_SCHEMA)
