"""``Effect`` of upserts: items that are there get other metadata, and none is made.

A start is only made when each item is in its folder at that moment: Encord would make a new item of one that it does not find.
A job that ended proves nothing; the metadata that the items show does (``shown.py``).
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from registration_pipeline.objects import FailureReason
from registration_pipeline.planning.halves import whole_of
from registration_pipeline.planning.upserts.texts import CHUNK_KEY
from registration_pipeline.planning.upserts.writer import read_items
from registration_pipeline.submission.effect import Unsent
from registration_pipeline.submission.evidence import present_items
from registration_pipeline.submission.gateway import JobStatus
from registration_pipeline.submission.split import NOT_IN_FOLDER
from registration_pipeline.submission.spread import UnitVerdict, spread
from registration_pipeline.submission.unit_errors import find_errors
from registration_pipeline.submission.upserts.shown import ShownEvidence, shown_evidence
from registration_pipeline.submission.verdicts import FolderEvidence, unaccounted_units
from registration_pipeline.tracking.failures.files import STAGE_UPSERT
from registration_pipeline.tracking.failures.log import chunk_failures
from registration_pipeline.tracking.outcomes import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from registration_pipeline.planning.units import ChunkUnits, PlannedUnit
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.submission.context import SubmissionContext
    from registration_pipeline.submission.gateway import JobReport
    from registration_pipeline.submission.record import ChunkRecord
    from registration_pipeline.tracking.failures.files import FailureRow
    from registration_pipeline.tracking.outcomes import ChunkOutcomes

_CHUNKS_IN_HAND: Final = 64
"""Chunks whose items are kept: more than are ever under way at once."""

_GONE: Final = (
    "item {item} is not in folder {folder} any more: it was deleted or moved in Encord, or the key may not see it. Nothing "
    "was sent, because Encord would make a new item. Move it back, or register it "
    "again with `submit {source} --chunk {chunk} --force`"
)
_REMADE: Final = (
    "item {item} was deleted while its metadata was sent, and Encord made item {other} in its place, which no record of this "
    "pipeline has: delete one of them"
)


@dataclass(slots=True)
class UpsertEffect:
    """See the module.

    Args:
        chunks: every planned chunk of upserts, by id.
    """

    chunks: Mapping[str, PlannedChunk]
    is_upsert: bool = True
    _items: dict[str, tuple[dict[str, str], str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def folder_uuid(self, context: SubmissionContext, chunk: PlannedChunk) -> str | None:
        """See ``Effect``."""
        return self._of(context, chunk)[1]

    def unsent(self, context: SubmissionContext, chunk: PlannedChunk, units: ChunkUnits) -> Unsent | None:
        """See ``Effect``."""
        items, folder_uuid = self._of(context, chunk)
        unit_ids: list[str] = units.first_values("unit_id")
        wanted = list(dict.fromkeys(items[unit_id] for unit_id in unit_ids))
        present = present_items(context.gateway, context.calls, wanted, folder_uuid)
        if len(present) == len(wanted):
            return None
        again = UnitVerdict(
            Verdict.FAILED, reason=FailureReason.PLANNED_AGAIN, message="its chunk was not sent; it is planned again"
        )
        source = context.source.partition("/")[0]
        verdicts = {
            unit_id: again
            if items[unit_id] in present
            else UnitVerdict(
                Verdict.FAILED,
                reason=FailureReason.NOT_IN_ENCORD,
                message=_GONE.format(
                    item=items[unit_id], folder=folder_uuid, source=source, chunk=json.loads(text)[CHUNK_KEY]
                ),
            )
            for unit_id, text in zip(unit_ids, units.first_values("client_metadata"), strict=True)
        }
        return Unsent(NOT_IN_FOLDER, verdicts)

    def sought(self, units: ChunkUnits, report: JobReport) -> list[PlannedUnit]:
        """See ``Effect``: that a job names an item says nothing of its metadata."""
        return unaccounted_units(units, replace(report, items=()))

    def may_come(self, sought: Sequence[PlannedUnit], evidence: FolderEvidence) -> bool:
        """See ``Effect``: how soon metadata shows after the end of a job is not documented."""
        return not evidence.covers(sought)

    def judge(
        self, units: ChunkUnits, report: JobReport, evidence: FolderEvidence, *, attempt: int, at: datetime
    ) -> ChunkOutcomes:
        """See ``Effect``."""
        errors, _ = find_errors(units, report)
        verdicts = [
            errors[unit.unit_id].verdict_on(unit) if unit.unit_id in errors else _verdict(unit, report, evidence)
            for unit in units
        ]
        return spread(units, verdicts, attempt=attempt, at=at)

    def evidence(
        self,
        context: SubmissionContext,
        record: ChunkRecord,
        chunk: PlannedChunk,
        folder_uuid: str,
        units: Sequence[PlannedUnit],
    ) -> FolderEvidence:
        """See ``Effect``."""
        del record
        return shown_evidence(context.gateway, context.calls, folder_uuid, units, self._of(context, chunk)[0])

    def failed_evidence(
        self,
        context: SubmissionContext,
        record: ChunkRecord,
        chunk: PlannedChunk,
        folder_uuid: str,
        units: Sequence[PlannedUnit],
    ) -> FolderEvidence:
        """See ``Effect``: an attempt that failed, or that was lost, may have had its effect all the same."""
        return self.evidence(context, record, chunk, folder_uuid, units)

    def failures(self, source: str, chunk_id: str, outcomes: ChunkOutcomes) -> list[FailureRow]:
        """See ``Effect``."""
        return chunk_failures(source.partition("/")[0], chunk_id, outcomes, stage=STAGE_UPSERT)

    def _of(self, context: SubmissionContext, chunk: PlannedChunk) -> tuple[dict[str, str], str]:
        """Return the items of the whole chunk by unit id, and their folder."""
        whole = whole_of(chunk.chunk_id)
        with self._lock:
            found = self._items.get(whole)
        if found is None:
            found = read_items(context.store, context.source, self.chunks[whole])
            with self._lock:
                self._items[whole] = found
                if len(self._items) > _CHUNKS_IN_HAND:
                    del self._items[next(iter(self._items))]
        return found


def _verdict(unit: PlannedUnit, report: JobReport, evidence: FolderEvidence) -> UnitVerdict:
    item_uuid = evidence.item_of(unit)
    if item_uuid:
        return UnitVerdict(Verdict.REGISTERED, item_uuid)
    own = evidence.items.get(unit.unit_id) if isinstance(evidence, ShownEvidence) else None
    said = evidence.said.get(unit.unit_id) if isinstance(evidence, ShownEvidence) else None
    other = next((item.item_uuid for item in report.items if item.name == unit.title and item.item_uuid != own), None)
    if other is not None:
        message = _REMADE.format(item=own, other=other)
        return UnitVerdict(Verdict.FAILED, reason=FailureReason.NOT_IN_ENCORD, message=message)
    if report.status is JobStatus.CANCELLED:
        message = "the upload job was cancelled in Encord"
        return UnitVerdict(Verdict.FAILED, reason=FailureReason.CANCELLED, message=message)
    return UnitVerdict(
        Verdict.FAILED,
        reason=FailureReason.METADATA_NOT_SHOWN,
        message=f"the upload job ended {report.status}, and {said or 'its item does not show what was sent'}",
    )
