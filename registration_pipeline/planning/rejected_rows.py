"""Which objects of a batch Encord would not take, and the rows that say so in the census.

What does not belong here: the reasons themselves (``rejection.py``) and what else becomes of a batch (``decision.py``).
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from registration_pipeline.objects import RejectionReason
from registration_pipeline.planning.rejection import Rejection, find_rejection
from registration_pipeline.planning.schema import REJECTED_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.objects import MediaKind


def values_of(rows: pa.RecordBatch, column: str) -> list[Any] | None:
    """Return a column as Python values, or None where it has none at all."""
    values = rows.column(column)
    return None if values.null_count == len(values) else values.to_pylist()


def find_rejections(
    rows: pa.RecordBatch, keys: Sequence[str], kinds: Sequence[MediaKind | None], urls: Sequence[str]
) -> list[Rejection | None]:
    """Return of every object the first reason why Encord would not take it, or None.

    Args:
        rows: of the inventory.
        keys: of the rows.
        kinds: of the objects.
        urls: their ``objectUrl``.
    """
    sizes = rows.column("size").to_pylist()
    storage_classes = values_of(rows, "storage_class") or repeat(None, len(keys))
    content_types = values_of(rows, "content_type") or repeat(None, len(keys))
    return [
        find_rejection(key=key, size=size, kind=kind, url=url, storage_class=storage_class, content_type=content_type)
        for key, size, kind, url, storage_class, content_type in zip(
            keys, sizes, kinds, urls, storage_classes, content_types, strict=True
        )
    ]


def rejected_rows(
    rows: pa.RecordBatch, rejected: Sequence[int], rejections: Sequence[Rejection], urls: Sequence[str]
) -> pa.RecordBatch:
    """Return, as ``REJECTED_SCHEMA``, the rows of objects that are rejected.

    Args:
        rows: of the inventory.
        rejected: the places of the rejected ones among them.
        rejections: why, one for each of those.
        urls: the ``objectUrl`` of every row.
    """
    refused = rows.take(pa.array(rejected, pa.int64()))
    return pa.RecordBatch.from_arrays(
        [
            refused.column("key"),
            refused.column("size"),
            refused.column("last_modified"),
            pa.array([rejection.reason.value for rejection in rejections], pa.string()),
            pa.array([rejection.message for rejection in rejections], pa.string()),
            pa.array(
                [
                    "" if rejection.reason is RejectionReason.NAME_NOT_UTF8 else urls[index]
                    for index, rejection in zip(rejected, rejections, strict=True)
                ],
                pa.string(),
            ),
            pa.nulls(len(rejected), pa.string()),
        ],
        schema=REJECTED_SCHEMA,
    )
