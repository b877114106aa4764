"""One pass over an inventory: every object against the ledger, decided, placed and counted.

What does not belong here: whether a pass is needed, and committing what it comes to (``plan.py``).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pyarrow.compute as pc

from registration_pipeline.counted import counted
from registration_pipeline.inventory.inventory import read_inventory
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.chunking import ChunkCutter
from registration_pipeline.planning.counts import PlanCounts
from registration_pipeline.planning.decision import Decider, Decision
from registration_pipeline.planning.grouping.grouping import Grouping, GroupingTotals
from registration_pipeline.planning.grouping.headers import Headers
from registration_pipeline.planning.ledger import Ledger, LedgerMatch
from registration_pipeline.planning.nothing_included import nothing_included
from registration_pipeline.planning.object_facts import ObjectFacts
from registration_pipeline.planning.schema import PLAN_SCHEMA, REJECTED_SCHEMA
from registration_pipeline.planning.single_units import SingleUnits
from registration_pipeline.planning.suffixes import SuffixCounts
from registration_pipeline.planning.touched_units import TouchedUnits
from registration_pipeline.planning.warnings import Noted, PlanWarnings, WarningList
from registration_pipeline.planning.wave import PlannedChunk, Wave
from registration_pipeline.planning.wave_writer import DryRunWriter, StateWaveWriter, WaveFiles, WaveWriter
from registration_pipeline.state.temporary import temporary_space
from registration_pipeline.tables.key_order import KeyOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    import pyarrow as pa

    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.planning.object_facts import PlanFacts
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore


@dataclass(slots=True)
class _Tally:
    """The counts of a planning run so far."""

    objects: int = 0
    held: int = 0
    held_units: int = 0
    known: int = 0
    new: int = 0
    changed: int = 0
    deleted: int = 0
    rejected_by_reason: Counter[str] = field(default_factory=Counter)
    unread: Noted = field(default_factory=Noted)
    suffixes: SuffixCounts = field(default_factory=SuffixCounts)
    excluded_by_rule: Counter[str] = field(default_factory=Counter)
    not_included: tuple[str, str] | None = None

    def add(self, match: LedgerMatch, decision: Decision) -> None:
        self.objects += match.rows.num_rows
        self.known += pc.sum(match.known, min_count=0).as_py()
        self.changed += match.changed.num_rows
        self.deleted += match.deleted.num_rows
        self.held += decision.held
        self.held_units += decision.held
        self.new += decision.eligible.num_rows
        self.rejected_by_reason.update(decision.rejected_by_reason)
        self.unread.add(decision.unread.first, decision.unread.count)
        self.suffixes.add(decision.unsupported)
        self.excluded_by_rule.update(decision.excluded_by_rule)
        self.not_included = self.not_included or decision.not_included

    def add_members(self, totals: GroupingTotals) -> None:
        self.held += totals.held
        self.held_units += totals.held_units
        self.new += totals.new
        self.rejected_by_reason.update(totals.rejected_by_reason)

    def counts(self, *, changed_units: int, deleted_units: int) -> PlanCounts:
        return PlanCounts(
            objects=self.objects,
            excluded=self.excluded_by_rule.total(),
            rejected=self.rejected_by_reason.total(),
            held=self.held,
            held_units=self.held_units,
            known=self.known,
            new=self.new,
            changed=self.changed,
            deleted=self.deleted,
            changed_units=changed_units,
            deleted_units=deleted_units,
            rejected_by_reason=dict(sorted(self.rejected_by_reason.items())),
            rejected_suffixes=self.suffixes.result(),
            excluded_by_rule=dict(sorted(self.excluded_by_rule.items())),
        )


class PlanningRun:
    """One pass over an inventory against the waves that are committed.

    Args:
        store: the state.
        source: its rules.
        inventory: what is planned.
        history: all that was planned so far.
        wave_id: of the wave that this pass makes.
        groupings: digests of the rules of grouping that planned the source, today's included.
        checks_known: whether planned objects may be members by today's rules of units that are not planned.
        is_regrouped: whether today's rules of grouping plan the source for the first time, and others planned it before.
        facts: what is known of objects beyond their listing.
        limits: what Encord accepts in one manifest.
        progress: called with the number of objects read so far.
    """

    def __init__(
        self,
        store: StateStore,
        source: SourceSettings,
        inventory: Inventory,
        history: PlanHistory,
        *,
        wave_id: str,
        groupings: Sequence[str],
        checks_known: bool,
        is_regrouped: bool,
        facts: PlanFacts,
        limits: ManifestLimits,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._store, self._source, self._inventory, self._progress = store, source, inventory, progress
        self._history, self._wave_id, self._groupings = history, wave_id, tuple(groupings)
        self._checks_known, self._facts, self._limits = checks_known, facts, limits
        self._is_regrouped = is_regrouped
        self._headers = None if facts.headers is None else Headers(store, facts.headers)
        self._object_facts = ObjectFacts(store, source, facts)
        self._decider = Decider(source, inventory.started_at, limits=limits, wave_id=wave_id)
        sizes = {kind: source.chunk_size.of(kind) for kind in MediaKind}
        self._cutter = ChunkCutter(wave_id, sizes, limits, submit_as=source.submit_as)
        self._singles = SingleUnits(source, self._cutter)
        self._tally = _Tally()
        self._totals = GroupingTotals()
        self.chunks: tuple[PlannedChunk, ...] = ()

    def plan(self, rules_digest: str, clock: Callable[[], datetime], *, dry_run: bool) -> Wave:
        """Decide about every object, write the wave's files unless it is a dry run, and return the wave.

        Raises:
            StateCorruptError: a committed file is missing or unreadable.
            StateError: the temporary folder has no room, or the state can't be written.
        """
        writer: AbstractContextManager[WaveWriter] = (
            nullcontext(DryRunWriter()) if dry_run else StateWaveWriter(self._store, self._source.name, self._wave_id)
        )
        room = tempfile.TemporaryDirectory(prefix="registration-pipeline-", ignore_cleanup_errors=True)
        with writer as opened, room as folder, temporary_space("The plan", Path(folder)):
            files, counts = self._write(opened, Path(folder))
        self.chunks = files.chunks
        return self._wave(rules_digest, files, counts, planned_at=clock())

    def _write(self, writer: WaveWriter, folder: Path) -> tuple[WaveFiles, PlanCounts]:
        changed, deleted = (TouchedUnits(folder / name, self._store, self._history) for name in ("changed", "deleted"))
        grouping = Grouping(
            folder,
            self._store,
            self._source,
            self._history.group_runs,
            inventory_started_at=self._inventory.started_at,
            cutter=self._cutter,
            limits=self._limits,
            wave_id=self._wave_id,
            grouped_by=() if self._history.latest is None else self._history.latest.grouped_by,
        )
        with _Rows(writer, folder) as rows:
            ledger = Ledger(self._store, self._history.runs)
            for batch in read_inventory(self._store, self._inventory):
                if batch.num_rows == 0:
                    continue
                for match in chain.from_iterable(map(ledger.match, self._object_facts.pieces(batch))):
                    self._take(match, rows, grouping)
                    changed.add(match.changed)
                    deleted.add(match.deleted)
                if self._progress is not None:
                    self._progress(self._tally.objects)
            for gone in ledger.rest():
                writer.write_deleted(gone)
                deleted.add(gone)
                self._tally.deleted += gone.num_rows
            self._totals = grouping.finish(rows)
            self._tally.add_members(self._totals)
            rows.finish()
        counts = self._tally.counts(changed_units=changed.count(), deleted_units=deleted.count())
        return writer.finish(self._cutter.finish()), counts

    def _take(self, match: LedgerMatch, rows: _Rows, grouping: Grouping) -> None:
        objects = match.rows
        if self._headers is not None and objects.num_rows:
            objects = self._headers.beside(objects)
        if not self._object_facts.is_empty and objects.num_rows:
            objects = self._object_facts.beside(objects)
        if self._checks_known:
            planned = objects.filter(match.known).append_column("chunk_id", match.chunk_ids)
            known = self._decider.known_units(planned)
            grouping.add_known(known.units, known.taken_by)
            if self._is_regrouped:
                grouping.notes.add_outside(known.elsewhere)
        decision = self._decider.decide(objects.filter(pc.invert(match.known)))
        self._tally.add(match, decision)
        grouping.notes.add_missed(decision.missed)
        if decision.members is not None:
            grouping.add(decision.members)
            if decision.members.rows.num_rows:
                rows.expect_late()
        rows.new.add(self._singles.rows(decision))
        rows.rejected.add(decision.rejected)
        rows.writer.write_changed(match.changed)
        rows.writer.write_deleted(match.deleted)

    def _wave(self, rules_digest: str, files: WaveFiles, counts: PlanCounts, *, planned_at: datetime) -> Wave:
        return Wave(
            wave_id=self._wave_id,
            source=self._source.name,
            inventory_id=self._inventory.inventory_id,
            rules_digest=rules_digest,
            listing_digest=self._inventory.digest,
            counts=counts,
            parts=files.parts,
            part_first_keys=files.part_first_keys,
            unit_files=files.unit_files,
            group_files=files.group_files,
            chunk_files=files.chunk_files,
            rejected_files=files.rejected_files,
            changed_files=files.changed_files,
            deleted_files=files.deleted_files,
            facts=self._facts.used(),
            groupings=self._groupings,
            uri=self._source.uri,
            grouped_by=self._totals.grouped_by,
            warnings=self._warnings(),
            planned_at=planned_at,
        )

    def _warnings(self) -> PlanWarnings:
        """Return those about all objects and about metadata, which concern many, then those about rules and units."""
        found = WarningList()
        tally = self._tally
        if tally.not_included is not None and tally.excluded_by_rule.total() == tally.objects:
            found.add(nothing_included(self._source, counted(tally.objects, "object"), *tally.not_included))
        for line in self._facts.warnings():
            found.add(line)
        unread = tally.unread
        if unread.count:
            wait, their = ("waits", "its") if unread.count == 1 else ("wait", "their")
            found.add(
                f"{counted(unread.count, 'object')} {wait} for {their} client metadata or media metadata to be read: the "
                f"first is {unread.first!r}. The next sync reads them, and so does `registration-pipeline probe "
                f"{self._source.name}`, after which a plan shows these objects"
            )
        return found.before(self._totals.warnings)


class _Rows:
    """``GroupedRows``: the rows of a wave on their way into its files, where those of single objects and of members meet.

    Args:
        writer: of the wave.
        folder: for what has to wait.
    """

    def __init__(self, writer: WaveWriter, folder: Path) -> None:
        self.writer = writer
        self.new = KeyOrder(folder / "new", PLAN_SCHEMA, writer.write_new)
        self.rejected = KeyOrder(folder / "rejected", REJECTED_SCHEMA, writer.write_rejected)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.new.close()
        self.rejected.close()

    def expect_late(self) -> None:
        """Keep what comes from now on: members are written when all objects are read."""
        self.new.expect_late()
        self.rejected.expect_late()

    def finish(self) -> None:
        """Write what was kept."""
        self.new.finish()
        self.rejected.finish()

    def write_units(self, rows: pa.RecordBatch) -> None:
        """See ``GroupedRows``."""
        self.writer.write_units(rows)
        self.new.add_late(rows)

    def write_refused(self, rows: pa.RecordBatch) -> None:
        """See ``GroupedRows``."""
        self.rejected.add_late(rows)

    def write_groups(self, rows: pa.RecordBatch) -> None:
        """See ``GroupedRows``."""
        self.writer.write_groups(rows)
