"""Which chunks a command or a run means: those that are due, those that failed, or those that were named.

Only choosing belongs here; the state of a chunk comes from ``status.py``, what is done with it is ``submission``.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.errors import UsageError
from registration_pipeline.objects import FailureReason
from registration_pipeline.tracking.journal.states import FAILED_STATES, ChunkState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.tracking.status import ChunkStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkTask:
    """A chunk to submit, and under which conditions.

    Args:
        after_attempt: send it again if this attempt ended with failures and is still the newest; None: only what is not
            concluded is worked on. The number keeps two runs from both retrying the same failure.
        is_fresh: its tries are counted from zero: an object changed, or a person asked for exactly this chunk.
        is_forced: send it again even if nothing of it failed.
    """

    chunk: PlannedChunk
    after_attempt: int | None = None
    is_fresh: bool = False
    is_forced: bool = False


def due_tasks(
    statuses: Mapping[str, ChunkStatus], *, max_attempts: int, repaired: Collection[str] = ()
) -> list[ChunkTask]:
    """Return what a nightly run does: chunks without a verdict, and failures that may pass by themselves.

    Args:
        statuses: every chunk of the source.
        max_attempts: how often a chunk with transient failures is tried before it is no longer retried.
        repaired: chunks of which a failed object was written again since it was tried (``repairs.repaired_chunks``).
    """
    tasks: list[ChunkTask] = []
    for status in statuses.values():
        if not status.progress.state.is_concluded:
            tasks.append(ChunkTask(chunk=status.chunk))
        elif status.chunk.chunk_id in repaired:
            tasks.append(ChunkTask(chunk=status.chunk, after_attempt=status.progress.attempt, is_fresh=True))
        elif has_transient_failures(status) and status.progress.tries < max_attempts:
            tasks.append(ChunkTask(chunk=status.chunk, after_attempt=status.progress.attempt))
    return tasks


def failed_tasks(
    statuses: Mapping[str, ChunkStatus], *, max_attempts: int, repaired: Collection[str] = (), force: bool = False
) -> list[ChunkTask]:
    """Return the retries of all chunks with failures except the quarantined ones, or with ``force`` of those too."""
    return [
        ChunkTask(
            chunk=status.chunk,
            after_attempt=status.progress.attempt,
            is_fresh=force or status.chunk.chunk_id in repaired,
        )
        for status in statuses.values()
        if has_failed(status)
        and (force or status.chunk.chunk_id in repaired or not is_quarantined(status, max_attempts=max_attempts))
    ]


def named_tasks(
    source: str, statuses: Mapping[str, ChunkStatus], chunk_ids: Sequence[str], *, force: bool = False
) -> list[ChunkTask]:
    """Return the chunks of these ids; with failures they are retried, and with ``force`` in any case.

    Raises:
        UsageError: an id that was never planned.
    """
    for chunk_id in chunk_ids:
        if chunk_id not in statuses:
            near = difflib.get_close_matches(chunk_id, statuses, n=1)
            meant = f" Did you mean {near[0]}?" if near else " `registration-pipeline plan` makes chunks."
            raise UsageError(f"Source {source!r} has no chunk {chunk_id!r}.{meant}")
    return [
        ChunkTask(
            chunk=statuses[chunk_id].chunk,
            after_attempt=statuses[chunk_id].progress.attempt,
            is_fresh=True,
            is_forced=force,
        )
        for chunk_id in dict.fromkeys(chunk_ids)
    ]


def unshown_tasks(statuses: Mapping[str, ChunkStatus], shown: Collection[str]) -> list[ChunkTask]:
    """Return the registered chunks that are not among those that a view shows; nothing of them is sent."""
    return [
        ChunkTask(chunk=status.chunk)
        for chunk_id, status in statuses.items()
        if status.progress.state is ChunkState.SUCCEEDED and chunk_id not in shown
    ]


def failed_chunks(statuses: Mapping[str, ChunkStatus]) -> list[PlannedChunk]:
    """Return the concluded chunks that have objects which are not registered."""
    return [status.chunk for status in statuses.values() if has_failed(status)]


def has_failed(status: ChunkStatus) -> bool:
    """Return whether the chunk is concluded and has objects which are not registered."""
    return status.progress.state in FAILED_STATES


def has_transient_failures(status: ChunkStatus) -> bool:
    """Return whether any failure of a concluded chunk may pass by itself."""
    verdict = status.progress.verdict
    return (
        has_failed(status)
        and verdict is not None
        and any(FailureReason(reason).is_transient for reason in verdict.reasons)
    )


def is_quarantined(status: ChunkStatus, *, max_attempts: int) -> bool:
    """Return whether the chunk failed ``max_attempts`` times: retried only if an object changes or a person asks for it."""
    return has_failed(status) and status.progress.tries >= max_attempts
