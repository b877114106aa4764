"""How many registered units are linked to datasets, and which are not and why.

What does not belong here: linking (``submission/datasets``), and units that are not registered (``status.py``, ``failures``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.objects import LinkReason
from registration_pipeline.tracking.failures.files import STAGE_DATASET, FailureRow
from registration_pipeline.tracking.links.ledger import LinkRecords
from registration_pipeline.tracking.links.news import ChunkUnits
from registration_pipeline.tracking.outcomes import read_outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.journal.states import ChunkProgress, JournalEvent
    from registration_pipeline.tracking.links.ledger import ChunkLinks
    from registration_pipeline.tracking.links.records import LinkFailure
    from registration_pipeline.tracking.snapshot import SourceSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetCounts:
    """Registered units of a source, whether the bucket still holds their objects or not.

    Args:
        linked: to a dataset.
        pending: to be linked by the next sync.
        failed: could not be linked.
    """

    linked: int = 0
    pending: int = 0
    failed: int = 0

    def as_json(self) -> dict[str, int]:
        """Return it as a part of ``status --json``."""
        return asdict(self)


def dataset_counts(store: StateStore, snapshot: SourceSnapshot) -> DatasetCounts:
    """Count what is linked. Outcomes are read only of chunks that were registered again since they were linked.

    Args:
        store: the state.
        snapshot: of the source.

    Raises:
        StateCorruptError: a file of the state is damaged.
    """
    records = LinkRecords(store, snapshot.source)
    known, units = records.read().chunks, ChunkUnits(store, snapshot.source, records)
    linked = pending = failed = 0
    for chunk_id, (chunk, progress) in concluded(snapshot).items():
        links = known.get(chunk_id)
        if links is None:
            pending += registered_units(chunk, progress)
        elif progress.verdict is not None and links.outcomes == progress.verdict.outcomes:
            linked, failed = linked + links.linked, failed + links.failed
        else:
            news = units.news(progress, links)
            linked += news.total - len(news.units) - len(news.failed)
            pending, failed = pending + len(news.units), failed + len(news.failed)
    return DatasetCounts(linked=linked, pending=pending, failed=failed)


def concluded(snapshot: SourceSnapshot) -> dict[str, tuple[PlannedChunk, ChunkProgress]]:
    """Return the planned chunks that have a verdict, in planning order."""
    found = ((chunk, snapshot.progress_of(chunk_id)) for chunk_id, chunk in snapshot.chunks.items())
    return {chunk.chunk_id: (chunk, progress) for chunk, progress in found if progress.verdict is not None}


def registered_units(chunk: PlannedChunk, progress: ChunkProgress) -> int:
    """Return how many units of a chunk its newest verdict calls registered."""
    return chunk.units - progress.verdict.failed_units if progress.verdict is not None else 0


def link_failures(store: StateStore, snapshot: SourceSnapshot) -> Iterator[FailureRow]:
    """Yield every registered unit that could not be linked, a chunk at a time.

    Raises:
        StateCorruptError: a file of the state is damaged.
    """
    records = LinkRecords(store, snapshot.source)
    known, units = records.read().chunks, ChunkUnits(store, snapshot.source, records)
    for chunk_id, (_, progress) in concluded(snapshot).items():
        links = known.get(chunk_id)
        if links is None or progress.verdict is None:
            continue
        failed = _current(units, progress, links)
        if failed:
            yield from _rows(store, snapshot.source, progress.verdict, failed)


def _current(units: ChunkUnits, progress: ChunkProgress, links: ChunkLinks) -> list[LinkFailure]:
    assert progress.verdict is not None
    if links.outcomes == progress.verdict.outcomes:
        return list(units.failures(progress.chunk_id, links))
    return list(units.news(progress, links).failed)


def _rows(store: StateStore, source: str, verdict: JournalEvent, failed: list[LinkFailure]) -> Iterator[FailureRow]:
    """Yield a row for each unit, with its first object."""
    said = {one.unit_id: one for one in failed}
    table = read_outcomes(store, source, verdict).table.select(["key", "object_url", "unit_id"])
    table = table.filter(pc.is_in(table.column("unit_id"), pa.array(list(said), pa.string())))
    firsts: dict[str, tuple[str, str, int]] = {}
    for row in table.to_pylist():
        key, url, objects = firsts.get(row["unit_id"], (row["key"], row["object_url"], 0))
        firsts[row["unit_id"]] = (key, url, objects + 1)
    for unit_id, (key, url, objects) in firsts.items():
        yield FailureRow(
            source=source,
            key=key,
            object_url=url,
            unit_id=unit_id,
            objects=objects,
            chunk_id=verdict.chunk_id,
            attempt=verdict.attempt,
            stage=STAGE_DATASET,
            reason=LinkReason(said[unit_id].reason),
            message=said[unit_id].message,
            subtask_uuid=None,
            at=verdict.at,
        )
