"""Where to divide a source so that its ranges hold equally many objects: at the quantiles of its newest inventory.

They are exact for what the inventory held, and cost the store no request. What does not belong here: dividing a source without
an inventory, which is the lister's (``DivisibleLister.boundaries``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registration_pipeline.inventory.lister import DivisibleLister
from registration_pipeline.state.parquet import open_part, vouched_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.inventory.lister import ObjectLister
    from registration_pipeline.state.parquet import Part
    from registration_pipeline.state.store import StateStore

LEAST_OBJECTS: Final = 1_000
"""In a range, by the inventory before: what one request lists. Fewer are not worth a step of their own."""


def boundaries_for(
    store: StateStore,
    lister: ObjectLister,
    newest: Inventory | None,
    ranges: int,
    *,
    least_objects: int = LEAST_OBJECTS,
) -> Sequence[str]:
    """Return at most ``ranges - 1`` keys to divide a source at, strictly increasing.

    Args:
        store: the state.
        lister: of the source; one that can't be divided has one range.
        newest: the newest inventory of the source; None, or an empty one: the lister says where to divide.
        ranges: how many are wanted.
        least_objects: in a range.

    Raises:
        HaltError: the store can't be listed.
        StateError: the state can't be read.
    """
    if ranges == 1 or not isinstance(lister, DivisibleLister):
        return ()
    if newest is None or not newest.objects:
        return lister.boundaries(ranges)
    return quantiles(store, newest.parts, ranges_of(newest, ranges, least_objects=least_objects))


def ranges_of(inventory: Inventory, most: int, *, least_objects: int = LEAST_OBJECTS) -> int:
    """Return into how many key ranges it is worth to divide the objects of an inventory.

    Args:
        inventory: which.
        most: ranges.
        least_objects: in a range.
    """
    return max(1, min(most, inventory.objects // least_objects))


def quantiles(store: StateStore, parts: Sequence[Part], ranges: int) -> list[str]:
    """Return the keys that divide sorted parts into so many ranges of equally many rows; each range ends with its key.

    Args:
        store: the state.
        parts: with a column ``key``, strictly increasing.
        ranges: at most as many as there are rows.

    Raises:
        StateCorruptError: a part is missing or unreadable.
    """
    rows = sum(part.rows for part in parts)
    wanted = [rows * number // ranges - 1 for number in range(1, ranges)]
    found: list[str] = []
    begin = 0
    for part in parts:
        inside = [place - begin for place in wanted if begin <= place < begin + part.rows]
        begin += part.rows
        if inside:
            found += _keys_at(store, part, inside)
    return found


def _keys_at(store: StateStore, part: Part, places: Sequence[int]) -> list[str]:
    """Return the keys of some rows of a part; the places increase."""
    found: list[str] = []
    with open_part(store, part) as file:
        begin = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            inside = [place - begin for place in places if begin <= place < begin + rows]
            begin += rows
            if inside:
                with vouched_for(store, part):
                    keys = file.read_row_group(group, columns=["key"], use_threads=False).column("key")
                found += [keys[place].as_py() for place in inside]
    return found
