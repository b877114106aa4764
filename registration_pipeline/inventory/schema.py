"""The one Parquet schema of an inventory, whatever store or report it came from.

What does not belong here: how a store is listed (``lister.py`` and its implementations) and how inventories are kept.
"""

from __future__ import annotations

import pyarrow as pa

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
"""Rows are sorted by ``key`` in UTF-8 byte order, which for valid text is code point order, and no key comes twice."""
