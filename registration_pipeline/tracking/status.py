"""How many objects are in each state: the fold of the latest plan and all journals into numbers that add up.

Only counting belongs here; the table and the JSON of the ``status`` command are built from ``SourceStatus``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from registration_pipeline.tracking.agreement import NOTHING_COUNTED, disagreements
from registration_pipeline.tracking.journal.states import ChunkProgress, ChunkState
from registration_pipeline.tracking.snapshot import read_snapshot
from registration_pipeline.tracking.touched import Touch, touched_chunks

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from registration_pipeline.facts.metadata.metadata_set import TableCounts
    from registration_pipeline.planning.counts import PlanCounts
    from registration_pipeline.planning.wave import PlannedChunk, Wave
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.links.counts import DatasetCounts
    from registration_pipeline.tracking.snapshot import SourceSnapshot
    from registration_pipeline.tracking.upserts import UpsertCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCounts:
    """Units by state. A unit counts as long as the bucket holds any of its objects.

    Args:
        changed: registered units of which at least one object is another one now.
        deleted: registered units of which at least one object is gone from the bucket; those of which none is left are not
            among the registered any more.
    """

    registered: int = 0
    pending: int = 0
    failed: int = 0
    changed: int = 0
    deleted: int = 0


_UNTOUCHED = Touch()
_COUNTED_AS_SUBMITTED = frozenset({ChunkState.INTENDED, ChunkState.SPLIT})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkStatus:
    """A planned chunk and its state."""

    chunk: PlannedChunk
    progress: ChunkProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """Counts over the latest planned inventory: of objects, but for ``units`` and ``chunks``.

    ``objects == excluded + rejected + registered + pending + failed``, always. ``deleted`` objects are counted apart,
    ``changed`` ones are among the registered, ``quarantined`` ones (tried as often as is allowed) among the failed.
    """

    source: str
    objects: int = 0
    excluded: int = 0
    rejected: int = 0
    registered: int = 0
    pending: int = 0
    failed: int = 0
    changed: int = 0
    deleted: int = 0
    quarantined: int = 0
    rejected_suffixes: Mapping[str, int] = field(default_factory=dict)
    """Suffix -> objects among the rejected that are ``unsupported_type``: the plan's, at most 50 and ``…`` for the rest."""
    units: UnitCounts = UnitCounts()
    chunks: Mapping[ChunkState, int] = field(default_factory=dict)
    inventory_id: str | None = None
    last_sync_at: datetime | None = None
    dataset: DatasetCounts | None = None
    """Registered units by whether they are linked to the source's dataset; None: it has none."""
    disagreements: tuple[str, ...] = ()
    """What does not agree in these numbers or in what they were counted from, a sentence each; usually nothing."""
    upserts: UpsertCounts | None = None
    """Units by the state of their newest upsert; None: the source has none configured."""
    tables: tuple[TableCounts, ...] | None = None
    """How the tables of its metadata and its objects fit, when they were last read; None: the source has no table."""
    accepted_rejected: int | None = None
    """Objects among the rejected whose reason the source's ``accept_rejected`` names; None: it names none."""

    @property
    def adds_up(self) -> bool:
        """Return whether every object is in exactly one place, and nothing contradicts that."""
        accounted = self.excluded + self.rejected + self.registered + self.pending + self.failed
        return self.objects == accounted and not self.disagreements

    @property
    def unaccepted_rejected(self) -> int:
        """Rejected objects that a person has to do something about: those whose reason is not accepted."""
        return self.rejected - (self.accepted_rejected or 0)

    def as_json(self) -> dict[str, object]:
        """Return the source's part of ``status --json``."""
        counted = Counter(self.chunks)
        shown = {state.value: counted[state] for state in ChunkState if state not in _COUNTED_AS_SUBMITTED}
        shown["submitted"] += counted[ChunkState.INTENDED] + counted[ChunkState.SPLIT]
        return {
            "objects": self.objects,
            "excluded": self.excluded,
            "rejected": self.rejected,
            "registered": self.registered,
            "pending": self.pending,
            "failed": self.failed,
            "changed": self.changed,
            "deleted": self.deleted,
            "units": asdict(self.units),
            **({"upserts": self.upserts.as_json()} if self.upserts else {}),
            "chunks": shown,
            "inventory_id": self.inventory_id,
            "last_sync_at": self.last_sync_at.strftime("%Y-%m-%dT%H:%M:%SZ") if self.last_sync_at else None,
            "quarantined": self.quarantined,
            "rejected_suffixes": dict(self.rejected_suffixes),
            **({"accepted_rejected": self.accepted_rejected} if self.accepted_rejected is not None else {}),
            **({"dataset": self.dataset.as_json()} if self.dataset is not None else {}),
            **({"tables": [_table_json(table) for table in self.tables]} if self.tables is not None else {}),
            **({"disagreements": list(self.disagreements)} if self.disagreements else {}),
        }


def _table_json(table: TableCounts) -> dict[str, object]:
    counts = {"rows": table.rows, "without_object": table.without_object, "without_row": table.without_row}
    return {"table": table.table, **counts}


def chunk_statuses(store: StateStore, source: str, snapshot: SourceSnapshot | None = None) -> dict[str, ChunkStatus]:
    """Return every planned chunk of the source and its state, in planning order.

    Args:
        store: the state.
        source: its name.
        snapshot: of the source; by default it is read.
    """
    snapshot = snapshot or read_snapshot(store, source)
    return {
        chunk_id: ChunkStatus(chunk=chunk, progress=snapshot.progress_of(chunk_id))
        for chunk_id, chunk in snapshot.chunks.items()
    }


def source_status(
    store: StateStore,
    source: str,
    snapshot: SourceSnapshot | None = None,
    *,
    max_attempts: int | None = None,
    accepted: Collection[str] = (),
) -> SourceStatus:
    """Count the objects of the latest planned inventory by state.

    To count over one that is not planned yet, give what ``latest_view.view_of_latest`` gives.

    Args:
        store: the state.
        source: its name.
        snapshot: of the source; by default it is read.
        max_attempts: after this many tries a chunk's failed objects count as quarantined; None: none do.
        accepted: reasons of rejection that need no action.
    """
    snapshot = snapshot or read_snapshot(store, source)
    latest = snapshot.history.latest
    if latest is None:
        return SourceStatus(source=source, disagreements=disagreements(NOTHING_COUNTED, snapshot))
    statuses = chunk_statuses(store, source, snapshot)
    tally = _tally(store, source, latest, statuses, max_attempts)
    counts: PlanCounts = latest.counts
    by_place: dict[str, int] = {name: tally[name] for name in ("registered", "pending", "failed")}
    by_place |= {"objects": counts.objects, "excluded": counts.excluded, "rejected": counts.rejected}
    by_place["pending"] += counts.held
    units = {name: tally[f"{name} units"] for name in ("registered", "pending", "failed")}
    units["pending"] += counts.held_units or counts.held  # waves of earlier versions held single objects only
    verdict_times = [status.progress.verdict.at for status in statuses.values() if status.progress.verdict]
    return SourceStatus(
        source=source,
        objects=by_place["objects"],
        excluded=by_place["excluded"],
        rejected=by_place["rejected"],
        registered=by_place["registered"],
        pending=by_place["pending"],
        failed=by_place["failed"],
        changed=tally["changed"],
        deleted=tally["deleted"],
        quarantined=tally["quarantined"],
        units=UnitCounts(**units, changed=tally["changed units"], deleted=tally["deleted units"]),
        chunks=Counter(status.progress.state for status in statuses.values()),
        rejected_suffixes=counts.rejected_suffixes,
        inventory_id=latest.inventory_id,
        last_sync_at=max([latest.planned_at, *verdict_times]),
        disagreements=disagreements(by_place, snapshot, units=units),
        accepted_rejected=sum(counts.rejected_by_reason.get(reason, 0) for reason in set(accepted))
        if accepted
        else None,
    )


def _tally(
    store: StateStore, source: str, latest: Wave, statuses: Mapping[str, ChunkStatus], max_attempts: int | None
) -> Counter[str]:
    """Count planned objects that the latest inventory holds by state, and registered ones that differ; and their units."""
    chunks = {chunk_id: (status.chunk, status.progress) for chunk_id, status in statuses.items()}
    touched = touched_chunks(store, source, latest, chunks)
    tally: Counter[str] = Counter()
    for chunk_id, (chunk, progress) in chunks.items():
        touch, verdict = touched.get(chunk_id, _UNTOUCHED), progress.verdict
        if verdict is None:
            tally["pending"] += chunk.objects - touch.gone
            tally["pending units"] += chunk.units - touch.lost_units
            continue
        failed, gone = verdict.failed - touch.failed_gone, touch.gone - touch.failed_gone
        failed_units = verdict.failed_units - touch.failed_lost_units
        tally["registered"] += verdict.registered - gone
        tally["failed"] += failed
        tally["registered units"] += chunk.units - touch.lost_units - failed_units
        tally["failed units"] += failed_units
        if max_attempts is not None and progress.tries >= max_attempts:
            tally["quarantined"] += failed
        tally["deleted"] += gone
        tally["changed"] += touch.changed - touch.failed_changed
        tally["deleted units"] += touch.deleted_units
        tally["changed units"] += touch.changed_units
    return tally
