"""Decides about one unit: whether it is sent again, how often it has been tried then, and what changes.

What does not belong here: finding the units (``compare.py``) and where their rows go (``plan.py``). The newest metadata
counts, and what it is compared with is what the unit's item was sent last; what failed is sent again as ``RetryPolicy`` says.
"""

from __future__ import annotations

from enum import Enum, auto
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from registration_pipeline.facts.metadata.values import filled
from registration_pipeline.planning.upserts.schema import CANDIDATE_SCHEMA
from registration_pipeline.planning.upserts.texts import changed_fields, has_removed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    import pyarrow as pa

    from registration_pipeline.planning.upserts.registered import RegisteredChunk, RetryPolicy
    from registration_pipeline.planning.upserts.texts import FieldChange


class Candidate(NamedTuple):
    """A row of ``CANDIDATE_SCHEMA``: a unit, or an object of one of several."""

    kind: str
    chunk_id: str
    unit_index: int
    position: int
    key: str
    metadata: str | None
    is_known: bool | None
    problem: str | None
    message: str | None
    planned: str | None
    done_item: str | None
    done_attempt: int | None
    done_metadata: str | None
    failed_chunk: str | None
    failed_item: str | None
    failed_attempt: int | None
    failed_metadata: str | None
    failed_state: str | None
    failed_tries: int | None
    failed_at: datetime | None


class Answer(Enum):
    """What becomes of a unit."""

    SEND = auto()
    NOTHING = auto()
    """There is nothing to send."""
    KEEP = auto()
    """It failed, and is not sent again."""
    ASK = auto()
    """Its item decides, which is not known yet."""
    INVALID = auto()
    """It is registered, and its metadata is invalid or can't be read: nothing is sent."""


class Decision(NamedTuple):
    """What becomes of a unit.

    Args:
        tries: how often this metadata has been sent, with this time.
        fields: what changes.
        before: the text that they were compared with.
    """

    answer: Answer
    tries: int = 0
    fields: tuple[FieldChange, ...] = ()
    before: str | None = None


def candidates(rows: pa.RecordBatch) -> list[Candidate]:
    """Return the rows as tuples."""
    return list(map(Candidate, *(rows.column(name).to_pylist() for name in CANDIDATE_SCHEMA.names)))


def joined_units(tables: Iterable[pa.Table]) -> Iterator[Candidate]:
    """Yield units of several objects, given the rows of their objects sorted by chunk, unit and position.

    A unit is known when each of its objects is; its metadata is that of the first object, and later ones fill what it lacks.
    Its problem is that of the first object that has one.
    """
    rows = (row for table in tables for batch in table.to_batches(1_024) for row in candidates(batch))
    for _, members in groupby(rows, key=attrgetter("chunk_id", "unit_index")):
        first: Candidate | None = None
        is_known: bool | None = True
        texts: dict[str | None, None] = {}
        for member in members:
            first = first or member
            if first.problem is None and member.problem is not None:
                first = first._replace(problem=member.problem, message=member.message)
            texts[member.metadata] = None
            if is_known is not False:
                is_known = is_known if member.is_known else member.is_known
        assert first is not None
        yield first._replace(metadata=filled(*texts) if is_known else None, is_known=is_known)


def decide(
    unit: Candidate, chunk: RegisteredChunk, policy: RetryPolicy, *, now: datetime, item: str | None = None
) -> Decision:
    """Return what becomes of a unit. While its metadata is not known, what failed stays so.

    Args:
        unit: with its metadata now.
        chunk: that it was registered with.
        policy: about failures.
        now: UTC.
        item: that the unit is registered as; None: not looked up yet.
    """
    if unit.is_known is False:
        return Decision(Answer.ASK if item is None else Answer.INVALID)
    if not unit.is_known:
        return Decision(Answer.KEEP)
    if item is None and unit.metadata is not None and _depends_on_item(unit, chunk, policy):
        return Decision(Answer.ASK)
    was_done = unit.done_metadata is not None and item in (None, unit.done_item)
    before = unit.done_metadata if was_done else (unit.planned if chunk.sent_metadata else None)
    fields = tuple(changed_fields(before, unit.metadata))
    if not fields:
        return Decision(Answer.NOTHING, before=before)
    tries = _tries(unit, policy, now) if item in (None, unit.failed_item) else 1
    return Decision(Answer.SEND, tries, fields, before) if tries else Decision(Answer.KEEP)


def _tries(unit: Candidate, policy: RetryPolicy, now: datetime) -> int:
    """Return how often the metadata of a unit has been sent, with the next time; 0: it is not sent again."""
    if unit.failed_state is None or unit.failed_tries is None:
        return 1
    if unit.failed_state == policy.gone and not (policy.failed or policy.force):
        return 0
    if unit.failed_metadata != unit.metadata or policy.force:
        return 1
    if not policy.allows(unit.failed_state, unit.failed_tries):
        return 0
    is_same_try = unit.failed_at is not None and unit.failed_at <= now < unit.failed_at + policy.one_try
    return unit.failed_tries + (not is_same_try)


def lost_fields(unit: Candidate, decision: Decision) -> bool:
    """Return whether fields that were sent are not known any more, which no upsert takes away."""
    return has_removed(decision.before, unit.metadata)


def _depends_on_item(unit: Candidate, chunk: RegisteredChunk, policy: RetryPolicy) -> bool:
    """Return whether a later attempt of its chunk may have given the unit another item than the one that was sent to."""
    is_gone = unit.failed_state == policy.gone
    return (unit.done_attempt is not None and unit.done_attempt != chunk.attempt) or (
        is_gone and unit.failed_attempt != chunk.attempt
    )
