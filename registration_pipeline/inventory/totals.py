"""What a listing comes to, batch by batch, and that it is one: keys that strictly increase, sizes that can be.

What does not belong here: where the rows go (``inventory.py``, ``key_ranges/``).
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.errors import ListingError
from registration_pipeline.inventory.key_order import disorder


class ListingTotals:
    """Counts what is listed, and refuses keys that don't strictly increase over the whole listing.

    A store that returns a page twice or out of order would have objects registered twice, or counted as deleted.

    Args:
        listing: what is listed and how, for messages.
        after: all keys must be greater; None: any.
        until: no key may be greater; None: any.

    Attributes:
        objects: so far.
        bytes: their sizes together.
        first_key: None before the first.
        last_key: likewise.
    """

    def __init__(self, listing: str, *, after: str | None = None, until: str | None = None) -> None:
        self._listing, self._after, self._until = listing, after, until
        self.first_key: str | None = None
        self.last_key: str | None = None
        self.objects = 0
        self.bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the next rows.

        Raises:
            ListingError: they can't come next, or can't be at all.
        """
        if batch.num_rows == 0:
            return
        keys = batch.column("key")
        first = keys[0].as_py()
        if self.last_key is not None and not self.last_key < first:
            raise self._disorder(self.last_key, first)
        if (pair := disorder(keys)) is not None:
            raise self._disorder(*pair)
        self.first_key = first if self.first_key is None else self.first_key
        self.last_key = keys[-1].as_py()
        self._check_range()
        self._check_sizes(batch)
        self.objects += batch.num_rows
        self.bytes += pc.sum(batch.column("size")).as_py()

    def _check_range(self) -> None:
        assert self.first_key is not None
        assert self.last_key is not None
        if (self._after is None or self.first_key > self._after) and (
            self._until is None or self.last_key <= self._until
        ):
            return
        raise ListingError(
            f"{self._listing} was asked for keys after {self._after!r}, up to {self._until!r}, and lists {self.first_key!r} "
            f"to {self.last_key!r}. Nothing was recorded. Run again; if it happens again, the store can't be listed in key "
            "ranges: set `key_ranges` of the source to 1."
        )

    def _check_sizes(self, batch: pa.RecordBatch) -> None:
        sizes = batch.column("size")
        if pc.min(sizes).as_py() >= 0:
            return
        row = pc.index(pc.less(sizes, 0), pa.scalar(value=True)).as_py()
        raise ListingError(
            f"{self._listing} gives {batch.column('key')[row].as_py()!r} a size of {sizes[row].as_py():,} bytes, which no "
            "object has. Nothing was recorded. Run again; if it happens again, the store's listing can't be relied on: write "
            "that object again, or ask the store's vendor."
        )

    def _disorder(self, previous: str, following: str) -> ListingError:
        what = "lists the key twice" if previous == following else "does not list in key order"
        return ListingError(
            f"{self._listing} {what}: {following!r} comes after {previous!r}. Nothing was recorded. Run again; if it "
            "happens again, the store's listing can't be relied on (S3 directory buckets, for one, have no order): move "
            "the objects to a general purpose bucket."
        )
