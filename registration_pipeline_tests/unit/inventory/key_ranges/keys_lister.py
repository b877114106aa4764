"""A bucket in memory that can be divided, and what a run over its key ranges does, process by process."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from registration_pipeline.errors import ServiceUnavailableError
from registration_pipeline.inventory.inventory import Inventory, read_inventory
from registration_pipeline.inventory.key_ranges.commit import commit_listing
from registration_pipeline.inventory.key_ranges.listing import begin_listing, list_range
from registration_pipeline.inventory.schema import inventory_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from registration_pipeline.inventory.key_ranges.division import Division
    from registration_pipeline.inventory.lister import ObjectLister
    from registration_pipeline.state.store import StateStore

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
RUN = "run-1"


@dataclass
class KeysLister:
    """``DivisibleLister`` of keys in memory, by pages.

    Args:
        keys: in any order.
        ends: what ``boundaries`` answers.
        page_size: keys of a batch.
        fails_at: the listing of this key fails.
        asked: the ranges that were listed.
        description: what is listed.
    """

    keys: Sequence[str]
    ends: Sequence[str] = ()
    page_size: int = 3
    fails_at: str | None = None
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)
    range: tuple[str | None, str | None] = (None, None)
    requests: int = 0
    description: str = "keys in memory"

    def boundaries(self, ranges: int) -> Sequence[str]:
        self.requests += 1
        return self.ends[: ranges - 1]

    def between(self, after: str | None, until: str | None) -> ObjectLister:
        return replace(self, range=(after, until), requests=0)

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        self.asked.append(self.range)
        after, until = self.range
        chosen = [key for key in sorted(self.keys) if key > (after or "") and (until is None or key <= until)]
        for begin in range(0, len(chosen), self.page_size):
            page = chosen[begin : begin + self.page_size]
            self.requests += 1
            if self.fails_at in page:
                raise ServiceUnavailableError("gone")
            sizes, times = [len(key.encode()) for key in page], [NOON] * len(page)
            yield inventory_batch(keys=page, sizes=sizes, last_modified=times, e_tags=[f"tag-{key}" for key in page])


def noon() -> datetime:
    return NOON


def begin(
    store: StateStore,
    lister: ObjectLister,
    *,
    ranges: int = 4,
    runs: Sequence[str] = (RUN,),
    clock: Callable[[], datetime] = noon,
    over: Sequence[str] = (),
) -> Division:
    return begin_listing(
        lister=lister,
        store=store,
        source="fleet",
        ranges=ranges,
        runs=runs,
        clock=clock,
        is_over=lambda run: run in over,
        least_objects=1,
    )


def list_one(store: StateStore, lister: ObjectLister, division: Division, number: int) -> None:
    list_range(lister=lister, store=store, source="fleet", inventory_id=division.inventory_id, number=number)


def commit(store: StateStore, *, runs: Sequence[str] = (RUN,)) -> Inventory:
    return commit_listing(store=store, source="fleet", runs=runs, clock=noon)


def in_key_ranges(store: StateStore, lister: ObjectLister, *, ranges: int = 4, run: str = RUN) -> Inventory:
    division = begin(store, lister, ranges=ranges, runs=(run,))
    for number in reversed(range(division.ranges)):
        list_one(store, lister, division, number)
    return commit(store, runs=(run,))


def rows_of(store: StateStore, inventory: Inventory) -> list[dict[str, object]]:
    return [row for batch in read_inventory(store, inventory) for row in batch.to_pylist()]
