"""Lists what may have changed since a report, folder by folder, and merges it into the report's rows.

What does not belong here: reading reports (``lister.py``) and how a store lists a folder (``inventory/s3/folder_probe.py``).

A folder is what lies between two slashes of a key. A folder is live if it holds, itself or below it, an object that was
written shortly before the report's snapshot; the source itself always is. Live folders are listed again one by one, folders in
them that the report does not know are listed in full, and all others are copied from the report.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.inventory.schema import BATCH_ROWS, INVENTORY_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from registration_pipeline.inventory.lister import ObjectLister

_CHECK_ROWS = 2_048
"""Rows of the report that are compared at a time: most folders are small."""

LIVE_WINDOW = timedelta(days=7)
"""How long before the snapshot a folder must have been written to, to count as still being written to."""


class FolderPage(NamedTuple):
    """A part of one folder's listing.

    Args:
        objects: what lies directly in the folder, a batch of ``INVENTORY_SCHEMA``.
        folders: the folders in it, as whole prefixes ending in ``/``.
    """

    objects: pa.RecordBatch
    folders: tuple[str, ...]


class FolderProbe(Protocol):
    """Lists one folder without what lies below its folders."""

    @property
    def requests(self) -> int:
        """How many requests were made so far."""

    def pages(self, folder: str) -> Iterator[FolderPage]:
        """Yield the folder's objects and folders, together in key order over all pages.

        Raises:
            HaltError: it can't be listed.
        """


class TopUp:
    """Replaces the rows of live folders by what the store says now.

    Memory holds the names of the live folders, a page of the listing and a batch of the report.

    Args:
        probe: lists one folder.
        lister_of: returns a lister of everything below a prefix.
        prefix: the source's.
        window: how long before the snapshot counts as shortly.
    """

    def __init__(
        self,
        probe: FolderProbe,
        lister_of: Callable[[str], ObjectLister],
        prefix: str = "",
        *,
        window: timedelta = LIVE_WINDOW,
    ) -> None:
        self._probe, self._lister_of, self._prefix, self._window = probe, lister_of, prefix, window
        self._live: set[str] = {prefix}
        self._since: datetime | None = None
        self._listers: list[ObjectLister] = []
        self._probed = 0

    @property
    def requests(self) -> int:
        """How many requests were made so far."""
        return self._probe.requests + sum(lister.requests for lister in self._listers)

    @property
    def description(self) -> str:
        """What was listed on top of the report."""
        if not self._probed:
            return "what changed since to be listed"
        return f"{self._probed:,} live folders and {len(self._listers):,} new ones listed since"

    def begin(self, snapshot_at: datetime) -> None:
        """Set the time of the report, before its rows are seen."""
        self._since = snapshot_at - self._window
        self._live = {self._prefix}

    def see(self, rows: pa.RecordBatch) -> None:
        """Take in rows of the report, in any order, and remember which folders are live."""
        assert self._since is not None, "begin comes first"
        is_late = pc.greater_equal(rows.column("last_modified"), pa.scalar(self._since, pa.timestamp("us", tz="UTC")))
        for key in rows.column("key").filter(is_late).to_pylist():
            folder = key[: key.rfind("/") + 1]
            while len(folder) > len(self._prefix) and folder not in self._live:
                self._live.add(folder)
                folder = folder[: folder.rfind("/", 0, -1) + 1]

    def merged(self, report: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the report's rows with those of live and new folders as they are now, in strictly increasing key order.

        Args:
            report: its rows by key.

        Raises:
            HaltError: a folder can't be listed.
        """
        rows = _ReportRows(report)
        joined = _Joined()
        for found in self._walk(self._prefix):
            if isinstance(found, str):
                known = False
                for part in rows.below(found):
                    known = True
                    yield from joined.add(part)
                if not known:
                    lister = self._lister_of(found)
                    self._listers.append(lister)
                    for batch in lister.list_objects():
                        yield from joined.add(batch)
            else:
                yield from joined.add(found)
        yield from joined.rest()

    def _walk(self, folder: str) -> Iterator[pa.RecordBatch | str]:
        """Yield objects of live folders and the prefixes of all others, in key order."""
        pending = [self._items(folder)]
        while pending:
            item = next(pending[-1], None)
            if item is None:
                pending.pop()
            elif isinstance(item, str) and item in self._live:
                pending.append(self._items(item))
            else:
                yield item

    def _items(self, folder: str) -> Iterator[pa.RecordBatch | str]:
        self._probed += 1
        for page in self._probe.pages(folder):
            keys, start = page.objects.column("key"), 0
            for below in page.folders:
                # No key lies between a folder and what is in it, so objects up to its name come before all of that.
                count = pc.sum(pc.less(keys, below)).as_py() or 0
                if count > start:
                    yield page.objects.slice(start, count - start)
                start = count
                yield below
            if start < len(keys):
                yield page.objects.slice(start)


class _ReportRows:
    """The report's rows, from which the rows below one prefix after the other are read, in key order."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = (
            batch.slice(start, _CHECK_ROWS) for batch in batches for start in range(0, batch.num_rows, _CHECK_ROWS)
        )
        self._batch: pa.RecordBatch | None = None

    def below(self, prefix: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows below a prefix; rows before it are passed over."""
        while (batch := self._current()) is not None:
            keys = batch.column("key")
            before = pc.sum(pc.less(keys, prefix)).as_py() or 0
            is_below = pc.starts_with(keys.slice(before), prefix)
            count = pc.sum(is_below).as_py() or 0
            if count:
                yield batch.slice(before, count)
            self._batch = batch.slice(before + count)
            if self._batch.num_rows:
                return

    def _current(self) -> pa.RecordBatch | None:
        if self._batch is None or self._batch.num_rows == 0:
            self._batch = next(self._batches, None)
        return self._batch


class _Joined:
    """Puts small batches together: a folder may hold one object."""

    def __init__(self) -> None:
        self._parts: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        self._parts.append(batch)
        self._rows += batch.num_rows
        if self._rows >= BATCH_ROWS:
            yield from self.rest()

    def rest(self) -> Iterator[pa.RecordBatch]:
        table = pa.Table.from_batches(self._parts, INVENTORY_SCHEMA).combine_chunks()
        self._parts, self._rows = [], 0
        yield from table.to_batches(max_chunksize=BATCH_ROWS)
