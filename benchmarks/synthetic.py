"""Objects of a bucket that does not exist: keys, sizes, times and ETags made from a number, always the same."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

MODIFIED_AT = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)


def key_of(number: int) -> str:
    """Return the key of an object; ascending numbers below 100 million give ascending keys."""
    return f"raw/camera-{number // 10_000:04d}/2026-03-14/frame-{number % 10_000:06d}.jpg"


def e_tag_of(number: int) -> str:
    """Return an MD5 as S3 would give one."""
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


class SyntheticLister:
    """``ObjectLister`` of that many objects, in batches as large as a reader of Parquet gives them.

    Args:
        objects: how many.
        pdf_every: one object in this many is a PDF and not an image; 0: none.
    """

    def __init__(self, objects: int, pdf_every: int = 0) -> None:
        self._objects, self._pdf_every = objects, pdf_every

    @property
    def requests(self) -> int:
        """None are made."""
        return 0

    @property
    def description(self) -> str:
        """What this is."""
        return f"{self._objects} synthetic objects"

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """See ``ObjectLister.list_objects``."""
        from registration_pipeline.inventory.schema import BATCH_ROWS, inventory_batch

        modified = int(MODIFIED_AT.timestamp() * 1_000_000)
        for start in range(0, self._objects, BATCH_ROWS):
            numbers = range(start, min(start + BATCH_ROWS, self._objects))
            yield inventory_batch(
                keys=[self._key(number) for number in numbers],
                sizes=[400_000 + number % 200_000 for number in numbers],
                last_modified=[modified] * len(numbers),
                e_tags=[e_tag_of(number) for number in numbers],
                storage_classes=["STANDARD"] * len(numbers),
            )

    def _key(self, number: int) -> str:
        key = key_of(number)
        is_pdf = self._pdf_every and number % self._pdf_every == 0
        return key.removesuffix(".jpg") + ".pdf" if is_pdf else key
