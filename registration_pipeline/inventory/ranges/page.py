"""One answer of a store to a request for objects, whatever the store.

What does not belong here: how it is asked for and read (the provider's folder).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable


def as_written(key: str) -> str:
    """Return a key as its own place among the others: Python compares by code points, as most stores do."""
    return key


@dataclass(frozen=True, slots=True)
class Page:
    """One answer.

    Args:
        batch: its objects, places strictly increasing.
        first: the place of the first key; None without objects.
        last: the place of the last key; None without objects.
        token: where the store would go on; None if this was all.
        place: turns a key into a text whose order, by code points, is that of the store's listing.
    """

    batch: pa.RecordBatch
    first: str | None
    last: str | None
    token: str | None
    place: Callable[[str], str] = as_written

    def up_to(self, end: str) -> pa.RecordBatch:
        """Return the rows whose key has a place not greater than ``end``."""
        keys, place = self.batch.column("key"), self.place
        return self.batch.slice(0, bisect_right(keys, end, key=lambda key: place(pa.StringScalar.as_py(key))))
