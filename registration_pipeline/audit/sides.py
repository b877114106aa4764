"""The sides that an audit compares, each as a stream of rows: ledger, bucket and Encord's folders.

What does not belong here: comparing them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.audit.rows import AuditFinding, BucketRow, ItemRow, LedgerRow
from registration_pipeline.bounds.paging import PageProgress
from registration_pipeline.errors import ServiceUnavailableError, UsageError
from registration_pipeline.inventory.inventory import latest_inventory, read_inventory
from registration_pipeline.planning.ledger import Ledger
from registration_pipeline.planning.wave import load_chunks, load_waves
from registration_pipeline.state.damage import damaged
from registration_pipeline.state.layout import COMMIT_MARKER, inventory_folder
from registration_pipeline.state.parquet import read_parts
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import ChunkProgress
from registration_pipeline.tracking.outcomes import read_outcomes
from registration_pipeline.tracking.repairs import AcceptedRepairs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.planning.wave import PlannedChunk, Wave
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.gateway import RegistrationGateway, RemoteItem
    from registration_pipeline.tracking.outcomes import Outcome

_FIRST_COUNT_AT = 100_000
"""Listed items after which the folder is asked how many it holds, and again when they are twice as many."""

_PLAN_COLUMNS = ("unit_id", "key", "object_url", "chunk_id", "position")


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Plan, journal and inventory of a source at one moment.

    Args:
        chunks: every planned chunk.
        progress: the state of each; chunks that were never attempted are not in it.
        target_folder: the folder that the source's chunks go to from now on, if it exists.
    """

    store: StateStore
    source: str
    inventory: Inventory
    waves: Sequence[Wave]
    chunks: Mapping[str, PlannedChunk]
    progress: Mapping[str, ChunkProgress]
    target_folder: str | None

    def home_of(self, chunk_id: str) -> str | None:
        """Return the folder of a chunk: that of its first intent, for ever."""
        first = self.progress_of(chunk_id).first_intent
        return (first.folder_uuid if first else None) or self.target_folder

    def progress_of(self, chunk_id: str) -> ChunkProgress:
        """Return the state that a chunk had."""
        return self.progress.get(chunk_id) or ChunkProgress(chunk_id=chunk_id)

    def folders(self) -> list[str]:
        """Return every folder that holds, or will hold, items of the source."""
        first = (progress.first_intent for progress in self.progress.values())
        found = {self.target_folder, *(intent.folder_uuid for intent in first if intent)}
        return sorted(folder for folder in found if folder)


def open_books(store: StateStore, source: str, target_folder: str | None) -> Books:
    """Read what is small: waves, chunks and journals.

    Raises:
        UsageError: there is no plan or no inventory.
        StateCorruptError: a file is damaged, or the marker of the inventory that was planned last is missing.
    """
    waves, inventory = load_waves(store, source), latest_inventory(store, source)
    if not waves or inventory is None:
        raise UsageError(
            f"Source {source!r} has no {'plan' if inventory else 'inventory'} to compare with: run `registration-pipeline "
            f"inventory {source}` and `registration-pipeline plan {source}` first. Neither sends anything."
        )
    if inventory.inventory_id < waves[-1].inventory_id:
        missing = inventory_folder(source, waves[-1].inventory_id) + COMMIT_MARKER
        raise damaged(store, missing, f"is missing, though wave {waves[-1].wave_id} planned its inventory")
    return Books(
        store=store,
        source=source,
        inventory=inventory,
        waves=waves,
        chunks=load_chunks(store, source, waves),
        progress={progress.chunk_id: progress for progress in Journal(store, source).all_progress()},
        target_folder=target_folder,
    )


def ledger_rows(books: Books) -> Iterator[LedgerRow]:
    """Yield every planned object: those with a verdict from their chunk's outcomes, the others from the plan."""
    not_attempted: dict[str, list[str]] = {}
    for chunk_id, chunk in books.chunks.items():
        verdict = books.progress_of(chunk_id).verdict
        if verdict is None:
            not_attempted.setdefault(chunk.wave_id, []).append(chunk_id)
            continue
        yield from _judged_rows(chunk_id, read_outcomes(books.store, books.source, verdict))
    for wave in books.waves:
        if wave.wave_id in not_attempted:
            yield from _planned_rows(books.store, wave, pa.array(not_attempted[wave.wave_id], pa.string()))


def _judged_rows(chunk_id: str, outcomes: Iterable[Outcome]) -> Iterator[LedgerRow]:
    """Yield the rows of a chunk; the outcomes of a unit follow each other, that of its first object first."""
    before: str | None = None
    for outcome in outcomes:
        is_registered, unit_id = outcome.verdict.is_registered, outcome.unit_id
        item_uuid = outcome.item_uuid if is_registered else None
        is_first, before = unit_id != before, unit_id
        yield LedgerRow(unit_id, outcome.key, outcome.object_url, chunk_id, is_registered, item_uuid, is_first)


def _planned_rows(store: StateStore, wave: Wave, chunk_ids: pa.Array) -> Iterator[LedgerRow]:
    for batch in read_parts(store, wave.parts, _PLAN_COLUMNS):
        rows = batch.filter(pc.is_in(batch.column("chunk_id"), chunk_ids))
        columns = [column.to_pylist() for column in rows.columns]
        for unit_id, key, object_url, chunk_id, position in zip(*columns, strict=True):
            yield LedgerRow(unit_id, key, object_url, chunk_id, False, None, position == 0)


def bucket_rows(books: Books) -> Iterator[BucketRow]:
    """Yield the planned objects that the latest inventory holds otherwise, or not at all."""
    ledger = Ledger(books.store, (wave.parts for wave in books.waves))
    repairs = AcceptedRepairs(books.store, books.source, books.progress_of)
    for batch in read_inventory(books.store, books.inventory):
        if batch.num_rows == 0:
            continue
        for match in ledger.match(batch):
            yield from _keys(repairs.left_out(match.changed), AuditFinding.CHANGED)
            yield from _keys(match.deleted, AuditFinding.GONE)
    for deleted in ledger.rest():
        yield from _keys(deleted, AuditFinding.GONE)


def _keys(rows: pa.RecordBatch, finding: AuditFinding) -> Iterator[BucketRow]:
    return (BucketRow(key, finding.value) for key in rows.column("key").to_pylist())


def folder_items(gateway: RegistrationGateway, retry: RetryPolicy, folder_uuid: str) -> Iterator[ItemRow]:
    """Yield the items of a folder, oldest first; a page that fails is asked for again, not the whole listing.

    Raises:
        ServiceUnavailableError: the listing does not end.
    """
    token: str | None = None
    pages, listed, checked_at = PageProgress(), 0, _FIRST_COUNT_AT
    while True:
        page = retry.read(
            f"listing folder {folder_uuid}",
            lambda token=token: gateway.items_page(folder_uuid, token),  # type: ignore[misc]
        )
        yield from _item_rows(folder_uuid, page.items)
        token, listed = page.next_token, listed + len(page.items)
        if token is None:
            return
        first = page.items[0].item_uuid if page.items else None
        problem = pages.problem_with(token, is_empty=not (page.items or page.deleted), first=first)
        if listed >= checked_at:
            count = retry.read(f"counting items of folder {folder_uuid}", lambda: gateway.count_items(folder_uuid))
            if listed > 2 * count + _FIRST_COUNT_AT:
                problem = problem or f"it gave {listed:,} items, and the folder says that it holds {count:,}"
            checked_at = 2 * listed
        if problem:
            raise ServiceUnavailableError(
                f"Encord's listing of folder {folder_uuid} does not end: {problem}. Nothing was changed. Run again; if it "
                "happens again, ask Encord about the folder."
            )


def _item_rows(folder_uuid: str, items: Iterable[RemoteItem]) -> Iterator[ItemRow]:
    for item in items:
        created_at = int(item.created_at.timestamp() * 1_000_000)
        yield ItemRow(
            item.item_uuid, folder_uuid, _text(item.name) or "", _text(item.url), _text(item.unit_id), created_at
        )


def _text(value: str | None) -> str | None:
    """Return a foreign text as one that can be written: JSON may hold halves of surrogate pairs."""
    return None if value is None else value.encode("utf-8", "backslashreplace").decode()
