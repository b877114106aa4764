"""When something that happened becomes a message: pure rules on what was said last.

What does not belong here: comparing failures (``known.py``), recording and sending.

- Failures ring when one of them was not in the last message about failures; the others are only counted.
- A trouble (halted, killed, missed, stale) rings when the same one is not open already.
- A run that comes to its end ends the open troubles; one that only submits does not end those about the listing.
- A run that ends them without a new failure, or after which nothing is left to report, leads to one message that all is well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from registration_pipeline.notify.incident import ABOUT_LISTING, Incident, IncidentKind, kind_of
from registration_pipeline.notify.known import KnownFailures, News

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

RUNS_KEPT: Final = 100
"""Ids of runs that led to a message: both the run and the sensor that watches it may report it, within minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the messages of a source so far come to.

    Args:
        number: of the last message; 0: there was none.
        troubles: those that are open.
        known: the failures of the last message about failures; None: all is well.
        runs: ids of the last runs that led to a message.
        ended_at: when the last run ended that ended troubles or failures; what happened before is not news.
    """

    number: int = 0
    troubles: tuple[str, ...] = ()
    known: KnownFailures | None = None
    runs: tuple[str, ...] = ()
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A message to send.

    Args:
        kind: of the message, never ``ENDED``.
        incident: what it is about.
        news: which failures are new, for ``FAILED``; how many there are, for ``RECOVERED``.
        ended: kinds of the troubles that the run ended.
        memory: what is remembered once the message is recorded.
        over: the failures that were reported before and are over, all of them; None: there were none, or some remain.
    """

    kind: IncidentKind
    incident: Incident
    news: News
    ended: tuple[IncidentKind, ...]
    memory: Memory
    over: KnownFailures | None = None


def decide(memory: Memory, incident: Incident, news_of: Callable[[KnownFailures | None], News]) -> Decision | None:
    """Return the message that an incident leads to; None: it is nothing new.

    Args:
        memory: what was said before.
        incident: what happened.
        news_of: compares the failures of the run with those that are known; called for a run that came to its end.
    """
    if incident.run_id is not None and incident.run_id in memory.runs:
        return None
    if incident.kind is not IncidentKind.ENDED:
        return _trouble(memory, incident)
    open_troubles = tuple(
        trouble for trouble in memory.troubles if not incident.has_listed and kind_of(trouble) in ABOUT_LISTING
    )
    ended = tuple(dict.fromkeys(kind_of(trouble) for trouble in memory.troubles if trouble not in open_troubles))
    after = replace(_remembered(memory, incident), troubles=open_troubles, ended_at=incident.at)
    news = news_of(memory.known)
    if news.known is not None:
        return Decision(
            kind=IncidentKind.FAILED,
            incident=incident,
            news=news,
            ended=ended,
            memory=replace(after, known=news.known),
        )
    is_cured = memory.known is not None and incident.failures is not None and not news.rows
    if not ended and not is_cured:
        return None
    return Decision(
        kind=IncidentKind.RECOVERED,
        incident=incident,
        news=news,
        ended=ended,
        memory=replace(after, known=None) if is_cured else after,
        over=memory.known if is_cured else None,
    )


def _trouble(memory: Memory, incident: Incident) -> Decision | None:
    is_past = memory.ended_at is not None and incident.at <= memory.ended_at
    if is_past or incident.trouble in memory.troubles:
        return None
    after = replace(_remembered(memory, incident), troubles=(*memory.troubles, incident.trouble))
    return Decision(kind=incident.kind, incident=incident, news=News(), ended=(), memory=after)


def _remembered(memory: Memory, incident: Incident) -> Memory:
    runs = memory.runs if incident.run_id is None else (*memory.runs, incident.run_id)[-RUNS_KEPT:]
    return replace(memory, number=memory.number + 1, runs=runs)
