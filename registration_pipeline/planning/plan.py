"""Plans an inventory: finds what no wave has planned yet, cuts it into chunks and commits that as a new wave.

What does not belong here: the single decisions (``decision.py``), cutting (``chunking.py``) and committing
(``lineage.py``).
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.errors import StateConflictError, StateCorruptError, UsageError
from registration_pipeline.ids import unit_id
from registration_pipeline.inventory.inventory import latest_inventory, read_inventory
from registration_pipeline.limits import MANIFEST_LIMITS, EncordPlan
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.chunking import ChunkCutter
from registration_pipeline.planning.decision import Decider, Decision, digest_rules
from registration_pipeline.planning.history import PlanHistory, compact, load_history
from registration_pipeline.planning.ledger import Ledger, LedgerMatch
from registration_pipeline.planning.lineage import commit_wave, discard_uncommitted, restore_markers
from registration_pipeline.planning.schema import PLAN_SCHEMA
from registration_pipeline.planning.suffixes import SuffixCounts
from registration_pipeline.planning.titles import TitleWriter, kept_key
from registration_pipeline.planning.wave import PlanCounts, PlannedChunk, Wave, read_chunks
from registration_pipeline.planning.wave_writer import DryRunWriter, StateWaveWriter, WaveFiles, WaveWriter
from registration_pipeline.state.damage import damaged
from registration_pipeline.state.layout import COMMIT_MARKER, inventory_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime

    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore

_MOST_ATTEMPTS: Final = 5
"""How often a plan is made again because another planner committed first. Each time there is one more wave."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a planning run comes to.

    Args:
        wave: what it added.
        chunks: the chunks of that wave, in the order of their first keys.
        history: all that was planned so far; for a dry run without the wave.
        created: False if the wave existed already, and for a dry run.
    """

    wave: Wave
    chunks: tuple[PlannedChunk, ...]
    history: PlanHistory
    created: bool


def plan_source(
    *,
    store: StateStore,
    source: SourceSettings,
    clock: Callable[[], datetime],
    inventory: Inventory | None = None,
    limits: ManifestLimits = MANIFEST_LIMITS[EncordPlan.ENTERPRISE],
    dry_run: bool = False,
    compacts: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Plan:
    """Put every eligible object of an inventory that is in no chunk yet into exactly one.

    Planning the same inventory again under the same rules returns the wave that is there. A crash at any point leaves
    either nothing that counts or the whole wave; planning again gives the same chunks.

    Args:
        store: the state.
        source: its rules.
        clock: for ``planned_at``.
        inventory: what to plan; the latest one by default.
        limits: what Encord accepts in one manifest.
        dry_run: decide and count, but write nothing.
        compacts: write the compacted ledger afterwards; without, later nights read more files.
        progress: called with the number of objects read so far.

    Raises:
        UsageError: there is no inventory, or it is older than one that is planned already.
        StateConflictError: other planners committed first, again and again.
        StateCorruptError: a committed file is missing or unreadable.
    """
    digest, is_trusted = digest_rules(source), True
    for _ in range(_MOST_ATTEMPTS):
        history = _whole_history(store, source.name, is_trusted=is_trusted, restores=not dry_run)
        # Looked up after the waves: another sync may commit a later inventory and plan it at any moment.
        planned = inventory or _newest_inventory(store, source.name, history.latest)
        existing = _existing_wave(store, history, planned, digest)
        if existing is not None:
            return Plan(existing, tuple(read_chunks(store, existing.chunk_files)), history, created=False)
        run = _PlanningRun(store, source, planned, history, limits=limits, progress=progress)
        try:
            carried = _carried_over(history, planned, digest, planned_at=clock())
            wave = carried or run.plan(digest, clock, dry_run=dry_run)
        except StateCorruptError:
            if not history.is_compacted:
                raise
            is_trusted = False  # its files are damaged, or two other planners have replaced it meanwhile
            continue
        if dry_run:
            return Plan(wave, run.chunks, history, created=False)
        if commit_wave(store, wave, history.number + 1):
            discard_uncommitted(store, history, wave)
            history = history.followed_by(wave)
            return Plan(
                wave, run.chunks, compact(store, history, history.number) if compacts else history, created=True
            )
    raise StateConflictError(
        f"Other planning runs of source {source.name} committed first, {_MOST_ATTEMPTS} times in a row. Let them finish, "
        "then run again"
    )


def _whole_history(store: StateStore, source: str, *, is_trusted: bool, restores: bool) -> PlanHistory:
    history = load_history(store, source, is_trusted=is_trusted)
    if restores:
        restore_markers(store, history)
    return history


@dataclass(slots=True)
class _Tally:
    """The counts of a planning run so far."""

    objects: int = 0
    held: int = 0
    known: int = 0
    new: int = 0
    changed: int = 0
    deleted: int = 0
    rejected_by_reason: Counter[str] = field(default_factory=Counter)
    suffixes: SuffixCounts = field(default_factory=SuffixCounts)
    excluded_by_rule: Counter[str] = field(default_factory=Counter)

    def add(self, match: LedgerMatch, decision: Decision) -> None:
        self.objects += match.rows.num_rows
        self.known += pc.sum(match.known, min_count=0).as_py()
        self.changed += match.changed.num_rows
        self.deleted += match.deleted.num_rows
        self.held += decision.held
        self.new += decision.eligible.num_rows
        self.rejected_by_reason.update(decision.rejected_by_reason)
        self.suffixes.add(decision.unsupported)
        self.excluded_by_rule.update(decision.excluded_by_rule)

    def counts(self) -> PlanCounts:
        return PlanCounts(
            objects=self.objects,
            excluded=self.excluded_by_rule.total(),
            rejected=self.rejected_by_reason.total(),
            held=self.held,
            known=self.known,
            new=self.new,
            changed=self.changed,
            deleted=self.deleted,
            rejected_by_reason=dict(sorted(self.rejected_by_reason.items())),
            rejected_suffixes=self.suffixes.result(),
            excluded_by_rule=dict(sorted(self.excluded_by_rule.items())),
        )


class _PlanningRun:
    """One pass over an inventory against the waves that are committed."""

    def __init__(
        self,
        store: StateStore,
        source: SourceSettings,
        inventory: Inventory,
        history: PlanHistory,
        *,
        limits: ManifestLimits,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._store, self._source, self._inventory, self._progress = store, source, inventory, progress
        self._wave_id = _next_wave_id(history, inventory.inventory_id)
        self._runs = history.runs
        self._titles = TitleWriter(source)
        self._decider = Decider(source, inventory.started_at)
        self._cutter = ChunkCutter(self._wave_id, {kind: source.chunk_size.of(kind) for kind in MediaKind}, limits)
        self._tally = _Tally()
        self.chunks: tuple[PlannedChunk, ...] = ()

    def plan(self, rules_digest: str, clock: Callable[[], datetime], *, dry_run: bool) -> Wave:
        """Decide about every object, write the wave's files unless it is a dry run, and return the wave."""
        writer: AbstractContextManager[WaveWriter] = (
            nullcontext(DryRunWriter()) if dry_run else StateWaveWriter(self._store, self._source.name, self._wave_id)
        )
        with writer as opened:
            files = self._write(opened)
        return self._wave(rules_digest, files, planned_at=clock())

    def _write(self, writer: WaveWriter) -> WaveFiles:
        ledger = Ledger(self._store, self._runs)
        for batch in read_inventory(self._store, self._inventory):
            if batch.num_rows == 0:
                continue
            for match in ledger.match(batch):
                self._write_match(writer, match)
            if self._progress is not None:
                self._progress(self._tally.objects)
        for deleted in ledger.rest():
            writer.write_deleted(deleted)
            self._tally.deleted += deleted.num_rows
        files = writer.finish(self._cutter.finish())
        self.chunks = files.chunks
        return files

    def _wave(self, rules_digest: str, files: WaveFiles, *, planned_at: datetime) -> Wave:
        return Wave(
            wave_id=self._wave_id,
            source=self._source.name,
            inventory_id=self._inventory.inventory_id,
            rules_digest=rules_digest,
            listing_digest=self._inventory.digest,
            counts=self._tally.counts(),
            parts=files.parts,
            part_first_keys=files.part_first_keys,
            unit_files=files.unit_files,
            chunk_files=files.chunk_files,
            rejected_files=files.rejected_files,
            changed_files=files.changed_files,
            deleted_files=files.deleted_files,
            planned_at=planned_at,
        )

    def _write_match(self, writer: WaveWriter, match: LedgerMatch) -> None:
        decision = self._decider.decide(match.rows.filter(pc.invert(match.known)))
        self._tally.add(match, decision)
        writer.write_new(self._plan_rows(decision))
        writer.write_rejected(decision.rejected)
        writer.write_changed(match.changed)
        writer.write_deleted(match.deleted)

    def _plan_rows(self, decision: Decision) -> pa.RecordBatch:
        rows, name, place = decision.eligible, self._source.name, self._cutter.place
        keys: list[str] = rows.column("key").to_pylist()
        unit_ids = [unit_id(name, kind, key) for kind, key in zip(decision.kinds, keys, strict=True)]
        titles = self._titles.of_objects(keys, unit_ids)
        metadata: list[str | None] = [None] * len(keys)
        for row in titles.shortened:
            metadata[row] = kept_key(keys[row]) if decision.kinds[row] is not MediaKind.NIFTI else None
        places = [
            place(kind, key, key, size=size, url_bytes=len(url), metadata_bytes=len(kept.encode()) if kept else 0)
            for kind, key, size, url, kept in zip(
                decision.kinds, keys, rows.column("size").to_pylist(), decision.urls, metadata, strict=True
            )
        ]
        return pa.RecordBatch.from_arrays(
            [
                rows.column("key"),
                pa.array([chunk_id for chunk_id, _ in places], pa.string()),
                pa.array(decision.kinds, pa.string()),
                pa.array([unit_index for _, unit_index in places], pa.int32()),
                pa.repeat(pa.scalar(0, pa.int32()), len(keys)),
                pa.array(unit_ids, pa.string()),
                pa.array(titles.texts, pa.string()),
                pa.array(decision.urls, pa.string()),
                rows.column("size"),
                rows.column("last_modified"),
                rows.column("e_tag"),
                rows.column("version"),
                pa.nulls(len(keys), pa.string()),
                pa.array(metadata, pa.string()),
                pa.nulls(len(keys), pa.string()),
            ],
            schema=PLAN_SCHEMA,
        )


def _newest_inventory(store: StateStore, source: str, latest: Wave | None) -> Inventory:
    inventory = latest_inventory(store, source)
    if latest is not None and (inventory is None or inventory.inventory_id < latest.inventory_id):
        missing = inventory_folder(source, latest.inventory_id) + COMMIT_MARKER
        raise damaged(store, missing, f"is missing, though wave {latest.wave_id} planned its inventory")
    if inventory is None:
        raise UsageError(
            f"Source {source} has no inventory to plan: run `registration-pipeline inventory {source}` first"
        )
    return inventory


def _existing_wave(store: StateStore, history: PlanHistory, inventory: Inventory, digest: str) -> Wave | None:
    """Return the wave that planning this inventory under these rules gave, if it is still the last word."""
    last = history.last_wave_of(store, inventory.inventory_id)
    if last is not None and last.rules_digest == digest:
        return last
    if history.latest is not None and history.latest.inventory_id > inventory.inventory_id:
        raise UsageError(
            f"Inventory {inventory.inventory_id} of source {inventory.source} is older than "
            f"{history.latest.inventory_id}, which is planned already: plan the latest inventory"
        )
    return None


def _carried_over(
    history: PlanHistory, inventory: Inventory, rules_digest: str, *, planned_at: datetime
) -> Wave | None:
    """Return the wave of an inventory that holds the same rows as the one planned last, without reading either.

    Whatever was new then is known now, and nothing else can be another: the same objects meet the same rules. Only those
    that were held back for their age must be checked again. The census files are shared.
    """
    last = history.latest
    if last is None or last.counts.held or last.rules_digest != rules_digest:
        return None
    if last.listing_digest != inventory.digest:
        return None
    return replace(
        last,
        wave_id=_next_wave_id(history, inventory.inventory_id),
        inventory_id=inventory.inventory_id,
        counts=replace(last.counts, known=last.counts.known + last.counts.new, new=0),
        parts=(),
        part_first_keys=(),
        unit_files=(),
        group_files=(),
        chunk_files=(),
        planned_at=planned_at,
    )


def _next_wave_id(history: PlanHistory, inventory_id: str) -> str:
    again = len(history.waves_of(inventory_id))
    return inventory_id if again == 0 else f"{inventory_id}-{again + 1}"
