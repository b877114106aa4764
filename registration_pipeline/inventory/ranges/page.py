"""One answer of a store to a request for objects, whatever the store.

What does not belong here: how it is asked for and read (the provider's folder).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Page:
    """One answer.

    Args:
        batch: its objects, keys strictly increasing.
        first: the first key; None without objects.
        last: the last key; None without objects.
        token: where the store would go on; None if this was all.
    """

    batch: pa.RecordBatch
    first: str | None
    last: str | None
    token: str | None
