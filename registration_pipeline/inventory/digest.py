"""The digest of a listing: the same exactly when every row is the same, however the rows came in batches.

What does not belong here: what equal listings spare (``planning/plan.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.tables.columns import binaries, int32s

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_TEXT = int32s([-1])[0]  # the length of what is null
_EMPTY = binaries([b""]).cast(pa.string())[0]
_INT32_BYTES, _INT64_BYTES = 4, 8


class ListingDigest:
    """Digests rows of ``INVENTORY_SCHEMA`` column by column, with XXH3 (128 bits): against chance, not against malice.

    For each column the bytes of all values and, for text, their lengths have a hasher of their own, so that where a batch
    ends leaves no trace.
    """

    def __init__(self) -> None:
        self._values = [xxhash.xxh3_128() for _ in INVENTORY_SCHEMA]
        self._lengths = [xxhash.xxh3_128() for _ in INVENTORY_SCHEMA]

    def add(self, batch: pa.RecordBatch) -> None:
        """Go on with the next rows."""
        for column, values, lengths in zip(batch.columns, self._values, self._lengths, strict=True):
            if pa.types.is_string(column.type):
                lengths.update(_bytes_of(pc.coalesce(pc.binary_length(column), _NO_TEXT), _INT32_BYTES))
                for text in _texts(column):
                    values.update(text)
            else:
                values.update(_bytes_of(column, _INT64_BYTES))

    def hexdigest(self) -> str:
        """Return the digest of all rows so far, as 32 hexadecimal digits."""
        return xxhash.xxh3_128(b"".join(one.digest() for one in self._values + self._lengths)).hexdigest()


def _bytes_of(numbers: pa.Array, width: int) -> memoryview:
    """Return the bytes of fixed-width values; none of them may be null."""
    data = memoryview(numbers.buffers()[1] or b"")
    return data[numbers.offset * width : (numbers.offset + len(numbers)) * width]


def _texts(column: pa.StringArray) -> Iterator[memoryview]:
    """Yield the bytes of all texts; what lies behind a null is left out."""
    column = pc.coalesce(column, _EMPTY) if column.null_count else column
    offsets, data = column.buffers()[1:]
    if len(column) and data is not None:
        ends = memoryview(offsets).cast("i")
        yield memoryview(data)[ends[column.offset] : ends[column.offset + len(column)]]
