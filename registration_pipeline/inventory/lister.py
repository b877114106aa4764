"""The seam to a store's listing.

What does not belong here: implementations (``local.py``, ``lister.py`` of each provider) and what becomes of the rows
(``inventory.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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


@runtime_checkable
class DivisibleLister(ObjectLister, Protocol):
    """A lister whose source can be listed in key ranges, each by a lister of its own, in this process or another.

    Keys are compared as their UTF-8 bytes, which is the order of code points that Python compares by.
    """

    def boundaries(self, ranges: int) -> Sequence[str]:
        """Return at most ``ranges - 1`` keys, strictly increasing, where to divide, found with few requests.

        They need not exist, all can be written as UTF-8, and each is greater than some key of the source or the prefix.
        A source that is not worth dividing has none.

        Raises:
            HaltError: as ``list_objects``.
        """

    def between(self, after: str | None, until: str | None) -> ObjectLister:
        """Return the lister of the keys that are greater than ``after`` and not greater than ``until``.

        Args:
            after: None: from the first key.
            until: None: to the last key.
        """
