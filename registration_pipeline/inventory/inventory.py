"""Takes, finds and reads inventories: dated listings of a source under a commit marker.

What does not belong here: how a store is listed (``lister.py``), and what an inventory is compared with (``planning/``).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from registration_pipeline.errors import ConfigurationError, StateCorruptError, UsageError
from registration_pipeline.ids import is_inventory_id
from registration_pipeline.inventory.claim import claimed_inventory_id
from registration_pipeline.inventory.digest import ListingDigest
from registration_pipeline.inventory.place import UNKNOWN_PLACE, ListedPlace
from registration_pipeline.inventory.progress import ListingReporter
from registration_pipeline.inventory.schema import DISTINCT_COLUMNS, INVENTORY_SCHEMA
from registration_pipeline.inventory.totals import ListingTotals
from registration_pipeline.state.layout import inventory_folder
from registration_pipeline.state.markers import FileSet, read_marker
from registration_pipeline.state.parquet import ParquetPartWriter, Part, read_parts
from registration_pipeline.state.version import ensure_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    import pyarrow as pa

    from registration_pipeline.inventory.lister import ObjectLister
    from registration_pipeline.inventory.progress import ListingProgress
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """One committed listing of a source.

    Args:
        inventory_id: UTC time of its start, e.g. ``20261121T020000Z``; later ids are later inventories.
        source: the source's name.
        objects: how many objects were listed.
        bytes: their sizes together.
        parts: the Parquet files, in key order.
        requests: requests made to the store.
        listing: what was listed and how.
        digest: the same for two inventories exactly when they hold the same rows.
        started_at: UTC.
        finished_at: UTC.
        run: of the listing in key ranges; None: it was listed at once.
        key_ranges: in which it was listed.
        place: where it was listed.
    """

    inventory_id: str
    source: str
    objects: int
    bytes: int
    parts: tuple[Part, ...]
    requests: int
    listing: str
    digest: str
    started_at: datetime
    finished_at: datetime
    run: str | None = None
    key_ranges: int = 1
    place: ListedPlace = UNKNOWN_PLACE

    def require_place_of(self, source: SourceSettings) -> Self:
        """Return the inventory, or refuse it if the source is in another place now than where it was listed.

        Args:
            source: the settings of now.

        Raises:
            ConfigurationError: says where it was listed, where the source is now, and what to do.
        """
        here = ListedPlace.of(source)
        if self.place.is_at(here):
            return self
        raise ConfigurationError(
            f"the source was changed since inventory {self.inventory_id} was made. Listed: {self.place}. Now: {here}. "
            "Objects of one place must not get the URLs of another. To go on where the source is now, run "
            f"`registration-pipeline inventory {source.name}` again; to go on with what is listed, set it back",
            key=f"sources.{source.name}.{'uri' if self.place.uri != here.uri else 'storage'}",
        )

    def to_json(self) -> dict[str, Any]:
        """Return the form that it has in its commit marker."""
        divided = {} if self.run is None else {"run": self.run, "key_ranges": self.key_ranges}
        place = {"uri": self.place.uri, "listed_in": self.place.store} if self.place.uri else {}
        return {
            "inventory_id": self.inventory_id,
            "source": self.source,
            "objects": self.objects,
            "bytes": self.bytes,
            "requests": self.requests,
            "listing": self.listing,
            "digest": self.digest,
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat(),
            "parts": [part.to_json() for part in self.parts],
            **divided,
            **place,
        }


def take_inventory(
    *,
    lister: ObjectLister,
    store: StateStore,
    source: str,
    clock: Callable[[], datetime],
    progress: Callable[[ListingProgress], None] | None = None,
    expected: int | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    place: ListedPlace = UNKNOWN_PLACE,
) -> Inventory:
    """List a source and commit what was found.

    If the listing fails, nothing is committed and what it wrote is cleared away: at once, or by the next inventory when the
    process died. Listings at the same moment each make an inventory of their own.

    Args:
        lister: the store.
        store: the state.
        source: the source's name.
        clock: gives the aware time.
        progress: called with the progress of the listing after every batch.
        expected: objects of the inventory before, for the progress; None: not known.
        monotonic: seconds that never go back.
        place: which the lister lists.

    Raises:
        ListingError: the keys are not strictly increasing.
        HaltError: what the lister raises.
        StateLayoutError: the state was written by another version.
        StateConflictError: it took longer than ``claim.ABANDONED_AFTER`` and another inventory cleared it away.
    """
    started_at = clock().astimezone(UTC)
    ensure_layout(store, source, started_at)
    reporter = ListingReporter(lister, progress, monotonic, expected=expected)
    with claimed_inventory_id(store, source, started_at) as inventory_id:
        files = FileSet(store, inventory_folder(source, inventory_id))
        parts, totals, digest = _write_listing(lister, files, reporter)
        inventory = Inventory(
            inventory_id=inventory_id,
            source=source,
            objects=totals.objects,
            bytes=totals.bytes,
            parts=parts,
            requests=lister.requests,
            listing=lister.description,
            digest=digest,
            started_at=started_at,
            finished_at=clock().astimezone(UTC),
            place=place,
        )
        files.commit(inventory.to_json())
    return inventory


def _write_listing(
    lister: ObjectLister, files: FileSet, reporter: ListingReporter
) -> tuple[tuple[Part, ...], ListingTotals, str]:
    totals, digest = ListingTotals(lister.description), ListingDigest()
    with ParquetPartWriter(files, INVENTORY_SCHEMA, distinct=DISTINCT_COLUMNS) as writer:
        for batch in lister.list_objects():
            totals.add(batch)
            digest.add(batch)
            writer.write(batch)
            reporter.report(totals.objects)
        return writer.finish(), totals, digest.hexdigest()


def latest_inventory(store: StateStore, source: str) -> Inventory | None:
    """Return the newest committed inventory of a source, or None."""
    return next(_newest_first(store, source), None)


def require_inventory(store: StateStore, source: SourceSettings) -> Inventory:
    """Return the newest committed inventory of a source.

    Raises:
        UsageError: it has none.
        ConfigurationError: it is of another place than the source is in now.
    """
    inventory = latest_inventory(store, source.name)
    if inventory is None:
        raise UsageError(
            f"Source {source.name} has no inventory: run `registration-pipeline inventory {source.name}` first"
        )
    return inventory.require_place_of(source)


def recent_inventories(store: StateStore, source: str, most: int, without: Container[str] = ()) -> list[Inventory]:
    """Return the newest committed inventories of a source, at most ``most``, the newest first.

    Args:
        store: the state.
        source: the source's name.
        most: each costs a request.
        without: ids that are passed over.
    """
    return list(islice(_newest_first(store, source, without), most))


def _newest_first(store: StateStore, source: str, without: Container[str] = ()) -> Iterator[Inventory]:
    for inventory_id in filter(is_inventory_id, sorted(store.folders(inventory_folder(source)), reverse=True)):
        if inventory_id in without:
            continue
        inventory = inventory_of(store, source, inventory_id)
        if inventory is not None:
            yield inventory


def read_inventory(
    store: StateStore, inventory: Inventory, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Stream an inventory in key order, in batches of at most 64k rows.

    Args:
        store: the state.
        inventory: which one.
        columns: only these, in this order; default all.

    Raises:
        StateCorruptError: a part is missing or unreadable.
    """
    return read_parts(store, inventory.parts, columns)


def inventory_of(store: StateStore, source: str, inventory_id: str) -> Inventory | None:
    """Return the committed inventory of that id, or None.

    Raises:
        StateCorruptError: its commit marker is damaged.
    """
    folder = inventory_folder(source, inventory_id)
    marker = read_marker(store, folder)
    if marker is None:
        return None
    try:
        return Inventory(
            inventory_id=inventory_id,
            source=source,
            objects=int(marker["objects"]),
            bytes=int(marker["bytes"]),
            parts=tuple(Part.from_json(part) for part in marker["parts"]),
            requests=int(marker["requests"]),
            listing=str(marker["listing"]),
            digest=str(marker["digest"]),
            started_at=datetime.fromisoformat(marker["started_at"]),
            finished_at=datetime.fromisoformat(marker["finished_at"]),
            run=str(marker["run"]) if "run" in marker else None,
            key_ranges=int(marker.get("key_ranges", 1)),
            place=ListedPlace(str(marker.get("uri", "")), str(marker.get("listed_in", ""))),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StateCorruptError(
            f"The commit marker of {store.location(folder)} lacks or garbles {error}. Restore it from a backup, or delete "
            "the folder and take a new inventory."
        ) from error
