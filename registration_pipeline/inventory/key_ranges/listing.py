"""Lists an inventory in key ranges: begins it, and lists one range, each in any process of the run and as often as needed.

What does not belong here: the commit (``commit.py``), and which process does what (``orchestration``).
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, Self

from registration_pipeline.errors import StateConflictError, StateError
from registration_pipeline.inventory.claim import claim_for_run, claims_of_runs, give_up_claim
from registration_pipeline.inventory.inventory import inventory_of, latest_inventory, recent_inventories
from registration_pipeline.inventory.key_ranges.division import Division, fix_division, read_division
from registration_pipeline.inventory.key_ranges.quantiles import LEAST_OBJECTS, boundaries_for
from registration_pipeline.inventory.key_ranges.records import read_record
from registration_pipeline.inventory.lister import DivisibleLister
from registration_pipeline.inventory.place import UNKNOWN_PLACE, ListedPlace
from registration_pipeline.inventory.progress import ListingReporter
from registration_pipeline.inventory.schema import DISTINCT_COLUMNS, INVENTORY_SCHEMA
from registration_pipeline.inventory.totals import ListingTotals
from registration_pipeline.state.layout import inventory_folder, inventory_range_name
from registration_pipeline.state.markers import FileSet
from registration_pipeline.state.parquet import ParquetPartWriter, Part
from registration_pipeline.state.sealed import sealed_json
from registration_pipeline.state.version import ensure_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from registration_pipeline.inventory.claim import RunIsOver
    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.inventory.lister import ObjectLister
    from registration_pipeline.inventory.progress import ListingProgress
    from registration_pipeline.state.store import StateStore

_RECENT: Final = 3
"""Inventories that are searched for the one that a run has just committed: another run may have committed one since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRange:
    """One key range that was listed.

    Args:
        number: of the range, from 0.
        objects: in it.
        bytes: their sizes together.
        requests: made to the store.
        first_key: None: there are no objects.
        last_key: likewise.
        parts: in key order.
    """

    number: int
    objects: int
    bytes: int
    requests: int
    first_key: str | None
    last_key: str | None
    parts: tuple[Part, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the form that it has in its file."""
        return {
            "number": self.number,
            "objects": self.objects,
            "bytes": self.bytes,
            "requests": self.requests,
            "first_key": self.first_key,
            "last_key": self.last_key,
            "parts": [part.to_json() for part in self.parts],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` gives.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        return cls(
            number=int(value["number"]),
            objects=int(value["objects"]),
            bytes=int(value["bytes"]),
            requests=int(value["requests"]),
            first_key=value["first_key"],
            last_key=value["last_key"],
            parts=tuple(Part.from_json(part) for part in value["parts"]),
        )


def find_listing(store: StateStore, source: str, runs: Sequence[str]) -> Division | Inventory | None:
    """Return what a run is listing in key ranges, or what it committed of that last; None: it has not begun.

    Args:
        store: the state.
        source: the source's name.
        runs: ids: the run itself, and those that it goes on with.

    Raises:
        StateError: the state can't be read.
    """
    claims = claims_of_runs(store, source)
    for inventory_id in (claims[run] for run in runs if run in claims):
        committed = inventory_of(store, source, inventory_id)
        if (found := committed or read_division(store, source, inventory_id)) is not None:
            return found
    recent = recent_inventories(store, source, _RECENT)
    return next((inventory for inventory in recent if inventory.run in runs), None)


def begin_listing(
    *,
    lister: ObjectLister,
    store: StateStore,
    source: str,
    ranges: int,
    runs: Sequence[str],
    clock: Callable[[], datetime],
    is_over: RunIsOver | None = None,
    least_objects: int = LEAST_OBJECTS,
    place: ListedPlace = UNKNOWN_PLACE,
) -> Division:
    """Fix the key ranges of a new inventory, or return those that the run has fixed already.

    Args:
        lister: of the source.
        store: the state.
        source: the source's name.
        ranges: at most so many.
        runs: ids: the run itself, and those that it goes on with.
        clock: gives the aware time.
        is_over: what runs that are over left is cleared away.
        least_objects: in a range, by the inventory before.
        place: which the lister lists.

    Raises:
        ConfigurationError: the run has fixed those of another place.
        HaltError: the store can't be listed.
        StateLayoutError: the state was written by another version.
        StateError: the state can't be read or written.
    """
    started_at = clock().astimezone(UTC)
    ensure_layout(store, source, started_at)
    claims = claims_of_runs(store, source)
    inventory_id = next((claims[run] for run in runs if run in claims), None)
    if inventory_id is not None and (fixed := read_division(store, source, inventory_id)) is not None:
        fixed.require_same_place(lister.description, place.store)
        return fixed
    if inventory_id is None:  # else a process of the run died before it fixed them
        known = {} if is_over is None else {"is_over": is_over}
        inventory_id = claim_for_run(store, source, started_at, runs[0], **known)
    with _given_up_on_error(store, source, inventory_id):
        newest = latest_inventory(store, source)
        boundaries = boundaries_for(store, lister, newest, ranges, least_objects=least_objects)
    return fix_division(
        store,
        Division(
            inventory_id=inventory_id,
            source=source,
            run=runs[0],
            boundaries=tuple(boundaries),
            requests=lister.requests,
            listing=lister.description,
            started_at=started_at,
            listed_in=place.store,
            uri=place.uri,
        ),
    )


@contextmanager
def _given_up_on_error(store: StateStore, source: str, inventory_id: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(StateError):  # what went wrong first matters more
            give_up_claim(store, source, inventory_id)
        raise


def list_range(
    *,
    lister: ObjectLister,
    store: StateStore,
    source: str,
    inventory_id: str,
    number: int,
    progress: Callable[[ListingProgress], None] | None = None,
    listed_in: str = "",
) -> ListedRange:
    """List one key range and note that it was listed; one that was listed already is not listed again if its rows are there.

    What a process that died left of the range is never read, and cleared away by the commit.

    Args:
        lister: of the source.
        store: the state.
        source: the source's name.
        inventory_id: of the inventory that was begun.
        number: of the range, from 0.
        progress: called with the progress of this range after every batch.
        listed_in: the store, by the name that is the same for all of its endpoints; empty: not known.

    Raises:
        ConfigurationError: the inventory was begun in another place.
        ListingError: the keys are not strictly increasing, or not of the range.
        HaltError: what the lister raises.
        StateConflictError: the inventory was given up: its run was over, or it took longer than ``claim.ABANDONED_AFTER``.
        StateError: the state can't be read or written.
    """
    if (done := _listed_before(store, source, inventory_id, number)) is not None:
        return done
    division = _require_division(store, source, inventory_id)
    division.require_same_place(lister.description, listed_in)
    after, until = division.bounds(number)
    if isinstance(lister, DivisibleLister):
        lister = lister.between(after, until)
    totals = ListingTotals(lister.description, after=after, until=until)
    reporter = ListingReporter(lister, progress, expected=None)
    files = FileSet(store, inventory_folder(source, inventory_id))
    with files.given_up_on_error(), ParquetPartWriter(files, INVENTORY_SCHEMA, distinct=DISTINCT_COLUMNS) as writer:
        for batch in lister.list_objects():
            totals.add(batch)
            writer.write(batch)
            reporter.report(totals.objects)
        listed = ListedRange(
            number=number,
            objects=totals.objects,
            bytes=totals.bytes,
            requests=lister.requests,
            first_key=totals.first_key,
            last_key=totals.last_key,
            parts=writer.finish(),
        )
        _require_division(store, source, inventory_id)
    return _note(store, source, inventory_id, listed)


def read_range(store: StateStore, source: str, inventory_id: str, number: int) -> ListedRange | None:
    """Return a range that was listed; None: it was not.

    Raises:
        StateCorruptError: what says so is damaged.
    """
    return read_record(store, inventory_range_name(source, inventory_id, number), ListedRange.from_json)


def _listed_before(store: StateStore, source: str, inventory_id: str, number: int) -> ListedRange | None:
    """Return a range that was listed; None: it was not, or its rows are gone, and now its note is, too.

    Of two processes that find rows gone one may remove the other's new note: then the range is listed once more.
    """
    done = read_range(store, source, inventory_id, number)
    if done is None or all(store.exists(part.name) for part in done.parts):
        return done
    store.delete(inventory_range_name(source, inventory_id, number))
    return None


def missing_ranges(store: StateStore, division: Division) -> list[int]:
    """Return the numbers of the ranges that were not listed, or whose rows are gone, by one listing of the inventory's folder.

    Raises:
        StateError: the state can't be read.
    """
    source, inventory_id = division.source, division.inventory_id
    present = {*store.names(inventory_folder(source, inventory_id))}

    def is_there(number: int) -> bool:
        if inventory_range_name(source, inventory_id, number) not in present:
            return False
        listed = read_range(store, source, inventory_id, number)
        return listed is not None and present.issuperset(part.name for part in listed.parts)

    return [number for number in range(division.ranges) if not is_there(number)]


def _note(store: StateStore, source: str, inventory_id: str, listed: ListedRange) -> ListedRange:
    """Say that a range was listed; of two processes that listed it the first is believed.

    A write whose answer was lost may have been done, or be done later. So its parts are removed only if another process's
    note is there; else the commit removes those that no note names.
    """
    try:
        store.create(inventory_range_name(source, inventory_id, listed.number), sealed_json(listed.to_json()))
    except StateError:
        first = read_range(store, source, inventory_id, listed.number)
        if first is None:
            raise
    else:
        return listed
    for name in {part.name for part in listed.parts} - {part.name for part in first.parts}:
        store.delete(name)
    return first


def _require_division(store: StateStore, source: str, inventory_id: str) -> Division:
    division = read_division(store, source, inventory_id)
    if division is None:
        raise StateConflictError(
            f"{store.location(inventory_folder(source, inventory_id))} was given up, or is committed already: it is not "
            "listed in key ranges any more. Start a new run, which takes a new inventory."
        )
    return division
