"""From what Encord said to a verdict for every object: pure functions.

The rule: an object is registered only with the UUID of its item, from the job's reply, from the folder or from an earlier
attempt. That a job does not name an object proves nothing, whatever it counts: a DONE job is not success; its items carry
names and no URLs; skipped duplicates may be neither among the items nor counted; and errors may be counted and not listed,
listed twice, or without the URL that they are about.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from registration_pipeline.bounds.texts import shortened
from registration_pipeline.foreign_text import masked
from registration_pipeline.ids import objects_digest
from registration_pipeline.objects import KINDS, FailureReason
from registration_pipeline.submission.gateway import JobStatus
from registration_pipeline.submission.spread import UnitVerdict, spread
from registration_pipeline.submission.unit_errors import decoded, find_errors
from registration_pipeline.tracking.journal.states import ChunkState
from registration_pipeline.tracking.outcomes import ChunkOutcomes, Verdict, failed_units, unit_failures

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from registration_pipeline.planning.units import ChunkUnits, PlannedUnit
    from registration_pipeline.submission.gateway import JobReport, RemoteItem
    from registration_pipeline.tracking.journal.states import UnitFailure


_SAID_OF_ALL = frozenset({FailureReason.MANIFEST_REFUSED, FailureReason.CANCELLED, FailureReason.UNACCOUNTED})
"""Reasons that say nothing about the single object."""


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
        older: UUIDs of items that were there before the chunk was attempted first.
    """

    by_unit_id: Mapping[str, str] = field(default_factory=dict)
    by_url: Mapping[str, str] = field(default_factory=dict)
    older: frozenset[str] = frozenset()

    @classmethod
    def collect(
        cls, units: Sequence[PlannedUnit], items: Iterable[RemoteItem], *, since: datetime | None = None
    ) -> FolderEvidence:
        """Keep of ``items`` what speaks of ``units``, and stop reading when every unit was seen.

        Args:
            units: of one chunk.
            items: of its folder.
            since: items that were created before are ``older``.
        """
        ids = {unit.unit_id: unit for unit in units}
        urls = {decoded(unit.objects[0].object_url): unit.unit_id for unit in units if len(unit.objects) == 1}
        by_unit_id: dict[str, str] = {}
        by_url: dict[str, str] = {}
        seen: set[str] = set()
        older: set[str] = set()
        for item in items:
            if item.unit_id in ids and _consists_of(item, ids[item.unit_id]):
                by_unit_id[item.unit_id] = item.item_uuid
                seen.add(item.unit_id)
            elif item.url and decoded(item.url) in urls:
                by_url[decoded(item.url)] = item.item_uuid
                seen.add(urls[decoded(item.url)])
            if since is not None and item.created_at < since:
                older.add(item.item_uuid)
            if len(seen) == len(ids):
                break
        return cls(by_unit_id=by_unit_id, by_url=by_url, older=frozenset(older))

    def joined(self, other: FolderEvidence) -> FolderEvidence:
        """Return what both show; where they differ, this one counts."""
        return FolderEvidence(
            by_unit_id={**other.by_unit_id, **self.by_unit_id},
            by_url={**other.by_url, **self.by_url},
            older=self.older | other.older,
        )

    def item_of(self, unit: PlannedUnit) -> str | None:
        """Return the unit's item, if the listing showed it; by URL only the item of a single object."""
        by_url = self.by_url.get(decoded(unit.objects[0].object_url)) if len(unit.objects) == 1 else None
        return self.by_unit_id.get(unit.unit_id) or by_url

    def covers(self, units: Sequence[PlannedUnit]) -> bool:
        """Return whether every unit was seen in the folder."""
        return all(self.item_of(unit) for unit in units)


def _consists_of(item: RemoteItem, unit: PlannedUnit) -> bool:
    """Return whether an item that names a unit has its objects, too: an id says nothing of what a group consists of.

    Of one object the listing shows the URL, if it shows it for this kind; of several the metadata holds a digest.
    """
    if KINDS[unit.kind].is_group:
        return item.url is None and item.objects == objects_digest(entry.object_url for entry in unit.objects)
    return not item.url or decoded(item.url) == decoded(unit.objects[0].object_url)


def unaccounted_units(units: ChunkUnits, report: JobReport) -> list[PlannedUnit]:
    """Return the units that the job names neither as an item nor as an error."""
    names = _items_by_name(report)
    if not report.unit_errors and units.is_single and names.keys() >= set(units.values("title")):
        return []
    failed, _ = find_errors(units, report)
    return [unit for unit in units if unit.title not in names and unit.unit_id not in failed]


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
    found = list(map(items.get, units.values("title"))) if units.is_single and not report.unit_errors else []
    if found and None not in found:
        return _all_registered(units, found, attempt=attempt, at=at)
    failed, unexpected_urls = find_errors(units, report)
    verdicts: list[UnitVerdict] = []
    for unit in units:
        if unit.unit_id in failed:
            verdicts.append(failed[unit.unit_id].verdict_on(unit))
        elif unit.title in items:
            verdicts.append(UnitVerdict(Verdict.REGISTERED, items[unit.title]))
        else:
            verdicts.append(_unaccounted_unit(unit, report, evidence, unexpected_urls))
    return spread(units, verdicts, attempt=attempt, at=at)


def judge_adopted(
    units: Sequence[PlannedUnit], evidence: FolderEvidence, *, attempt: int, at: datetime
) -> ChunkOutcomes:
    """Return the verdicts of a chunk whose job is unknown and whose units were all seen in the folder."""
    verdicts = [UnitVerdict(Verdict.REGISTERED, evidence.item_of(unit)) for unit in units]
    return spread(units, verdicts, attempt=attempt, at=at)


def judge_refused(units: Sequence[PlannedUnit], message: str, *, attempt: int, at: datetime) -> ChunkOutcomes:
    """Return the verdicts of a chunk that Encord refused as a whole."""
    verdict = UnitVerdict(Verdict.FAILED, reason=FailureReason.MANIFEST_REFUSED, message=message)
    return spread(units, [verdict] * len(units), attempt=attempt, at=at)


def contested_items(outcomes: ChunkOutcomes, earlier: ChunkOutcomes) -> list[str]:
    """Return the items of an earlier attempt whose units Encord, asked again, calls bad: they may have been deleted since.

    Each item is named once, however many objects its unit has.
    """
    refused = {unit.first.unit_id for unit in failed_units(outcomes) if unit.said.reason not in _SAID_OF_ALL}
    found = (item for unit_id, item in earlier.items_by_unit().items() if unit_id in refused) if refused else ()
    return list(dict.fromkeys(found))


def keep_registered(outcomes: ChunkOutcomes, earlier: ChunkOutcomes, *, gone: Collection[str] = ()) -> ChunkOutcomes:
    """Return the outcomes with everything left registered of which an earlier attempt has the item.

    A retry sends the whole manifest again, so what is there already comes back as skipped, without its item, or fails
    together with the chunk; neither takes it out of the folder.

    Without an item are earlier outcomes that were made again from the journal, and those of versions that concluded from a
    job's silence that an object was there before: they prove nothing.

    Args:
        outcomes: of the newest attempt.
        earlier: of the attempt before.
        gone: items of ``contested_items`` that are not in Encord any more.
    """
    registered = {unit_id for unit_id, item in earlier.items_by_unit().items() if item not in gone}
    kept = registered - outcomes.items_by_unit().keys()
    return outcomes.replaced(earlier, kept) if kept else outcomes


def chunk_state(outcomes: ChunkOutcomes) -> ChunkState:
    """Return what the outcomes of all its objects make of a chunk."""
    if not outcomes.failed_objects:
        return ChunkState.SUCCEEDED
    return ChunkState.FAILED if outcomes.failed_objects == len(outcomes) else ChunkState.PARTIALLY_FAILED


def verdict_facts(units: Sequence[PlannedUnit], outcomes: ChunkOutcomes) -> VerdictFacts:
    """Return what the journal's verdict says of a chunk's outcomes."""
    failed = outcomes.failed_objects
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
    if len(set(items.values())) == len(items) == len(report.items):
        return items
    # One item can't be that of two units, and frames may be named like each other, or like another unit.
    pairs = set(report.items)
    names, uuids = Counter(item.name for item in pairs), Counter(item.item_uuid for item in pairs)
    return {item.name: item.item_uuid for item in pairs if names[item.name] == uuids[item.item_uuid] == 1}


def _unaccounted_unit(
    unit: PlannedUnit, report: JobReport, evidence: FolderEvidence, unexpected_urls: Collection[str]
) -> UnitVerdict:
    item_uuid = evidence.item_of(unit)
    if item_uuid:
        return UnitVerdict(verdict=Verdict.REGISTERED, item_uuid=item_uuid)
    if report.status is JobStatus.CANCELLED or report.units_cancelled:
        return UnitVerdict(
            verdict=Verdict.FAILED, reason=FailureReason.CANCELLED, message="the upload job was cancelled in Encord"
        )
    said = "; ".join(
        [*report.errors, *(f"an error for {masked(url)}, which was not sent" for url in sorted(unexpected_urls))]
    )
    said = shortened(said)  # each of a thousand units says it
    return UnitVerdict(
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
    return ChunkOutcomes.of_columns([*named, *same[:3], item_uuids, *same[3:] * 4])
