"""How many objects are in each state: the fold of the latest plan and all journals into numbers that add up.

Only counting belongs here; the table and the JSON of the ``status`` command are built from ``SourceStatus``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from registration_pipeline.objects import KINDS
from registration_pipeline.planning.wave import read_census, read_chunk_units
from registration_pipeline.tracking.agreement import NOTHING_COUNTED, disagreements
from registration_pipeline.tracking.failures.log import count_by_chunk, failed_keys
from registration_pipeline.tracking.journal.states import ChunkProgress, ChunkState
from registration_pipeline.tracking.repairs import changed_objects
from registration_pipeline.tracking.snapshot import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Container, Mapping
    from datetime import datetime

    from registration_pipeline.planning.wave import PlanCounts, PlannedChunk, Wave
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.snapshot import SourceSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCounts:
    """Units by state. A unit counts as long as the bucket holds any of its objects."""

    registered: int = 0
    pending: int = 0
    failed: int = 0


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
    units: UnitCounts = UnitCounts()
    chunks: Mapping[ChunkState, int] = field(default_factory=dict)
    inventory_id: str | None = None
    last_sync_at: datetime | None = None
    disagreements: tuple[str, ...] = ()
    """What does not agree in these numbers or in what they were counted from, a sentence each; usually nothing."""

    @property
    def adds_up(self) -> bool:
        """Return whether every object is in exactly one place, and nothing contradicts that."""
        accounted = self.excluded + self.rejected + self.registered + self.pending + self.failed
        return self.objects == accounted and not self.disagreements

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
            "chunks": shown,
            "inventory_id": self.inventory_id,
            "last_sync_at": self.last_sync_at.strftime("%Y-%m-%dT%H:%M:%SZ") if self.last_sync_at else None,
            "quarantined": self.quarantined,
            **({"disagreements": list(self.disagreements)} if self.disagreements else {}),
        }


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
    store: StateStore, source: str, snapshot: SourceSnapshot | None = None, *, max_attempts: int | None = None
) -> SourceStatus:
    """Count the objects of the latest planned inventory by state.

    To count over one that is not planned yet, give what ``latest_view.view_of_latest`` gives.

    Args:
        store: the state.
        source: its name.
        snapshot: of the source; by default it is read.
        max_attempts: after this many tries a chunk's failed objects count as quarantined; None: none do.
    """
    snapshot = snapshot or read_snapshot(store, source)
    latest = snapshot.history.latest
    if latest is None:
        return SourceStatus(source=source, disagreements=disagreements(NOTHING_COUNTED, snapshot))
    statuses = chunk_statuses(store, source, snapshot)
    tally = _tally(store, source, latest, statuses, max_attempts)
    counts: PlanCounts = latest.counts
    by_place = {name: tally[name] for name in ("registered", "pending", "failed")}
    by_place |= {"objects": counts.objects, "excluded": counts.excluded, "rejected": counts.rejected}
    by_place["pending"] += counts.held
    verdict_times = [status.progress.verdict.at for status in statuses.values() if status.progress.verdict]
    return SourceStatus(
        source=source,
        **by_place,
        changed=tally["changed"],
        deleted=tally["deleted"],
        quarantined=tally["quarantined"],
        units=UnitCounts(
            registered=tally["registered units"],
            pending=tally["pending units"] + counts.held,  # of held objects each is a unit: groups are not planned yet
            failed=tally["failed units"],
        ),
        chunks=Counter(status.progress.state for status in statuses.values()),
        inventory_id=latest.inventory_id,
        last_sync_at=max([latest.planned_at, *verdict_times]),
        disagreements=disagreements(by_place, snapshot),
    )


def _tally(
    store: StateStore, source: str, latest: Wave, statuses: Mapping[str, ChunkStatus], max_attempts: int | None
) -> Counter[str]:
    """Count planned objects that the latest inventory holds by state, and registered ones that differ."""
    with_failures = {chunk_id for chunk_id, status in statuses.items() if _has_failures(status)}
    thinned = _thinned_groups(store, latest, statuses)
    deleted = count_by_chunk(read_census(store, latest, "deleted"), with_failures | thinned)
    different = changed_objects(store, source, latest, lambda chunk_id: statuses[chunk_id].progress)
    changed = count_by_chunk(different, with_failures)
    tally: Counter[str] = Counter()
    for chunk_id, status in statuses.items():
        gone, verdict = deleted.objects[chunk_id], status.progress.verdict
        keys = deleted.keys_by_chunk.get(chunk_id, set())
        if verdict is None:
            tally["pending"] += status.chunk.objects - gone
            tally["pending units"] += status.chunk.units - _gone_units(store, source, status, gone, keys)
            continue
        is_touched = chunk_id in deleted.keys_by_chunk or chunk_id in changed.keys_by_chunk
        failed = failed_keys(store, source, status.progress) if is_touched else frozenset[str]()
        gone_failed = len(keys & failed)
        gone_units = _gone_units(store, source, status, gone, keys)
        gone_failed_units = _gone_units(store, source, status, gone_failed, keys & failed)
        tally["registered"] += verdict.registered - (gone - gone_failed)
        tally["failed"] += verdict.failed - gone_failed
        tally["registered units"] += status.chunk.units - verdict.failed_units - (gone_units - gone_failed_units)
        tally["failed units"] += verdict.failed_units - gone_failed_units
        if max_attempts is not None and status.progress.tries >= max_attempts:
            tally["quarantined"] += verdict.failed - gone_failed
        tally["deleted"] += gone - gone_failed
        tally["changed"] += changed.objects[chunk_id] - len(changed.keys_by_chunk.get(chunk_id, set()) & failed)
    return tally


def _thinned_groups(store: StateStore, latest: Wave, statuses: Mapping[str, ChunkStatus]) -> set[str]:
    """Return the chunks of groups that lost some of their objects: which units are gone follows from the keys alone."""
    groups = {chunk_id for chunk_id, status in statuses.items() if KINDS[status.chunk.kind].is_group}
    if not groups:
        return groups
    gone = count_by_chunk(read_census(store, latest, "deleted"), frozenset()).objects
    return {chunk_id for chunk_id in groups if 0 < gone[chunk_id] < statuses[chunk_id].chunk.objects}


def _gone_units(store: StateStore, source: str, status: ChunkStatus, gone: int, keys: Container[str]) -> int:
    """Return how many units of a chunk have no object left.

    Args:
        gone: how many objects are gone.
        keys: of a chunk of groups of which not all are gone, which.
    """
    chunk = status.chunk
    if not KINDS[chunk.kind].is_group or not gone:
        return gone
    if gone == chunk.objects:
        return chunk.units
    units = read_chunk_units(store, source, chunk)
    return sum(all(entry.key in keys for entry in unit.objects) for unit in units)


def _has_failures(status: ChunkStatus) -> bool:
    return status.progress.verdict is not None and status.progress.verdict.failed > 0
