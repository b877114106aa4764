"""Where every object stands: the fold of the latest plan and all journals into numbers that add up.

Only counting belongs here; the table and the JSON of the ``status`` command are built from ``SourceStatus``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registration_pipeline.planning.wave import read_census
from registration_pipeline.tracking.failures.log import count_by_chunk, failed_keys
from registration_pipeline.tracking.journal.states import ChunkProgress, ChunkState
from registration_pipeline.tracking.snapshot import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from registration_pipeline.planning.wave import PlanCounts, PlannedChunk, Wave
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.snapshot import SourceSnapshot


_COUNTED_AS_SUBMITTED = frozenset({ChunkState.INTENDED, ChunkState.SPLIT})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkStatus:
    """A planned chunk and where it stands."""

    chunk: PlannedChunk
    progress: ChunkProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """Counts over the latest planned inventory.

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
    chunks: Mapping[ChunkState, int] = field(default_factory=dict)
    inventory_id: str | None = None
    last_sync_at: datetime | None = None

    @property
    def adds_up(self) -> bool:
        """Tell whether every object is in exactly one place."""
        return self.objects == self.excluded + self.rejected + self.registered + self.pending + self.failed

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
            "chunks": shown,
            "inventory_id": self.inventory_id,
            "last_sync_at": self.last_sync_at.strftime("%Y-%m-%dT%H:%M:%SZ") if self.last_sync_at else None,
            "quarantined": self.quarantined,
        }


def chunk_statuses(store: StateStore, source: str, snapshot: SourceSnapshot | None = None) -> dict[str, ChunkStatus]:
    """Return every planned chunk of the source and where it stands, in planning order.

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
    """Count where every object of the latest planned inventory stands.

    To count over one that is not planned yet, give what ``latest_view.view_of_latest`` gives.

    Args:
        store: the state.
        source: its name.
        snapshot: of the source; by default it is read.
        max_attempts: after so many tries a chunk's failed objects count as quarantined; None: none do.
    """
    snapshot = snapshot or read_snapshot(store, source)
    latest = snapshot.history.latest
    if latest is None:
        return SourceStatus(source=source)
    statuses = chunk_statuses(store, source, snapshot)
    tally = _tally(store, source, latest, statuses, max_attempts)
    counts: PlanCounts = latest.counts
    verdict_times = [status.progress.verdict.at for status in statuses.values() if status.progress.verdict]
    return SourceStatus(
        source=source,
        objects=counts.objects,
        excluded=counts.excluded,
        rejected=counts.rejected,
        registered=tally["registered"],
        pending=tally["pending"] + counts.held,
        failed=tally["failed"],
        changed=tally["changed"],
        deleted=tally["deleted"],
        quarantined=tally["quarantined"],
        chunks=Counter(status.progress.state for status in statuses.values()),
        inventory_id=latest.inventory_id,
        last_sync_at=max([latest.planned_at, *verdict_times]),
    )


def _tally(
    store: StateStore, source: str, latest: Wave, statuses: Mapping[str, ChunkStatus], max_attempts: int | None
) -> Counter[str]:
    """Count planned objects that the latest inventory holds by where they stand, and registered ones that differ."""
    with_failures = {chunk_id for chunk_id, status in statuses.items() if _has_failures(status)}
    deleted = count_by_chunk(read_census(store, latest, "deleted"), with_failures)
    changed = count_by_chunk(read_census(store, latest, "changed"), with_failures)
    tally: Counter[str] = Counter()
    for chunk_id, status in statuses.items():
        gone, verdict = deleted.objects[chunk_id], status.progress.verdict
        if verdict is None:
            tally["pending"] += status.chunk.objects - gone
            continue
        is_touched = chunk_id in deleted.keys_by_chunk or chunk_id in changed.keys_by_chunk
        failed = failed_keys(store, source, status.progress) if is_touched else frozenset[str]()
        gone_failed = len(deleted.keys_by_chunk.get(chunk_id, set()) & failed)
        tally["registered"] += verdict.registered - (gone - gone_failed)
        tally["failed"] += verdict.failed - gone_failed
        if max_attempts is not None and status.progress.tries >= max_attempts:
            tally["quarantined"] += verdict.failed - gone_failed
        tally["deleted"] += gone - gone_failed
        tally["changed"] += changed.objects[chunk_id] - len(changed.keys_by_chunk.get(chunk_id, set()) & failed)
    return tally


def _has_failures(status: ChunkStatus) -> bool:
    return status.progress.verdict is not None and status.progress.verdict.failed > 0
