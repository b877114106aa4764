"""The audit: the latest inventory, the ledger and the folders of Encord compared three ways, in bounded memory.

What belongs here is the order of things; the sides are in ``sides.py``, the join in ``join.py``, and what a unit's
items mean in ``match.py``. Why it is done this way: docs/decisions/009-audit.md.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from registration_pipeline.audit.contents import CONTENTS_REQUESTS, ContentsJoin
from registration_pipeline.audit.join import AuditJoin
from registration_pipeline.audit.lookup import LOOKUP_BATCH, Lookup
from registration_pipeline.audit.match import judge_doubt
from registration_pipeline.audit.report import AuditReport, FindingSpool, write_report
from registration_pipeline.audit.sides import bucket_rows, folder_items, ledger_units, open_books
from registration_pipeline.audit.unrecorded import UnrecordedItems
from registration_pipeline.errors import PermanentError
from registration_pipeline.tables.spill import SpillRoom, partitions_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from registration_pipeline.audit.adoption import Adoption
    from registration_pipeline.audit.rows import Doubt, ItemRow
    from registration_pipeline.audit.sides import Books
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.gateway import RegistrationGateway

_Row = TypeVar("_Row")

_ROWS_PER_PROGRESS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLimits:
    """How much an audit holds in memory and asks of Encord.

    Args:
        rows_per_partition: rows of one side in memory at a time.
        lookup_requests: requests for recorded items that no listed folder shows.
        lookup_batch: items per such request.
        contents_requests: groups that nothing else explains and that are opened, one request each.
    """

    rows_per_partition: int = 32_768
    lookup_requests: int = 1_000
    lookup_batch: int = LOOKUP_BATCH
    contents_requests: int = CONTENTS_REQUESTS


def audit_source(
    *,
    store: StateStore,
    source: str,
    gateway: RegistrationGateway,
    retry: RetryPolicy,
    target_folder: str | None,
    clock: Callable[[], datetime],
    adoption: Adoption | None = None,
    progress: Callable[[str, int], None] = lambda _stage, _done: None,
    limits: AuditLimits | None = None,
) -> AuditReport:
    """Compare a source's latest inventory, ledger and folders, and write the report to the state.

    The ledger is read before the folders are listed. So what it calls registered must be there; what appears meanwhile is
    recognised by its chunk's journal.

    Args:
        store: the state.
        source: the source's name.
        gateway: Encord; asked to list folders, to look up items and to open groups, nothing else.
        retry: how calls are repeated.
        target_folder: UUID of the folder that the source's chunks go to, or None if there is none yet.
        clock: gives the aware time.
        adoption: lets the audit take over what the ledger does not know to be registered; None: nothing is taken over.
        progress: called with what is being done and how many rows of it are through.
        limits: memory and requests.

    Raises:
        UsageError: there is no plan or no inventory.
        HaltError: a folder can't be listed.
        StateError: the state or the temporary folder can't be read or written.
    """
    limits = limits or AuditLimits()
    started_at = clock()
    books = open_books(store, source, target_folder)
    with tempfile.TemporaryDirectory(prefix="registration-audit-", ignore_cleanup_errors=True) as folder:
        audit = _Audit(books, gateway, retry, folder=Path(folder), progress=progress, limits=limits)
        facts = audit.run(adoption)
        return write_report(
            store,
            source,
            Path(folder),
            audit.spool.sorted_rows(),
            inventory_id=books.inventory.inventory_id,
            folders=tuple(books.folders()),
            started_at=started_at,
            finished_at=clock(),
            **facts,
        )


class _Audit:
    """One run of an audit."""

    def __init__(
        self,
        books: Books,
        gateway: RegistrationGateway,
        retry: RetryPolicy,
        *,
        folder: Path,
        progress: Callable[[str, int], None],
        limits: AuditLimits,
    ) -> None:
        self._books, self._gateway, self._retry, self._limits = books, gateway, retry, limits
        self._progress = progress
        self._looked_up = self._not_looked_up = 0
        self.spool = FindingSpool(folder)
        room = SpillRoom(folder, partitions_for(self._expected_rows(), limits.rows_per_partition))
        self._contents = ContentsJoin(room, self._open, limits.contents_requests)
        self._join = AuditJoin(books, room, self.spool.add, self._contents)

    def run(self, adoption: Adoption | None) -> dict[str, Any]:
        """Compare, and return what the report says besides its findings."""
        books, join, joined = self._books, self._join, self._join.joined
        join.add_bucket(self._watched("bucket", bucket_rows(books)))
        join.add_ledger(self._watched("ledger", ledger_units(books)))
        for folder_uuid in books.folders():
            join.add_items(self._watched("Encord", folder_items(self._gateway, self._retry, folder_uuid)))
        self._progress("comparison", 0)
        join.match_urls()
        join.match_uuids()
        join.match_claims()
        join.match_contents()
        join.judge()
        self._resolve_doubts()
        unrecorded_items = UnrecordedItems(books, self.spool.add, adoption)
        unrecorded_items.resolve(joined.unrecorded)
        return {
            "units": joined.units,
            "objects": joined.objects,
            "registered_units": joined.registered_units,
            "registered_objects": joined.registered_objects,
            "items": joined.items,
            "under_way": unrecorded_items.under_way,
            "adopted_chunks": unrecorded_items.adopted_chunks,
            "adopted_units": unrecorded_items.adopted_units,
            "adopted_reordered": unrecorded_items.adopted_reordered,
            "partly_present": unrecorded_items.partly_present,
            "opened": self._contents.opened,
            "not_opened": self._contents.not_opened,
            "looked_up": self._looked_up,
            "not_looked_up": self._not_looked_up,
        }

    def _expected_rows(self) -> int:
        planned = sum(chunk.objects for chunk in self._books.chunks.values())
        folders = self._books.folders()
        counts = (
            self._retry.read(f"counting items of folder {one}", partial(self._gateway.count_items, one))
            for one in folders
        )
        return max(planned, sum(counts))

    def _resolve_doubts(self) -> None:
        lookup = Lookup(self._ask, self._limits.lookup_requests, self._limits.lookup_batch)
        for found in self._watched("look-up", lookup.look_up(self._doubts)):
            self._looked_up += found.was_looked_up
            self._not_looked_up += not found.was_looked_up
            home = self._books.home_of(found.doubt.chunk_id)
            finding = judge_doubt(found.doubt, found.folder, home, was_looked_up=found.was_looked_up)
            if finding is not None:
                self.spool.add(finding)

    def _doubts(self) -> Iterator[Doubt]:
        doubts = self._join.joined.doubts
        return (doubt for partition in doubts.partitions for doubt in doubts.read(partition))

    def _ask(self, item_uuids: Sequence[str]) -> dict[str, str] | None:
        return self._retry.read("looking up items", lambda: self._gateway.folders_of_items(item_uuids))

    def _open(self, item: ItemRow) -> list[str | None] | None:
        """Return the URLs of the objects of an item, in their order; None if it is not a group, or can't be seen."""
        what = f"opening item {item.item_uuid}"
        try:
            children = self._retry.call(what, lambda: self._gateway.child_items(item.folder_uuid, item.item_uuid))
        except PermanentError:
            return None  # how Encord answers for an item of another kind is not documented
        return None if children is None else [child.url for child in children]

    def _watched(self, stage: str, rows: Iterable[_Row]) -> Iterator[_Row]:
        self._progress(stage, 0)
        done = 0
        for row in rows:
            yield row
            done += 1
            if done % _ROWS_PER_PROGRESS == 0:
                self._progress(stage, done)
        self._progress(stage, done)
