"""Takes, finds and reads inventories: dated listings of a source under a commit marker.

What does not belong here: how a store is listed (``lister.py``), and what an inventory is compared with (``planning/``).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.errors import ListingError, StateCorruptError
from registration_pipeline.ids import is_inventory_id
from registration_pipeline.inventory.claim import claimed_inventory_id
from registration_pipeline.inventory.digest import ListingDigest
from registration_pipeline.inventory.progress import ListingProgress
from registration_pipeline.inventory.schema import DISTINCT_COLUMNS, INVENTORY_SCHEMA
from registration_pipeline.state.layout import inventory_folder
from registration_pipeline.state.markers import FileSet, read_marker
from registration_pipeline.state.parquet import ParquetPartWriter, Part, read_parts
from registration_pipeline.state.version import ensure_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    from registration_pipeline.inventory.lister import ObjectLister
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


def take_inventory(
    *,
    lister: ObjectLister,
    store: StateStore,
    source: str,
    clock: Callable[[], datetime],
    progress: Callable[[ListingProgress], None] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
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
        monotonic: seconds that never go back.

    Raises:
        ListingError: the keys are not strictly increasing.
        HaltError: what the lister raises.
        StateLayoutError: the state was written by another version.
        StateConflictError: it took longer than ``claim.ABANDONED_AFTER`` and another inventory cleared it away.
    """
    started_at = clock().astimezone(UTC)
    ensure_layout(store, source, started_at)
    last = latest_inventory(store, source) if progress else None
    reporter = _ProgressReporter(lister, progress, monotonic, expected=last.objects if last else None)
    with claimed_inventory_id(store, source, started_at) as inventory_id:
        files = FileSet(store, inventory_folder(source, inventory_id))
        parts, totals = _write_listing(lister, files, reporter)
        inventory = Inventory(
            inventory_id=inventory_id,
            source=source,
            objects=totals.objects,
            bytes=totals.bytes,
            parts=parts,
            requests=lister.requests,
            listing=lister.description,
            digest=totals.digest.hexdigest(),
            started_at=started_at,
            finished_at=clock().astimezone(UTC),
        )
        files.commit(_to_json(inventory))
    return inventory


def _write_listing(
    lister: ObjectLister, files: FileSet, reporter: _ProgressReporter
) -> tuple[tuple[Part, ...], _Totals]:
    totals = _Totals(lister)
    with ParquetPartWriter(files, INVENTORY_SCHEMA, distinct=DISTINCT_COLUMNS) as writer:
        for batch in lister.list_objects():
            totals.add(batch)
            writer.write(batch)
            reporter.report(totals.objects)
        return writer.finish(), totals


def latest_inventory(store: StateStore, source: str) -> Inventory | None:
    """Return the newest committed inventory of a source, or None."""
    return next(_newest_first(store, source), None)


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
        inventory = _read(store, source, inventory_id)
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


class _ProgressReporter:
    """Reports a listing's progress to the callback."""

    def __init__(
        self,
        lister: ObjectLister,
        progress: Callable[[ListingProgress], None] | None,
        monotonic: Callable[[], float],
        *,
        expected: int | None,
    ) -> None:
        self._lister, self._progress, self._monotonic, self._expected = lister, progress, monotonic, expected
        self._began = monotonic()

    def report(self, objects: int) -> None:
        if self._progress is not None:
            seconds = self._monotonic() - self._began
            requests, expected = self._lister.requests, self._expected
            self._progress(ListingProgress(objects=objects, requests=requests, seconds=seconds, expected=expected))


class _Totals:
    """Counts what is listed, and refuses keys that don't strictly increase over the whole listing.

    A store that returns a page twice or out of order would have objects registered twice, or counted as deleted.
    """

    def __init__(self, lister: ObjectLister) -> None:
        self._listing = lister.description
        self._last_key: str | None = None
        self.objects = 0
        self.bytes = 0
        self.digest = ListingDigest()

    def add(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows == 0:
            return
        keys = batch.column("key")
        first = keys[0].as_py()
        if self._last_key is not None and not self._last_key < first:
            raise self._disorder(self._last_key, first)
        # Arrow compares the UTF-8 bytes, which is also the order of code points that Python compares by.
        increasing = pc.less(keys.slice(0, len(keys) - 1), keys.slice(1))
        if not pc.all(increasing, min_count=0).as_py():
            fault = pc.index(increasing, pa.scalar(value=False)).as_py()
            raise self._disorder(keys[fault].as_py(), keys[fault + 1].as_py())
        self._last_key = keys[-1].as_py()
        self._check_sizes(batch)
        self.digest.add(batch)
        self.objects += batch.num_rows
        self.bytes += pc.sum(batch.column("size")).as_py()

    def _check_sizes(self, batch: pa.RecordBatch) -> None:
        sizes = batch.column("size")
        if pc.min(sizes).as_py() >= 0:
            return
        row = pc.index(pc.less(sizes, 0), pa.scalar(value=True)).as_py()
        raise ListingError(
            f"{self._listing} gives {batch.column('key')[row].as_py()!r} a size of {sizes[row].as_py():,} bytes, which no "
            "object has. Nothing was recorded. Run again; if it happens again, the store's listing can't be relied on: write "
            "that object again, or ask the store's vendor."
        )

    def _disorder(self, previous: str, following: str) -> ListingError:
        what = "lists the key twice" if previous == following else "does not list in key order"
        return ListingError(
            f"{self._listing} {what}: {following!r} comes after {previous!r}. Nothing was recorded. Run again; if it "
            "happens again, the store's listing can't be relied on (S3 directory buckets, for one, have no order): move "
            "the objects to a general purpose bucket."
        )


def _to_json(inventory: Inventory) -> dict[str, Any]:
    return {
        "inventory_id": inventory.inventory_id,
        "source": inventory.source,
        "objects": inventory.objects,
        "bytes": inventory.bytes,
        "requests": inventory.requests,
        "listing": inventory.listing,
        "digest": inventory.digest,
        "started_at": inventory.started_at.isoformat(),
        "finished_at": inventory.finished_at.isoformat(),
        "parts": [part.to_json() for part in inventory.parts],
    }


def _read(store: StateStore, source: str, inventory_id: str) -> Inventory | None:
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
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StateCorruptError(
            f"The commit marker of {store.location(folder)} lacks or garbles {error}. Restore it from a backup, or delete "
            "the folder and take a new inventory."
        ) from error
