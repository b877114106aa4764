"""The seam to a store's listing.

What does not belong here: implementations (``local.py``, ``lister.py`` of each provider) and what becomes of the rows
(``inventory.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


class ObjectLister(Protocol):
    """Lists one source, every object exactly once, keys byte for byte as the store holds them."""

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """Yield batches of ``INVENTORY_SCHEMA`` with at most ``BATCH_ROWS`` rows, keys strictly increasing over all.

        Raises:
            HaltError: a subclass that says what to change; what was yielded before must not be kept.
        """

    @property
    def requests(self) -> int:
        """How many requests were made so far."""

    @property
    def description(self) -> str:
        """What is listed and how, e.g. ``s3://bucket/prefix via ListObjectsV2``."""
