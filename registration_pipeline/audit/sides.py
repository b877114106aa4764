"""The sides that an audit compares, each as a stream of rows: ledger, bucket and Encord's folders.

What does not belong here: comparing them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.audit.rows import AuditFinding, BucketRow, DifferingUnit, ItemRow, LedgerUnit, Member
from registration_pipeline.bounds.paging import PageProgress
from registration_pipeline.errors import ServiceUnavailableError, UsageError
from registration_pipeline.ids import objects_digest
from registration_pipeline.inventory.inventory import latest_inventory, read_inventory
from registration_pipeline.limits import ARCHIVED_STORAGE_CLASSES
from registration_pipeline.objects import KINDS
from registration_pipeline.planning.ledger import Ledger
from registration_pipeline.planning.schema import KNOWN_SCHEMA
from registration_pipeline.planning.wave import load_chunks, load_waves, read_chunk_units
from registration_pipeline.state.damage import damaged
from registration_pipeline.state.layout import COMMIT_MARKER, inventory_folder
from registration_pipeline.state.parquet import read_parts
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import ChunkProgress
from registration_pipeline.tracking.outcomes import Verdict, read_outcomes
from registration_pipeline.tracking.repairs import AcceptedRepairs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.planning.ledger import LedgerMatch
    from registration_pipeline.planning.wave import PlannedChunk, Wave
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.gateway import RegistrationGateway, RemoteItem

_FIRST_COUNT_AT = 100_000
"""Listed items after which the folder is asked how many it holds, and again when they are twice as many."""

_ARCHIVED = pa.array(sorted(ARCHIVED_STORAGE_CLASSES), pa.string())
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


def ledger_units(books: Books) -> Iterator[LedgerUnit]:
    """Yield every planned unit: those with a verdict from their chunk's outcomes, the others from the plan.

    A unit of a chunk that was never concluded may come in parts.
    """
    not_concluded: dict[str, list[str]] = {}
    for chunk_id, chunk in books.chunks.items():
        verdict = books.progress_of(chunk_id).verdict
        if verdict is None:
            not_concluded.setdefault(chunk.wave_id, []).append(chunk_id)
            continue
        yield from _judged_units(chunk_id, read_outcomes(books.store, books.source, verdict).table)
    for wave in books.waves:
        if wave.wave_id in not_concluded:
            chunks = [books.chunks[chunk_id] for chunk_id in not_concluded[wave.wave_id]]
            yield from _planned_units(books.store, wave, chunks)


def _judged_units(chunk_id: str, outcomes: pa.Table) -> Iterator[LedgerUnit]:
    """Yield the units of a chunk; the outcomes of a unit follow each other, that of its first object first."""
    starts, sizes = _runs(outcomes.column("unit_id").combine_chunks())
    firsts = outcomes if len(starts) == outcomes.num_rows else outcomes.take(starts)
    columns = [firsts.column(name).to_pylist() for name in ("unit_id", "key", "object_url", "verdict", "item_uuid")]
    for unit_id, key, object_url, verdict, item_uuid, objects in zip(*columns, sizes, strict=True):
        is_registered = Verdict(verdict).is_registered
        yield LedgerUnit(
            unit_id, key, object_url, chunk_id, is_registered, item_uuid if is_registered else None, objects
        )


def _planned_units(store: StateStore, wave: Wave, chunks: Sequence[PlannedChunk]) -> Iterator[LedgerUnit]:
    for rows in _plan_rows(store, wave, chunks):
        # A unit's objects may lie apart, and its first one anywhere: each stretch of them is a part.
        starts, sizes = _runs(rows.column("unit_id"), begins=pc.equal(rows.column("position"), 0))
        firsts = rows if len(starts) == rows.num_rows else rows.take(starts)
        columns = [firsts.column(name).to_pylist() for name in _PLAN_COLUMNS]
        for unit_id, key, object_url, chunk_id, position, objects in zip(*columns, sizes, strict=True):
            yield LedgerUnit(unit_id, key, object_url, chunk_id, False, None, objects, position == 0)


def members(books: Books) -> Iterator[Member]:
    """Yield every object of the planned units of kinds that have many."""
    of_waves: dict[str, list[PlannedChunk]] = {}
    for chunk in books.chunks.values():
        if KINDS[chunk.kind].is_group:
            of_waves.setdefault(chunk.wave_id, []).append(chunk)
    for wave in books.waves:
        for rows in _plan_rows(books.store, wave, of_waves.get(wave.wave_id, ())):
            columns = [rows.column(name).to_pylist() for name in _PLAN_COLUMNS]
            for unit_id, key, object_url, chunk_id, position in zip(*columns, strict=True):
                yield Member(unit_id, chunk_id, key, object_url, position)


def objects_digests(books: Books, chunk_id: str, unit_ids: Collection[str]) -> dict[str, str]:
    """Return what some units of a chunk consist of, as ``ids.objects_digest``, by unit id."""
    units = read_chunk_units(books.store, books.source, books.chunks[chunk_id])
    return {
        unit.unit_id: objects_digest(entry.object_url for entry in unit.objects)
        for unit in units
        if unit.unit_id in unit_ids
    }


def _plan_rows(store: StateStore, wave: Wave, chunks: Sequence[PlannedChunk]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of some chunks of a wave: those that are found by key in the order of keys, the others by unit."""
    for is_placed, files in ((False, wave.parts), (True, wave.unit_files)):
        chunk_ids = [chunk.chunk_id for chunk in chunks if (chunk.first_row is not None) is is_placed]
        wanted = pa.array(chunk_ids, pa.string())
        for batch in read_parts(store, files, _PLAN_COLUMNS) if chunk_ids else ():
            rows = batch.filter(pc.is_in(batch.column("chunk_id"), wanted))
            if rows.num_rows:
                yield rows


def _runs(values: pa.Array, begins: pa.BooleanArray | None = None) -> tuple[pa.Array, list[int]]:
    """Return where equal values that follow each other begin, and how many they are.

    Args:
        values: without nulls.
        begins: where true, a value begins another run even if it equals the one before.
    """
    ends = set(pc.run_end_encode(values).run_ends.to_pylist())
    starts = sorted({0, *ends, *(pc.indices_nonzero(begins).to_pylist() if begins is not None else ())} - {len(values)})
    sizes = [end - start for start, end in pairwise([*starts, len(values)])]
    return pa.array(starts, pa.int64()), sizes


def bucket_rows(books: Books) -> Iterator[BucketRow]:
    """Yield the objects of concluded chunks that the latest inventory holds otherwise, archived, or not at all."""
    concluded = pa.array([one.chunk_id for one in books.progress.values() if one.verdict is not None], pa.string())
    ledger = Ledger(books.store, (wave.parts for wave in books.waves))
    repairs = AcceptedRepairs(books.store, books.source, books.progress_of)
    for batch in read_inventory(books.store, books.inventory):
        if batch.num_rows == 0:
            continue
        for match in ledger.match(batch):
            yield from _bucket_rows(repairs.left_out(match.changed), AuditFinding.CHANGED, concluded)
            yield from _bucket_rows(_archived(match), AuditFinding.ARCHIVED, concluded)
            yield from _bucket_rows(match.deleted, AuditFinding.GONE, concluded)
    for deleted in ledger.rest():
        yield from _bucket_rows(deleted, AuditFinding.GONE, concluded)


def _archived(match: LedgerMatch) -> pa.RecordBatch:
    """Return, as ``KNOWN_SCHEMA``, the planned objects that are archived: when they were planned they were not."""
    known = match.rows.filter(match.known)
    is_archived = pc.is_in(known.column("storage_class"), value_set=_ARCHIVED)
    columns = [known.column("key").filter(is_archived), match.chunk_ids.filter(is_archived)]
    return pa.RecordBatch.from_arrays(columns, schema=KNOWN_SCHEMA)


def _bucket_rows(rows: pa.RecordBatch, finding: AuditFinding, concluded: pa.StringArray) -> Iterator[BucketRow]:
    if rows.num_rows == 0:
        return
    rows = rows.filter(pc.is_in(rows.column("chunk_id"), concluded))
    keys, chunk_ids = (rows.column(name).to_pylist() for name in ("key", "chunk_id"))
    yield from (BucketRow(key, chunk_id, finding.value) for key, chunk_id in zip(keys, chunk_ids, strict=True))


def differing_units(books: Books, chunk_id: str, finding: str, keys: Sequence[str]) -> list[DifferingUnit]:
    """Return the registered units of a concluded chunk that some of its objects belong to, each once.

    Args:
        books: plan and journal.
        chunk_id: the chunk.
        finding: what the bucket says of the objects.
        keys: of the objects.
    """
    verdict = books.progress_of(chunk_id).verdict
    assert verdict is not None
    outcomes = read_outcomes(books.store, books.source, verdict).table
    found = outcomes.filter(
        pc.and_(
            pc.is_in(outcomes.column("key"), pa.array(keys, pa.string())),
            pc.not_equal(outcomes.column("verdict"), Verdict.FAILED.value),
        )
    )
    units: dict[str, DifferingUnit] = {}
    columns = [found.column(name).to_pylist() for name in ("unit_id", "key", "object_url")]
    for unit_id, key, object_url in zip(*columns, strict=True):
        known = units.get(unit_id)
        others = 0 if known is None else known.others + 1
        if known is None or key < known.key:
            units[unit_id] = DifferingUnit(unit_id, finding, key, object_url, others)
        else:
            units[unit_id] = known._replace(others=others)
    return list(units.values())


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
            item.item_uuid,
            folder_uuid,
            _text(item.name) or "",
            _text(item.url),
            _text(item.unit_id),
            created_at,
            _text(item.objects),
        )


def _text(value: str | None) -> str | None:
    """Return a foreign text as one that can be written: JSON may hold halves of surrogate pairs."""
    return None if value is None else value.encode("utf-8", "backslashreplace").decode()
