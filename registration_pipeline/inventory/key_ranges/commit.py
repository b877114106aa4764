"""Commits an inventory that was listed in key ranges: the same marker as that of one that was listed at once.

Every row is read again, once, in order: so it is certain that the ranges are complete and sorted, and the digest is that of
the rows, wherever they were divided. What does not belong here: listing a range (``listing.py``).
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from registration_pipeline.errors import StateConflictError, StateCorruptError, UsageError
from registration_pipeline.inventory.claim import release_claim
from registration_pipeline.inventory.digest import ListingDigest
from registration_pipeline.inventory.inventory import Inventory, inventory_of
from registration_pipeline.inventory.key_ranges.division import Division
from registration_pipeline.inventory.key_ranges.listing import find_listing, read_range
from registration_pipeline.inventory.place import ListedPlace
from registration_pipeline.inventory.totals import ListingTotals
from registration_pipeline.state.layout import COMMIT_MARKER, inventory_folder
from registration_pipeline.state.markers import discard_unnamed
from registration_pipeline.state.parquet import read_parts
from registration_pipeline.state.sealed import sealed_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from registration_pipeline.inventory.key_ranges.listing import ListedRange
    from registration_pipeline.state.store import StateStore


def commit_listing(*, store: StateStore, source: str, runs: Sequence[str], clock: Callable[[], datetime]) -> Inventory:
    """Commit what a run listed in key ranges, or return what it has committed already.

    Args:
        store: the state.
        source: the source's name.
        runs: ids: the run itself, and those that it goes on with.
        clock: gives the aware time.

    Raises:
        UsageError: the run lists nothing in key ranges.
        StateConflictError: a range was not listed, or its parts are gone.
        StateCorruptError: what the ranges say does not agree with their rows.
        StateError: the state can't be read or written.
    """
    found = find_listing(store, source, runs)
    if found is None:
        raise UsageError(
            f"Run {runs[0]} has no inventory of source {source} under way: it was given up, because the run was over or took "
            "more than a week. Start a new run."
        )
    inventory = _commit(store, found, clock) if isinstance(found, Division) else found
    _tidy(store, inventory)
    return inventory


def _commit(store: StateStore, division: Division, clock: Callable[[], datetime]) -> Inventory:
    ranges = _all_ranges(store, division)
    parts = tuple(part for listed in ranges for part in listed.parts)
    totals, digest = ListingTotals(division.listing), ListingDigest()
    for listed in ranges:
        before = totals.objects, totals.bytes
        for batch in read_parts(store, listed.parts):
            totals.add(batch)
            digest.add(batch)
        if (totals.objects - before[0], totals.bytes - before[1]) != (listed.objects, listed.bytes):
            raise StateCorruptError(
                f"Key range {listed.number} of {store.location(inventory_folder(division.source, division.inventory_id))} "
                "holds other rows than were listed. Start a new run, which takes a new inventory."
            )
    inventory = Inventory(
        inventory_id=division.inventory_id,
        source=division.source,
        objects=totals.objects,
        bytes=totals.bytes,
        parts=parts,
        requests=division.requests + sum(listed.requests for listed in ranges),
        listing=division.listing,
        digest=digest.hexdigest(),
        started_at=division.started_at,
        finished_at=max(division.started_at, clock().astimezone(UTC)),  # of two machines' clocks
        run=division.run,
        key_ranges=division.ranges,
        place=ListedPlace(division.uri, division.listed_in),
    )
    folder = inventory_folder(division.source, division.inventory_id)
    try:
        store.create(folder + COMMIT_MARKER, sealed_json(inventory.to_json()))
    except StateConflictError:
        committed = inventory_of(store, division.source, division.inventory_id)
        if committed is None:
            raise
        return committed  # by another process of the run, from the same ranges
    return inventory


def _all_ranges(store: StateStore, division: Division) -> list[ListedRange]:
    """Return all ranges, in order, each within its bounds."""
    source, inventory_id = division.source, division.inventory_id
    where = store.location(inventory_folder(source, inventory_id))
    found: list[ListedRange] = []
    for number in range(division.ranges):
        listed = read_range(store, source, inventory_id, number)
        if listed is None:
            raise StateConflictError(
                f"Key range {number} of {division.ranges} of {where} was not listed. Re-execute the run from its failure, or "
                "start a new one."
            )
        after, until = division.bounds(number)
        is_after = after is None or listed.first_key is None or listed.first_key > after
        is_within = until is None or listed.last_key is None or listed.last_key <= until
        if listed.number != number or not (is_after and is_within):
            raise StateCorruptError(f"Key range {number} of {where} is that of another range. Start a new run.")
        found.append(listed)
    present = {*store.names(inventory_folder(source, inventory_id))}
    missing = {part.name for listed in found for part in listed.parts} - present
    if missing:
        raise StateConflictError(
            f"{store.location(min(missing))} was removed before it was committed. Start a new run."
        )
    return found


def _tidy(store: StateStore, inventory: Inventory) -> None:
    """Remove what the marker does not name: what said which ranges there are, and what dead processes left of them."""
    folder = inventory_folder(inventory.source, inventory.inventory_id)
    discard_unnamed(store, folder, {part.name for part in inventory.parts})
    release_claim(store, inventory.source, inventory.inventory_id)
