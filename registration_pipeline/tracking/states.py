"""The closed set of chunk states and of journal events, and how one follows from the other.

Pure rules belong here; reading and writing the journal is in ``journal.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from registration_pipeline.errors import StateCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


class ChunkState(StrEnum):
    """Where a chunk stands. ``INTENDED`` means that a start may or may not have reached Encord."""

    PLANNED = "planned"
    INTENDED = "intended"
    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    PARTIALLY_FAILED = "partially_failed"
    FAILED = "failed"

    @property
    def is_concluded(self) -> bool:
        """Tell whether every object of the chunk has a verdict and nothing is under way."""
        return self in CONCLUDED_STATES

    @property
    def is_open(self) -> bool:
        """Tell whether an attempt is under way, or was when the process ended."""
        return self in (ChunkState.INTENDED, ChunkState.SUBMITTED)


CONCLUDED_STATES = frozenset({ChunkState.SUCCEEDED, ChunkState.PARTIALLY_FAILED, ChunkState.FAILED})


class JournalEventKind(StrEnum):
    """What a journal entry says. The value is part of the entry's file name."""

    INTENT = "intent"
    """About to start a job for this manifest."""
    JOB = "job"
    """Encord took the manifest and gave this job id."""
    NOT_SENT = "not_sent"
    """The start certainly did not reach Encord; the attempt is closed."""
    LOST = "lost"
    """The start's fate stayed unknown; quiet was waited for; the attempt is closed and may be followed by another."""
    VERDICT = "verdict"
    """Every object of the chunk has a verdict; the attempt is closed."""


# Which events may follow which within one attempt. None is the beginning of an attempt.
TRANSITIONS: dict[JournalEventKind | None, frozenset[JournalEventKind]] = {
    None: frozenset({JournalEventKind.INTENT}),
    JournalEventKind.INTENT: frozenset(
        {JournalEventKind.JOB, JournalEventKind.NOT_SENT, JournalEventKind.LOST, JournalEventKind.VERDICT}
    ),
    JournalEventKind.JOB: frozenset({JournalEventKind.LOST, JournalEventKind.VERDICT}),
    JournalEventKind.NOT_SENT: frozenset(),
    JournalEventKind.LOST: frozenset(),
    JournalEventKind.VERDICT: frozenset(),
}
CLOSING_EVENTS = frozenset(kind for kind, followers in TRANSITIONS.items() if kind is not None and not followers)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEvent:
    """One durable entry of a chunk's journal.

    Only the fields that the kind needs are set: ``folder_uuid``, ``integration_uuid`` and ``manifest_sha256`` on an intent,
    ``job_id`` on a job and on a verdict whose job is known, the counts (objects) and ``state`` on a verdict, ``message`` on
    everything that went wrong.
    """

    kind: JournalEventKind
    chunk_id: str
    attempt: int
    at: datetime
    folder_uuid: str | None = None
    integration_uuid: str | None = None
    manifest_sha256: str | None = None
    job_id: str | None = None
    state: ChunkState | None = None
    registered: int = 0
    failed: int = 0
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkProgress:
    """A chunk's journal folded.

    Args:
        attempt: number of the newest attempt, 0 before the first.
        state: where the chunk stands.
        is_attempt_open: whether the newest attempt has no closing event.
        intent: the newest intent.
        first_intent: the oldest intent: it fixes the folder for ever, and the time since which items may exist in Encord.
        job_id: of the open attempt, if Encord gave one.
        verdict: the newest verdict of any attempt.
    """

    chunk_id: str
    attempt: int = 0
    state: ChunkState = ChunkState.PLANNED
    is_attempt_open: bool = False
    intent: JournalEvent | None = None
    first_intent: JournalEvent | None = None
    job_id: str | None = None
    verdict: JournalEvent | None = None


def fold_events(chunk_id: str, events: Iterable[JournalEvent]) -> ChunkProgress:
    """Fold a chunk's events, given in the order of attempt and of ``TRANSITIONS``, into where it stands.

    Raises:
        StateCorruptError: an event follows one that it must not follow, or an attempt one that is missing or open.
    """
    previous: JournalEvent | None = None
    intent = first_intent = verdict = None
    job_id: str | None = None
    for event in events:
        starts_attempt = previous is None or event.attempt != previous.attempt
        before = None if starts_attempt or previous is None else previous.kind
        if starts_attempt:
            _check_next_attempt(chunk_id, previous, event)
        if event.kind not in TRANSITIONS[before]:
            raise _corrupt(chunk_id, f"attempt {event.attempt} has a {event.kind} after {before or 'nothing'}")
        if event.kind is JournalEventKind.INTENT:
            intent, job_id = event, None
            first_intent = first_intent or event
        elif event.kind is JournalEventKind.JOB:
            job_id = event.job_id
        elif event.kind is JournalEventKind.VERDICT:
            verdict = event
        previous = event
    is_open = previous is not None and previous.kind not in CLOSING_EVENTS
    return ChunkProgress(
        chunk_id=chunk_id,
        attempt=previous.attempt if previous else 0,
        state=_state(previous, verdict, is_open=is_open),
        is_attempt_open=is_open,
        intent=intent,
        first_intent=first_intent,
        job_id=job_id if is_open else None,
        verdict=verdict,
    )


def _check_next_attempt(chunk_id: str, previous: JournalEvent | None, event: JournalEvent) -> None:
    expected = previous.attempt + 1 if previous else 1
    if event.attempt != expected:
        raise _corrupt(chunk_id, f"attempt {event.attempt} comes where attempt {expected} should be")
    if previous and previous.kind not in CLOSING_EVENTS:
        raise _corrupt(chunk_id, f"attempt {event.attempt} begins although attempt {previous.attempt} was not closed")


def _corrupt(chunk_id: str, problem: str) -> StateCorruptError:
    return StateCorruptError(
        f"journal of chunk {chunk_id}: {problem}; an entry was removed or added by hand. Restore the journal folder from "
        "a backup."
    )


def _state(last: JournalEvent | None, verdict: JournalEvent | None, *, is_open: bool) -> ChunkState:
    if is_open and last is not None:
        return ChunkState.SUBMITTED if last.kind is JournalEventKind.JOB else ChunkState.INTENDED
    if last is not None and last.kind is JournalEventKind.LOST:
        # Its job may have registered what an earlier verdict calls failed: only sending again tells.
        return ChunkState.PLANNED
    if verdict is not None and verdict.state is not None:
        return verdict.state
    return ChunkState.PLANNED
