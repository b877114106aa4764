"""Concluding a chunk without sending anything, because its units are in Encord already.

What belongs here: which chunks may be taken over, and the order of writes, which is that of a submission. Finding out what is
in Encord is the audit's (``tracking/audit.py``).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from registration_pipeline.errors import StateConflictError, StateCorruptError
from registration_pipeline.manifest.manifest import ensure_manifest
from registration_pipeline.planning.wave import read_chunk_units
from registration_pipeline.submission.result import ChunkResult, result_from_verdict
from registration_pipeline.submission.verdicts import FolderEvidence, chunk_state, judge_adopted
from registration_pipeline.tracking.failure_log import chunk_failures, write_chunk_failure_log
from registration_pipeline.tracking.journal import Journal
from registration_pipeline.tracking.outcomes import ChunkOutcomes, read_outcomes, unit_failures, write_outcomes
from registration_pipeline.tracking.states import FAILED_STATES, JournalEvent, JournalEventKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from registration_pipeline.planning.units import PlannedUnit
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.outcomes import Outcome
    from registration_pipeline.tracking.states import ChunkProgress

MESSAGE = "adopted by audit: found in the folder, nothing was sent"


def adopt_chunk(
    *,
    store: StateStore,
    source: str,
    chunk: PlannedChunk,
    found: Mapping[str, str],
    folder_uuid: str,
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
    earlier = read_outcomes(store, source, progress.verdict) if progress.verdict else []
    attempt, at = progress.attempt + 1, clock()
    outcomes = _outcomes(units, earlier, found, progress, attempt=attempt, at=at)
    if outcomes is None:
        return None
    manifest = ensure_manifest(store, source, chunk)
    sent = progress.first_intent.manifest_sha256 if progress.first_intent else None
    if sent and sent != manifest.sha256:
        raise StateCorruptError(
            f"{manifest.name} is not the manifest that was sent before (sha256 {manifest.sha256}, sent {sent}). Restore the "
            "plan and the manifest of this chunk from a backup; nothing was taken over."
        )
    intent = JournalEvent(
        kind=JournalEventKind.INTENT,
        chunk_id=chunk.chunk_id,
        attempt=attempt,
        at=at,
        folder_uuid=folder_uuid,
        manifest_sha256=manifest.sha256,
        message=MESSAGE,
    )
    try:
        journal.append(intent)
    except StateConflictError:
        return None  # somebody submits it at this moment
    return _conclude(store, source, chunk, units, outcomes, attempt=attempt, at=at)


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


def _conclude(
    store: StateStore,
    source: str,
    chunk: PlannedChunk,
    units: Sequence[PlannedUnit],
    outcomes: ChunkOutcomes,
    *,
    attempt: int,
    at: datetime,
) -> ChunkResult:
    """Write outcomes, failure log and verdict, in this order: the verdict vouches for the other two."""
    base_name = write_outcomes(store, source, chunk.chunk_id, attempt, outcomes)
    rows = chunk_failures(source, chunk.chunk_id, outcomes)
    if rows:
        write_chunk_failure_log(store, source, chunk.chunk_id, attempt, rows)
    failed = len(outcomes.failed)
    failures = unit_failures(units, outcomes)
    verdict = JournalEvent(
        kind=JournalEventKind.VERDICT,
        chunk_id=chunk.chunk_id,
        attempt=attempt,
        at=at,
        state=chunk_state(outcomes),
        registered=len(outcomes) - failed,
        failed=failed,
        failures=failures,
        reasons=dict(Counter(failure.reason for failure in failures)),
        outcomes=base_name,
        message=MESSAGE,
    )
    Journal(store, source).append(verdict)
    return result_from_verdict(chunk, verdict, outcomes=outcomes)
