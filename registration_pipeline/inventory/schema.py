"""The one Parquet schema of an inventory, whatever store or report it came from.

What does not belong here: how a store is listed (``lister.py`` and its implementations) and how inventories are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

BATCH_ROWS = 65_536
"""The most rows a batch holds: with 1 KB keys about 64 MB, so that what streams stays small."""

INVENTORY_SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("last_modified", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("e_tag", pa.string()),
        pa.field("storage_class", pa.string()),
        pa.field("content_type", pa.string()),
        pa.field("version", pa.string()),
    ]
)
"""Rows are sorted by ``key`` in UTF-8 byte order, which for valid text is code point order, and no key comes twice.

``e_tag`` is what changes when the content does, in the store's own form without quotes: S3's and Azure's ETag; Google's
``md5Hash``, which is base64, and for composite objects, which have none, ``crc32c:`` and its base64. ``storage_class`` is
Azure's access tier there; ``version`` is Google's generation or a version id, where the listing gives one.
"""

NAME_NOT_UTF8 = "NAME_NOT_UTF8"
r"""The ``storage_class`` of a file whose name is not UTF-8. Its key shows such bytes as ``\xNN``: no file has that name."""

DISTINCT_COLUMNS = ("key", "size", "last_modified", "e_tag", "version")
"""Columns whose values hardly repeat, which Parquet's dictionaries only make slower."""


def inventory_batch(
    *,
    keys: Sequence[str],
    sizes: Sequence[int],
    last_modified: Sequence[datetime] | Sequence[int],
    e_tags: Sequence[str | None] | None = None,
    storage_classes: Sequence[str | None] | None = None,
    content_types: Sequence[str | None] | None = None,
    versions: Sequence[str | None] | None = None,
) -> pa.RecordBatch:
    """Build a batch from columns of equal length; an optional column that is not given is null throughout.

    Args:
        keys: whole keys.
        sizes: bytes.
        last_modified: aware datetimes, or microseconds since 1970 UTC.
        e_tags: without quotes.
        storage_classes: the store's words.
        content_types: where the listing gives them.
        versions: version ids or generations, where the listing gives them.
    """
    nothing = [None] * len(keys)
    optional = [column or nothing for column in (e_tags, storage_classes, content_types, versions)]
    columns = [keys, sizes, last_modified, *optional]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, INVENTORY_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=INVENTORY_SCHEMA)
