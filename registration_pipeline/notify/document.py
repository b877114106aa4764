"""A message as a JSON document: what webhooks get, and what is recorded. docs/alerts.md has its schema.

What does not belong here: how a person reads it (``message.py``). Every foreign text in it is masked, printable and short.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.bounds.texts import shortened
from registration_pipeline.counted import counted
from registration_pipeline.foreign_text import masked, printable
from registration_pipeline.notify.incident import IncidentKind
from registration_pipeline.objects import Remedy, remedy_of
from registration_pipeline.tracking.failures.files import (
    STAGE_DATASET,
    STAGE_PLAN,
    STAGE_REGISTRATION,
    STAGE_UPSERT,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from registration_pipeline.notify.known import News
    from registration_pipeline.notify.rules import Decision
    from registration_pipeline.tracking.failures.files import FailureRow

SCHEMA: Final = "registration-pipeline/alert/1"
FIELDS: Final = (
    "schema",
    "id",
    "source",
    "kind",
    "summary",
    "at",
    "run",
    "objects",
    "new_objects",
    "known_objects",
    "over_objects",
    "reasons",
    "first_objects",
    "failure_log",
    "report",
    "error",
    "due_at",
    "last_sync_at",
    "ended",
    "what_to_do",
)
"""Every document has all of them; what does not apply is null or empty."""

COUNTS: Final = ("objects", "registered", "failed", "rejected", "accepted_rejected", "excluded", "pending")
_KEY, _MESSAGE, _ERROR, _IN_SUBJECT = 300, 300, 1_500, 90
"""Characters. A key of 1,024 bytes can be found in the failure log; a message has to fit a telephone."""

_SOURCES: Final = 5
_ALL_REGISTERED: Final = "all that should be registered is registered"

_PAST: Final = {
    IncidentKind.HALTED: "halted",
    IncidentKind.KILLED: "killed",
    IncidentKind.MISSED: "not started",
    IncidentKind.STALE: "not synced for too long",
}

_STEPS: Final = {
    IncidentKind.HALTED: (
        "Do what the error says. Nothing is lost.",
        "Then run again: registration-pipeline sync {source}, or re-execute the run in the Dagster UI.",
        "The next scheduled sync goes on by itself once the cause is gone.",
    ),
    IncidentKind.KILLED: (
        "Nothing is lost: the next run goes on where this one stopped.",
        "Check why the process ended: memory, a restart of the machine, or a person.",
        "Run again, or wait for the next scheduled sync: registration-pipeline sync {source}",
    ),
    IncidentKind.MISSED: (
        "Check in the Dagster UI that the daemon runs (Deployment, Daemons) and that no run blocks the queue (Runs, Queued).",
        "Run now: registration-pipeline sync {source}",
    ),
    IncidentKind.STALE: (
        "Check the last runs of the source, its schedule and the Dagster daemon.",
        "Run now: registration-pipeline sync {source}",
    ),
    IncidentKind.RECOVERED: ("Failures that are known remain: registration-pipeline failures {source}",),
}


def document_of(decision: Decision) -> dict[str, Any]:
    """Return the document of a message."""
    incident, kind = decision.incident, decision.kind
    counts = incident.counts() if incident.counts else {}
    return {
        "schema": SCHEMA,
        "id": f"{incident.source}/{decision.memory.number:08d}",
        "source": incident.source,
        "kind": kind.value,
        "summary": _summary(decision),
        "at": _time(incident.at),
        "run": {"id": incident.run_id, "url": incident.run_url} if incident.run_id else None,
        "objects": {name: counts[name] for name in COUNTS if name in counts} or None,
        "new_objects": sum(decision.news.new_objects.values()),
        "known_objects": decision.news.objects - sum(decision.news.new_objects.values()),
        "over_objects": _over_objects(decision),
        "reasons": [
            {"stage": stage, "reason": reason, "objects": objects, "who_acts": remedy_of(reason)}
            for (stage, reason), objects in sorted(
                decision.news.new_objects.items(), key=lambda item: (-item[1], item[0])
            )
        ],
        "first_objects": [_first(row) for row in decision.news.first],
        "failure_log": _failure_log(decision),
        "report": incident.report() if incident.report else None,
        "error": _clean(incident.error, _ERROR) if incident.error else None,
        "due_at": _time(incident.due_at),
        "last_sync_at": _time(incident.last_sync_at),
        "ended": [one.value for one in decision.ended],
        "what_to_do": _what_to_do(decision),
    }


def test_document(sources: Sequence[str], at: datetime) -> dict[str, Any]:
    """Return the document of a test message.

    Args:
        sources: of the configuration.
        at: the time.
    """
    return {
        **dict.fromkeys(FIELDS),
        "schema": SCHEMA,
        "id": f"test/{_time(at)}",
        "source": sources[0],
        "kind": IncidentKind.TEST.value,
        "summary": f"registration-pipeline: a test message for {_listed(sources)}",
        "at": _time(at),
        "new_objects": 0,
        "known_objects": 0,
        "over_objects": 0,
        "reasons": [],
        "first_objects": [],
        "ended": [],
        "what_to_do": ["Nothing: this channel works."],
    }


def _listed(sources: Sequence[str]) -> str:
    more = f" and {counted(len(sources) - _SOURCES, 'more source')}" if len(sources) > _SOURCES else ""
    return ", ".join(sources[:_SOURCES]) + more


def _failure_log(decision: Decision) -> str | None:
    news, find = decision.news, decision.incident.failure_log
    return find(news.first[0] if news.first else None) if news.rows and find else None


def _first(row: FailureRow) -> dict[str, Any]:
    return {
        "key": _clean(row.key, _KEY),
        "objects": row.objects,
        "stage": row.stage,
        "reason": row.reason,
        "message": _clean(row.message or "", _MESSAGE),
    }


def _clean(text: str, most: int) -> str:
    """Return a foreign text without secrets, on one line, and short."""
    return shortened(printable(masked(text).replace("\n", " ").replace("\r", " ")), most)


def _time(at: datetime | None) -> str | None:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at is not None else None


def _over_objects(decision: Decision) -> int:
    """Return how many objects were reported before and do not fail any more, once none does."""
    over = decision.over
    if over is None:
        return 0
    return over.fingerprint.rows if over.objects is None else over.objects


def _summary(decision: Decision) -> str:
    incident, news = decision.incident, decision.news
    source = incident.source
    if decision.kind is IncidentKind.FAILED:
        in_all = f" ({news.objects:,} in all)" if news.objects > sum(news.new_objects.values()) else ""
        return f"{source}: {_new_failures(news)}{in_all}"
    if decision.kind is IncidentKind.HALTED:
        return f"{source}: the run halted{_first_sentence(incident.error)}"
    if decision.kind is IncidentKind.KILLED:
        return f"{source}: a run was killed before its end"
    if decision.kind is IncidentKind.MISSED:
        return f"{source}: the scheduled sync did not start"
    if decision.kind is IncidentKind.STALE:
        return f"{source}: {_stale_for(decision)}"
    return f"{source}: {_recovered(decision)}"


def _recovered(decision: Decision) -> str:
    incident = decision.incident
    if decision.over is None:
        return "well again" + (", no new failures" if decision.news.rows else "")
    pending = incident.counts().get("pending") if incident.counts else None
    return f"no failures are left, {counted(pending, 'object')} pending" if pending else _ALL_REGISTERED


def _first_sentence(error: str | None) -> str:
    """Return the beginning of an error for a subject, which a telephone shows before anything is opened."""
    text = _clean(error or "", _ERROR).partition(". ")[0].rstrip(".")
    if len(text) > _IN_SUBJECT:
        begin = text[:_IN_SUBJECT]
        text = f"{begin.rpartition(' ')[0].rstrip(' ,;:') or begin[:-1]}…"  # at the end of a word
    return f": {text}" if text else ""


def _new_failures(news: News) -> str:
    """Say what failed, as one would say it first: registered objects whose metadata or link failed are not unregistered."""
    by_stage: Counter[str] = Counter()
    for (stage, _), objects in news.new_objects.items():
        by_stage[stage] += objects
    not_registered = by_stage[STAGE_PLAN] + by_stage[STAGE_REGISTRATION]
    said = [f"{counted(not_registered, 'new object')} could not be registered"] if not_registered else []
    if by_stage[STAGE_UPSERT]:
        said.append(f"new metadata of {counted(by_stage[STAGE_UPSERT], 'object')} not sent")
    if by_stage[STAGE_DATASET]:
        said.append(f"{counted(by_stage[STAGE_DATASET], 'object')} not linked to the dataset")
    return "; ".join(said)


def _stale_for(decision: Decision) -> str:
    incident = decision.incident
    if incident.last_sync_at is None:
        return "never synced"
    hours = int((incident.at - incident.last_sync_at).total_seconds() // 3600)
    return f"not synced for {counted(hours, 'hour')}"


def _what_to_do(decision: Decision) -> list[str]:
    """Return the steps, each with the command to copy; the texts name no object, so they need no cleaning."""
    if decision.kind is IncidentKind.RECOVERED and not decision.news.rows:
        return ["Nothing."]
    steps = _steps_of_failures(decision.news) if decision.kind is IncidentKind.FAILED else _STEPS[decision.kind]
    return [step.format(source=decision.incident.source) for step in steps]


def _steps_of_failures(news: News) -> Iterator[str]:
    """Yield what fits the new failures: what is rejected is never retried, and what passes by itself needs no one."""
    yield "See all of them: registration-pipeline failures {source}"
    remedies = {remedy_of(reason) for _, reason in news.new_objects}
    if remedies != {Remedy.RETRY_LATER.value}:
        yield "Fix what is listed above."
    if Remedy.RETRY_LATER.value in remedies:
        yield "What says `retry later` is tried again by the next syncs."
    if any(stage != STAGE_PLAN for stage, _ in news.new_objects):
        yield "Retry at once: registration-pipeline submit {source} --failed, or the failed partitions in the Dagster UI."
    if any(stage == STAGE_PLAN for stage, _ in news.new_objects):
        yield "Rejected objects are checked again by every sync."
        yield "Objects that should never be registered: exclude them by a rule, or name their reason in accept_rejected."


def ended_words(kinds: list[str]) -> str:
    """Return what was open before, in words, e.g. ``halted and killed``."""
    words = [_PAST[IncidentKind(kind)] for kind in kinds]
    return ", ".join(words[:-1]) + (" and " if words[1:] else "") + words[-1] if words else ""
