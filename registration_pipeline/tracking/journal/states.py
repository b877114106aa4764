"""The closed set of chunk states and of journal events, and how one follows from the other.

Pure rules belong here; reading and writing the journal is in ``journal.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from registration_pipeline.errors import StateCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


class ChunkState(StrEnum):
    """The state of a chunk.

    ``INTENDED`` means that a start may or may not have reached Encord, ``SPLIT`` that its parts are being submitted.
    """

    PLANNED = "planned"
    INTENDED = "intended"
    SUBMITTED = "submitted"
    SPLIT = "split"
    SUCCEEDED = "succeeded"
    PARTIALLY_FAILED = "partially_failed"
    FAILED = "failed"

    @property
    def is_concluded(self) -> bool:
        """Return whether every object of the chunk has a verdict and nothing is under way."""
        return self in CONCLUDED_STATES

    @property
    def is_open(self) -> bool:
        """Return whether an attempt is under way, or was when the process ended."""
        return self in OPEN_STATES


ONE_TRY = timedelta(minutes=30)
"""Verdicts this close to the last one that was counted are the same try: what repeats a run at once, or every minute while
the service is down, must not use up the tries of several nights. Less than an hour, so that every hourly run counts."""

OPEN_STATES = frozenset({ChunkState.INTENDED, ChunkState.SUBMITTED, ChunkState.SPLIT})
FAILED_STATES = frozenset({ChunkState.PARTIALLY_FAILED, ChunkState.FAILED})
CONCLUDED_STATES = FAILED_STATES | {ChunkState.SUCCEEDED}


class JournalEventKind(StrEnum):
    """What a journal entry says. The value is part of the entry's file name."""

    INTENT = "intent"
    """About to start a job for this manifest."""
    JOB = "job"
    """Encord took the manifest and gave this job id."""
    SPLIT = "split"
    """Encord refused the manifest as a whole: the chunk's two halves are submitted instead, with journals of their own."""
    NOT_SENT = "not_sent"
    """The start certainly did not reach Encord; the attempt is closed."""
    LOST = "lost"
    """The start's fate stayed unknown; quiet was waited for; the attempt is closed and may be followed by another."""
    VERDICT = "verdict"
    """Every object of the chunk has a verdict; the attempt is closed."""


# Which events may follow which within one attempt. None is the beginning of an attempt: a chunk that was split once begins
# its later attempts with the split, because its whole manifest would be refused again.
TRANSITIONS: dict[JournalEventKind | None, frozenset[JournalEventKind]] = {
    None: frozenset({JournalEventKind.INTENT, JournalEventKind.SPLIT}),
    JournalEventKind.INTENT: frozenset(
        {
            JournalEventKind.JOB,
            JournalEventKind.SPLIT,
            JournalEventKind.NOT_SENT,
            JournalEventKind.LOST,
            JournalEventKind.VERDICT,
        }
    ),
    JournalEventKind.JOB: frozenset({JournalEventKind.LOST, JournalEventKind.VERDICT}),
    # Lost: a process that slept before it wrote the split writes it after another one has given the attempt up.
    JournalEventKind.SPLIT: frozenset({JournalEventKind.LOST, JournalEventKind.VERDICT}),
    JournalEventKind.NOT_SENT: frozenset(),
    JournalEventKind.LOST: frozenset(),
    JournalEventKind.VERDICT: frozenset(),
}
CLOSING_EVENTS = frozenset(kind for kind, followers in TRANSITIONS.items() if kind is not None and not followers)
_OPEN_STATE = {
    JournalEventKind.INTENT: ChunkState.INTENDED,
    JournalEventKind.JOB: ChunkState.SUBMITTED,
    JournalEventKind.SPLIT: ChunkState.SPLIT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFailure:
    """One unit that Encord refused, as the verdict's journal entry keeps it: outcomes can be made again from these.

    Args:
        unit_index: position in the chunk, from 0.
        reason: a word of ``FailureReason``.
        position: in the unit, of the object that the error is about, where Encord said so.
    """

    unit_index: int
    reason: str
    message: str | None = None
    subtask_uuid: str | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEvent:
    """One durable entry of a chunk's journal.

    Only the fields that the kind needs are set.

    Args:
        entry_id: random; shows a writer whose reply was lost that the entry it finds is its own.
        folder_uuid: on an intent, as ``integration_uuid`` and ``manifest_sha256``.
        submit_as: on an intent: the form that the chunk is sent in, if it is not the manifest file.
        is_fresh: on the first event of an attempt: the counting of tries begins again (an object changed, or a person asked).
        parent_attempt: on the first event of a part's attempt: the attempt of the chunk that it belongs to.
        job_id: on a job, and on a verdict whose job is known.
        state: on a verdict.
        registered: on a verdict, how many objects are registered.
        failed: on a verdict, how many objects are not.
        failures: on a verdict, every unit that failed.
        reasons: on a verdict, how many units failed for which reason.
        outcomes: on a verdict, the base name of the outcomes that it vouches for.
        message: on everything that went wrong.
        trace_id: of the call to Encord that the entry is about, which Encord's support finds it by: on a job, the start; on a
            verdict, the reading of the job, or the start that was refused; on what closes or splits an attempt, the start.
    """

    kind: JournalEventKind
    chunk_id: str
    attempt: int
    at: datetime
    entry_id: str | None = None
    folder_uuid: str | None = None
    integration_uuid: str | None = None
    manifest_sha256: str | None = None
    submit_as: str | None = None
    is_fresh: bool | None = None
    parent_attempt: int | None = None
    job_id: str | None = None
    state: ChunkState | None = None
    registered: int = 0
    failed: int = 0
    failures: tuple[UnitFailure, ...] = ()
    reasons: dict[str, int] = field(default_factory=dict)
    outcomes: str | None = None
    message: str | None = None
    trace_id: str | None = None

    @property
    def failed_units(self) -> int:
        """How many units failed, on a verdict; also where ``failures`` was left out."""
        return sum(self.reasons.values())


class Conclusion(NamedTuple):
    """One verdict of a chunk, as far as figures over time need it.

    Args:
        at: when the verdict was reached.
        sent_at: when Encord accepted the manifest and gave a job; None: the verdict needed no job.
        objects: of the chunk.
        gained: objects that are registered and were not according to the verdict before; negative after items were lost.
    """

    at: datetime
    sent_at: datetime | None
    objects: int
    gained: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkProgress:
    """A chunk's journal folded.

    Args:
        attempt: number of the newest attempt, 0 before the first.
        state: of the chunk.
        is_attempt_open: whether the newest attempt has no closing event.
        is_split: whether any attempt was split.
        began: the first event of the newest attempt.
        first_intent: the oldest intent: it fixes the folder for ever, and the time since which items may exist in Encord.
        job_id: of the open attempt, if Encord gave one.
        verdict: the newest verdict of any attempt.
        tries: verdicts since the counting began; those within ``ONE_TRY`` count as one.
        conclusions: all verdicts, the oldest first. Figures, not state: two chunks in one state are equal whatever these say.
    """

    chunk_id: str
    attempt: int = 0
    state: ChunkState = ChunkState.PLANNED
    is_attempt_open: bool = False
    is_split: bool = False
    began: JournalEvent | None = None
    first_intent: JournalEvent | None = None
    job_id: str | None = None
    verdict: JournalEvent | None = None
    tries: int = 0
    conclusions: tuple[Conclusion, ...] = field(default=(), compare=False)

    @property
    def sent_sha256(self) -> str | None:
        """The digest of the manifest that was first sent, or was about to be."""
        return self.first_intent.manifest_sha256 if self.first_intent else None


def fold_events(chunk_id: str, events: Iterable[JournalEvent]) -> ChunkProgress:
    """Fold a chunk's events, given in the order of attempt and of ``TRANSITIONS``, into its state.

    Raises:
        StateCorruptError: an event follows one that it must not follow, or an attempt one that is missing or open.
    """
    previous: JournalEvent | None = None
    began = first_intent = verdict = None
    conclusions: list[Conclusion] = []
    sent_at: datetime | None = None
    job_id: str | None = None
    tries, is_split = 0, False
    counted: datetime | None = None
    for event in events:
        starts_attempt = previous is None or event.attempt != previous.attempt
        before = None if starts_attempt or previous is None else previous.kind
        if starts_attempt:
            _check_next_attempt(chunk_id, previous, event)
            began, job_id, sent_at = event, None, None
            tries, counted = (0, None) if event.is_fresh else (tries, counted)
        if event.kind not in TRANSITIONS[before]:
            raise _corrupt(chunk_id, f"attempt {event.attempt} has a {event.kind} after {before or 'nothing'}")
        if event.kind is JournalEventKind.INTENT:
            first_intent = first_intent or event
        elif event.kind is JournalEventKind.JOB:
            job_id, sent_at = event.job_id, event.at
        elif event.kind is JournalEventKind.VERDICT:
            conclusions.append(_conclusion(event, sent_at, before=verdict))
            verdict = event
            # A clock that was put back counts again: more tries than meant are better than a chunk that is never given up.
            if counted is None or not counted <= event.at < counted + ONE_TRY:
                tries, counted = tries + 1, event.at
        is_split = is_split or event.kind is JournalEventKind.SPLIT
        previous = event
    is_open = previous is not None and previous.kind not in CLOSING_EVENTS
    return ChunkProgress(
        chunk_id=chunk_id,
        attempt=previous.attempt if previous else 0,
        state=_state(previous, verdict, is_open=is_open),
        is_attempt_open=is_open,
        is_split=is_split,
        began=began,
        first_intent=first_intent,
        job_id=job_id if is_open else None,
        verdict=verdict,
        tries=tries,
        conclusions=tuple(conclusions),
    )


def _conclusion(verdict: JournalEvent, sent_at: datetime | None, *, before: JournalEvent | None) -> Conclusion:
    gained = verdict.registered - (before.registered if before else 0)
    return Conclusion(verdict.at, sent_at, verdict.registered + verdict.failed, gained)


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
        return _OPEN_STATE[last.kind]
    if last is not None and last.kind is JournalEventKind.LOST:
        # Its job may have registered what an earlier verdict calls failed: only sending again shows it.
        return ChunkState.PLANNED
    if verdict is not None and verdict.state is not None:
        return verdict.state
    return ChunkState.PLANNED
