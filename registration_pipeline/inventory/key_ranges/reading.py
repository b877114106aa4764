"""Reads one key range of a committed inventory, without what lies before and after it.

What does not belong here: listing a range (``listing.py``), and what is done with the rows.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from registration_pipeline.inventory.key_ranges.quantiles import quantiles
from registration_pipeline.state.parquet import open_part, vouched_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow.parquet as pq

    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.state.store import StateStore


class KeyBounds(NamedTuple):
    """The keys of a range.

    Args:
        after: all are greater; None: any.
        until: none is greater; None: any.
    """

    after: str | None = None
    until: str | None = None


def bounds_of(store: StateStore, inventory: Inventory, number: int, ranges: int) -> KeyBounds:
    """Return the bounds of one of several key ranges of an inventory that hold equally many objects.

    Args:
        store: the state.
        inventory: which.
        number: of the range, from 0.
        ranges: how many there are.

    Raises:
        StateCorruptError: a part is missing or unreadable.
    """
    ends = (None, *quantiles(store, inventory.parts, ranges), None)
    return KeyBounds(ends[number], ends[number + 1])


def read_key_range(store: StateStore, inventory: Inventory, bounds: KeyBounds) -> Iterator[pa.RecordBatch]:
    """Stream the rows of an inventory whose keys are within bounds, in key order.

    Args:
        store: the state.
        inventory: which.
        bounds: of the keys.

    Raises:
        StateCorruptError: a part is missing or unreadable.
    """
    for part in inventory.parts:
        with open_part(store, part) as file:
            for group in range(file.num_row_groups):
                if not _may_hold(file, group, bounds):
                    continue
                with vouched_for(store, part):
                    batches = file.read_row_group(group, use_threads=False).to_batches()
                yield from filter(len, (_within(batch, bounds) for batch in batches))


def _may_hold(file: pq.ParquetFile, group: int, bounds: KeyBounds) -> bool:
    """Return False if the statistics of a row group say that it has no key within bounds."""
    statistics = file.metadata.row_group(group).column(0).statistics  # of the key
    if statistics is None or not statistics.has_min_max:
        return True
    is_before = bounds.after is not None and statistics.max <= bounds.after
    is_behind = bounds.until is not None and statistics.min > bounds.until
    return not (is_before or is_behind)


def _within(batch: pa.RecordBatch, bounds: KeyBounds) -> pa.RecordBatch:
    keys = batch.column("key")
    begin = 0 if bounds.after is None else bisect_right(keys, bounds.after, key=pa.StringScalar.as_py)
    end = batch.num_rows if bounds.until is None else bisect_right(keys, bounds.until, key=pa.StringScalar.as_py)
    return batch.slice(begin, max(0, end - begin))
