"""Concluding a chunk without sending anything, because its units are in Encord already.

What belongs here: which chunks may be taken over, and the order of writes, which is that of a submission. Finding out what is
in Encord is the audit's (``audit/audit.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from registration_pipeline.errors import StateConflictError
from registration_pipeline.manifest.files import check_sent_before, ensure_manifest
from registration_pipeline.planning.wave import read_chunk_units
from registration_pipeline.submission.result import ChunkResult, result_from_verdict
from registration_pipeline.submission.verdicts import FolderEvidence, judge_adopted, verdict_facts
from registration_pipeline.tracking.failures.log import chunk_failures, write_chunk_failure_log
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import FAILED_STATES, JournalEvent, JournalEventKind
from registration_pipeline.tracking.outcomes import ChunkOutcomes, read_outcomes, write_outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from registration_pipeline.planning.units import PlannedUnit
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.journal.states import ChunkProgress
    from registration_pipeline.tracking.outcomes import Outcome

MESSAGE = "adopted by audit: found in the folder, nothing was sent"


@dataclass(frozen=True, slots=True)
class Adoption:
    """What lets an audit take chunks over.

    Args:
        clock: gives the aware time.
        may_write: raises when this process may not write for the source any more.
        adopted: takes the chunks that were taken over.
    """

    clock: Callable[[], datetime]
    may_write: Callable[[], None] = lambda: None
    adopted: list[ChunkResult] = field(default_factory=list)


def adopt_chunk(
    *,
    store: StateStore,
    source: str,
    chunk: PlannedChunk,
    found: Mapping[str, str],
    folder_uuid: str,
    reordered: int = 0,
    clock: Callable[[], datetime],
) -> ChunkResult | None:
    """Conclude a chunk from what an audit saw in its folder, in an attempt of its own.

    A chunk that was never concluded is taken over when all of its units are there; otherwise it stays as it is, and sending
    its manifest is safe, because Encord skips what it has. Of a concluded chunk the failed units that are there after all
    are taken over; the others stay failed.

    A crash between two writes leaves a start in doubt, which the next submission settles.

    Args:
        found: item UUIDs by unit id, of units that are in ``folder_uuid``.
        folder_uuid: the folder that the chunk goes to.
        reordered: how many of the items hold the objects of their unit in another order than planned.
        clock: gives the aware time.

    Returns:
        None when the chunk was left as it is: it is being submitted, not all is there, or nothing was failed that is.

    Raises:
        StateCorruptError: the manifest is not the one that was sent before.
    """
    journal = Journal(store, source)
    progress = journal.progress(chunk.chunk_id)
    if progress.is_attempt_open:
        return None
    units = read_chunk_units(store, source, chunk)
    attempt, at = progress.attempt + 1, clock()
    outcomes = _outcomes(units, _earlier(store, source, progress), found, progress, attempt=attempt, at=at)
    if outcomes is None:
        return None
    manifest = ensure_manifest(store, source, chunk, units)
    check_sent_before(manifest, progress.sent_sha256)
    message = MESSAGE + (f"; {reordered:,} units hold their objects in another order than planned" if reordered else "")
    entry = partial(JournalEvent, chunk_id=chunk.chunk_id, attempt=attempt, at=at, message=message)
    try:
        journal.append(entry(kind=JournalEventKind.INTENT, folder_uuid=folder_uuid, manifest_sha256=manifest.sha256))
    except StateConflictError:
        return None  # another process submits it at this moment
    # Outcomes, failure log and verdict, in this order: the verdict vouches for the other two.
    base_name = write_outcomes(store, source, chunk.chunk_id, attempt, outcomes)
    if outcomes.failed:
        rows = chunk_failures(source, chunk.chunk_id, outcomes)
        write_chunk_failure_log(store, source, chunk.chunk_id, attempt, rows)
    verdict = entry(kind=JournalEventKind.VERDICT, outcomes=base_name, **verdict_facts(units, outcomes))
    journal.append(verdict)
    return result_from_verdict(chunk, verdict, outcomes=outcomes, progress=journal.progress(chunk.chunk_id))


def _earlier(store: StateStore, source: str, progress: ChunkProgress) -> Sequence[Outcome]:
    return read_outcomes(store, source, progress.verdict) if progress.verdict else []


def _outcomes(
    units: Sequence[PlannedUnit],
    earlier: Sequence[Outcome],
    found: Mapping[str, str],
    progress: ChunkProgress,
    *,
    attempt: int,
    at: datetime,
) -> ChunkOutcomes | None:
    """Return the verdicts of all objects, or None when the chunk is to be left as it is."""
    registered = {outcome.unit_id for outcome in earlier if outcome.verdict.is_registered}
    newly = [unit for unit in units if unit.unit_id in found and unit.unit_id not in registered]
    is_whole = len(newly) + len(registered) == len(units)
    if not newly or not (is_whole or progress.state in FAILED_STATES):
        return None
    adopted = judge_adopted(newly, FolderEvidence(by_unit_id=found), attempt=attempt, at=at)
    by_key = {outcome.key: outcome for outcome in (*earlier, *adopted)}
    return ChunkOutcomes.of(by_key[entry.key] for unit in units for entry in unit.objects)
