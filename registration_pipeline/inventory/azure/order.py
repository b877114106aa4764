"""Azure's order of names turned into the order of keys, in constant memory for all but pathological names.

What does not belong here: listing (``lister.py``).

Azure orders names by UTF-16 code units (observed on a real account by blobfile's maintainers, pull request 238, and
on Azurite 3.37). That differs from the order of UTF-8 in one point: there, characters beyond U+FFFF (emoji, rare
ideographs) come before U+E000 to U+FFFF (full-width letters, variation selectors), not after.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Generic, TypeVar

import pyarrow as pa

from registration_pipeline.inventory.azure.page import Blob, batch_of
from registration_pipeline.inventory.azure.places import has_wide
from registration_pipeline.inventory.schema import BATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEYOND_FFFF = re.compile("[\U00010000-\U0010ffff]").search

Row = TypeVar("Row")


class KeyOrder(Generic[Row]):
    """Takes rows in the order of UTF-16 and gives them back in the order of UTF-8.

    A key with a character beyond U+FFFF is held back as long as the listing stays below what precedes that character:
    only there can a key still come that belongs before it.
    """

    def __init__(self) -> None:
        self._held: dict[str, list[tuple[str, Row]]] = {}
        self.held = 0

    def push(self, key: str, row: Row) -> list[Row]:
        """Take the next row of the store and return those whose turn has come, in order."""
        wide = _BEYOND_FFFF(key)
        if wide is None and not self._held:
            return [row]
        # What is held has a common way with the last key, so this is as many as that key has characters, at most.
        ready = self._release([prefix for prefix in self._held if not key.startswith(prefix)])
        if wide is None:
            ready.append(row)
        else:
            self._held.setdefault(key[: wide.start()], []).append((key, row))
            self.held += 1
        return ready

    def finish(self) -> list[Row]:
        """Return what is still held, in order."""
        return self._release(list(self._held))

    def _release(self, prefixes: list[str]) -> list[Row]:
        released = [held for prefix in prefixes for held in self._held.pop(prefix)]
        released.sort(key=lambda held: held[0])
        self.held -= len(released)
        return [row for _, row in released]


class RowOrder:
    """The same for batches of an inventory. Batches without characters beyond U+FFFF are passed on as they are."""

    def __init__(self) -> None:
        self._order = KeyOrder[Blob]()

    @property
    def held(self) -> int:
        """How many rows wait for their turn."""
        return self._order.held

    def push(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Take the next rows of the store and yield those whose turn has come, in order; no batch is empty."""
        if not self._order.held and not has_wide(batch):
            if batch.num_rows:
                yield batch
            return
        blobs = _blobs_of(batch)
        yield from _batches([ready for blob in blobs for ready in self._order.push(blob.key, blob)])

    def finish(self) -> Iterator[pa.RecordBatch]:
        """Yield what is still held, in order."""
        yield from _batches(self._order.finish())


def _blobs_of(batch: pa.RecordBatch) -> Iterator[Blob]:
    key, size, time, *others = batch.columns
    columns = [key, size, time.cast(pa.int64()), *others]
    return map(Blob._make, zip(*(column.to_pylist() for column in columns), strict=True))


def _batches(blobs: list[Blob]) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(blobs), BATCH_ROWS):
        yield batch_of(list(zip(*blobs[start : start + BATCH_ROWS], strict=True)))
