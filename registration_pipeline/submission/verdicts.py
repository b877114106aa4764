"""From what Encord said to a verdict for every object: pure functions.

The rule: an object is registered only with the UUID of its item, from the job's reply, from the folder or from an earlier
attempt. That a job does not name an object proves nothing, whatever it counts: a DONE job is not success; its items carry
names and no URLs; skipped duplicates may be neither among the items nor counted; and errors may be counted and not listed,
listed twice, or without the URL that they are about.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypedDict
from urllib.parse import unquote

from registration_pipeline.foreign_text import masked
from registration_pipeline.objects import FailureReason
from registration_pipeline.submission.gateway import JobStatus
from registration_pipeline.submission.reasons import classify_message
from registration_pipeline.tracking.journal.states import ChunkState
from registration_pipeline.tracking.outcomes import ChunkOutcomes, Outcome, Verdict, unit_failures

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from registration_pipeline.planning.units import ChunkUnits, PlannedUnit
    from registration_pipeline.submission.gateway import JobReport, RemoteItem, UnitError
    from registration_pipeline.tracking.journal.states import UnitFailure


_SAID_OF_ALL = frozenset({FailureReason.MANIFEST_REFUSED, FailureReason.CANCELLED, FailureReason.UNACCOUNTED})
"""Reasons that say nothing about the single object."""


class _UnitVerdict(NamedTuple):
    verdict: Verdict
    item_uuid: str | None = None
    reason: FailureReason | None = None
    message: str | None = None
    subtask_uuid: str | None = None


class VerdictFacts(TypedDict):
    """What the journal's verdict says of a chunk's outcomes.

    ``registered`` and ``failed`` count objects; ``failures`` and ``reasons`` are about units (``JournalEvent``).
    """

    state: ChunkState
    registered: int
    failed: int
    failures: tuple[UnitFailure, ...]
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderEvidence:
    """What a listing of the folder showed of a chunk's units.

    Args:
        by_unit_id: item UUIDs of items that carry our provenance key.
        by_url: item UUIDs by decoded URL.
    """

    by_unit_id: Mapping[str, str] = field(default_factory=dict)
    by_url: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def collect(cls, units: Sequence[PlannedUnit], items: Iterable[RemoteItem]) -> FolderEvidence:
        """Keep of ``items`` what speaks of ``units``, and stop reading when every unit was seen."""
        ids = {unit.unit_id for unit in units}
        urls = {decoded(unit.objects[0].object_url): unit.unit_id for unit in units if len(unit.objects) == 1}
        by_unit_id: dict[str, str] = {}
        by_url: dict[str, str] = {}
        seen: set[str] = set()
        for item in items:
            if item.unit_id in ids:
                by_unit_id[item.unit_id] = item.item_uuid
                seen.add(item.unit_id)
            elif item.url and decoded(item.url) in urls:
                by_url[decoded(item.url)] = item.item_uuid
                seen.add(urls[decoded(item.url)])
            if len(seen) == len(ids):
                break
        return cls(by_unit_id=by_unit_id, by_url=by_url)

    def joined(self, other: FolderEvidence) -> FolderEvidence:
        """Return what both show; where they differ, this one counts."""
        return FolderEvidence(
            by_unit_id={**other.by_unit_id, **self.by_unit_id}, by_url={**other.by_url, **self.by_url}
        )

    def item_of(self, unit: PlannedUnit) -> str | None:
        """Return the unit's item, if the listing showed it; by URL only the item of a single object."""
        by_url = self.by_url.get(decoded(unit.objects[0].object_url)) if len(unit.objects) == 1 else None
        return self.by_unit_id.get(unit.unit_id) or by_url

    def covers(self, units: Sequence[PlannedUnit]) -> bool:
        """Return whether every unit was seen in the folder."""
        return all(self.item_of(unit) for unit in units)


def unaccounted_units(units: ChunkUnits, report: JobReport) -> list[PlannedUnit]:
    """Return the units that the job names neither as an item nor as an error."""
    names = _items_by_name(report)
    failed = _errors_by_url(report)
    if not failed and names.keys() >= set(units.values("title")):
        return []
    return [unit for unit in units if unit.title not in names and _error_of(unit, failed) is None]


def judge_job(
    units: ChunkUnits,
    report: JobReport,
    evidence: FolderEvidence,
    *,
    attempt: int,
    at: datetime,
) -> ChunkOutcomes:
    """Return the verdict for every object of a chunk whose job has ended.

    Args:
        evidence: what searches of the folder showed; needed only when ``unaccounted_units`` is not empty.
    """
    items = _items_by_name(report)
    failed = _errors_by_url(report)
    found = [] if failed else list(map(items.get, units.values("title")))
    if found and None not in found:
        return _all_registered(units, found, attempt=attempt, at=at)
    sent = {decoded(entry.object_url) for unit in units for entry in unit.objects} if failed else set()
    unexpected_urls = set(failed) - sent
    outcomes: list[Outcome] = []
    for unit in units:
        error = _error_of(unit, failed)
        if error is not None:
            verdict = _failed_unit(error)
        elif unit.title in items:
            verdict = _UnitVerdict(verdict=Verdict.REGISTERED, item_uuid=items[unit.title])
        else:
            verdict = _unaccounted_unit(unit, report, evidence, unexpected_urls)
        outcomes.extend(_outcomes(unit, verdict, attempt=attempt, at=at))
    return ChunkOutcomes.of(outcomes)


def judge_adopted(
    units: Sequence[PlannedUnit], evidence: FolderEvidence, *, attempt: int, at: datetime
) -> ChunkOutcomes:
    """Return the verdicts of a chunk whose job is unknown and whose units were all seen in the folder."""
    return ChunkOutcomes.of(
        outcome
        for unit in units
        for outcome in _outcomes(
            unit,
            _UnitVerdict(verdict=Verdict.REGISTERED, item_uuid=evidence.item_of(unit)),
            attempt=attempt,
            at=at,
        )
    )


def judge_refused(units: Sequence[PlannedUnit], message: str, *, attempt: int, at: datetime) -> ChunkOutcomes:
    """Return the verdicts of a chunk that Encord refused as a whole."""
    verdict = _UnitVerdict(verdict=Verdict.FAILED, reason=FailureReason.MANIFEST_REFUSED, message=message)
    return ChunkOutcomes.of(outcome for unit in units for outcome in _outcomes(unit, verdict, attempt=attempt, at=at))


def is_proven(outcome: Outcome) -> bool:
    """Return whether an outcome names the item that its object is registered as.

    Without an item are outcomes that were made again from the journal, and those of versions that concluded from a job's
    silence that an object was there before.
    """
    return outcome.verdict.is_registered and outcome.item_uuid is not None


def contested_items(outcomes: ChunkOutcomes, earlier: Sequence[Outcome]) -> list[str]:
    """Return the items of an earlier attempt whose units Encord, asked again, calls bad: they may have been deleted since.

    Each item is named once, however many objects its unit has.
    """
    refused = {outcome.unit_id for outcome in outcomes.failed if outcome.reason not in _SAID_OF_ALL}
    found = (outcome.item_uuid for outcome in earlier if outcome.unit_id in refused and outcome.item_uuid)
    return list(dict.fromkeys(found)) if refused else []


def keep_registered(
    outcomes: ChunkOutcomes, earlier: Sequence[Outcome], *, gone: Collection[str] = ()
) -> ChunkOutcomes:
    """Return the outcomes with everything left registered of which an earlier attempt has the item.

    A retry sends the whole manifest again, so what is there already comes back as skipped, without its item, or fails
    together with the chunk; neither takes it out of the folder.

    Args:
        gone: items of ``contested_items`` that are not in Encord any more.
    """
    registered = {outcome.key: outcome for outcome in earlier if is_proven(outcome) and outcome.item_uuid not in gone}
    if not registered:
        return outcomes
    return ChunkOutcomes.of(
        registered[outcome.key]
        if outcome.key in registered and (outcome.verdict is not Verdict.REGISTERED or not outcome.item_uuid)
        else outcome
        for outcome in outcomes
    )


def chunk_state(outcomes: ChunkOutcomes) -> ChunkState:
    """Return what the outcomes of all its objects make of a chunk."""
    if not outcomes.failed:
        return ChunkState.SUCCEEDED
    return ChunkState.FAILED if len(outcomes.failed) == len(outcomes) else ChunkState.PARTIALLY_FAILED


def verdict_facts(units: Sequence[PlannedUnit], outcomes: ChunkOutcomes) -> VerdictFacts:
    """Return what the journal's verdict says of a chunk's outcomes."""
    failed = len(outcomes.failed)
    failures = unit_failures(units, outcomes) if failed else ()
    return {
        "state": chunk_state(outcomes),
        "registered": len(outcomes) - failed,
        "failed": failed,
        "failures": failures,
        "reasons": dict(Counter(failure.reason for failure in failures)),
    }


def _items_by_name(report: JobReport) -> dict[str, str]:
    # Whether a job that ends as ERROR takes back what it lists is not known (contract, section 6.1): only the folder shows it.
    if report.status is JobStatus.ERROR:
        return {}
    items = {item.name: item.item_uuid for item in report.items}
    if len(set(items.values())) == len(items):
        return items
    names = Counter(items.values())  # one item can't be that of two units: which of them it proves is not known
    return {name: item_uuid for name, item_uuid in items.items() if names[item_uuid] == 1}


def _errors_by_url(report: JobReport) -> dict[str, UnitError]:
    return {decoded(url): error for error in report.unit_errors for url in error.object_urls}


def _error_of(unit: PlannedUnit, failed: Mapping[str, UnitError]) -> UnitError | None:
    urls = (decoded(entry.object_url) for entry in unit.objects) if failed else ()
    return next((failed[url] for url in urls if url in failed), None)


def decoded(url: str) -> str:
    """Return what two URLs have in common that mean the same object."""
    # Whether Encord gives URLs back as they were submitted or in an equivalent encoding is not known (contract, section 10).
    return unquote(url)


def _failed_unit(error: UnitError) -> _UnitVerdict:
    return _UnitVerdict(
        verdict=Verdict.FAILED,
        reason=classify_message(error.message),
        message=error.message,
        subtask_uuid=error.subtask_uuid,
    )


def _unaccounted_unit(
    unit: PlannedUnit, report: JobReport, evidence: FolderEvidence, unexpected_urls: Collection[str]
) -> _UnitVerdict:
    item_uuid = evidence.item_of(unit)
    if item_uuid:
        return _UnitVerdict(verdict=Verdict.REGISTERED, item_uuid=item_uuid)
    if report.status is JobStatus.CANCELLED or report.units_cancelled:
        return _UnitVerdict(
            verdict=Verdict.FAILED, reason=FailureReason.CANCELLED, message="the upload job was cancelled in Encord"
        )
    said = "; ".join(
        [*report.errors, *(f"an error for {masked(url)}, which was not sent" for url in sorted(unexpected_urls))]
    )
    return _UnitVerdict(
        verdict=Verdict.FAILED,
        reason=FailureReason.UNACCOUNTED,
        message=f"the job ended {report.status} and names this object neither as an item nor as an error, and no search of "
        f"the folder shows it. The job counts {report.units_done} done, {report.units_error} errors of which it lists "
        f"{len(report.unit_errors)}, {report.units_pending} pending: {said or 'no error text'}",
    )


def _all_registered(
    units: ChunkUnits, item_uuids: Sequence[str | None], *, attempt: int, at: datetime
) -> ChunkOutcomes:
    """Return the outcomes of units that a job names, all of them and none as an error; by columns, for it is the rule."""
    same = [(value,) * len(item_uuids) for value in (Verdict.REGISTERED, attempt, at, None)]
    named = map(units.column, ("key", "object_url", "unit_id"))
    return ChunkOutcomes.of_columns([*named, *same[:3], item_uuids, same[3], same[3], same[3]])


def _outcomes(unit: PlannedUnit, verdict: _UnitVerdict, *, attempt: int, at: datetime) -> list[Outcome]:
    said = (verdict.item_uuid, verdict.reason, verdict.message, verdict.subtask_uuid)
    return [
        Outcome(entry.key, entry.object_url, unit.unit_id, verdict.verdict, attempt, at, *said)
        for entry in unit.objects
    ]
