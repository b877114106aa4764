"""What sending a chunk is for, and what proves that it came: the difference between registering and sending metadata again.

The order of acts is the same for both and is in ``chunk.py``. Registering is here, upserts are in ``upserts/effect.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from registration_pipeline.submission.evidence import chunk_evidence, failed_evidence
from registration_pipeline.submission.spread import UnitVerdict, spread
from registration_pipeline.submission.verdicts import judge_job, unaccounted_units
from registration_pipeline.tracking.failures.log import chunk_failures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from registration_pipeline.planning.units import ChunkUnits, PlannedUnit
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.submission.context import SubmissionContext
    from registration_pipeline.submission.gateway import JobReport
    from registration_pipeline.submission.record import ChunkRecord
    from registration_pipeline.submission.verdicts import FolderEvidence
    from registration_pipeline.tracking.failures.files import FailureRow
    from registration_pipeline.tracking.journal.states import ChunkProgress
    from registration_pipeline.tracking.outcomes import ChunkOutcomes


class Unsent(NamedTuple):
    """Why a chunk must not be sent, and what that makes of its units.

    Args:
        verdicts: by unit id, of all of them.
    """

    message: str
    verdicts: Mapping[str, UnitVerdict]

    def outcomes(self, units: ChunkUnits, progress: ChunkProgress, context: SubmissionContext) -> ChunkOutcomes:
        """Return the outcomes of all objects."""
        verdicts = [self.verdicts[unit_id] for unit_id in units.first_values("unit_id")]
        return spread(units, verdicts, attempt=progress.attempt, at=context.clock())


class Effect(Protocol):
    """What sending a chunk is for. Safe to share between threads."""

    @property
    def is_upsert(self) -> bool:
        """Whether items get other metadata, as against being made."""

    def folder_uuid(self, context: SubmissionContext, chunk: PlannedChunk) -> str | None:
        """Return the folder that a whole chunk must go to; None: that of the source."""

    def unsent(self, context: SubmissionContext, chunk: PlannedChunk, units: ChunkUnits) -> Unsent | None:
        """Return why a chunk or part must not be sent now, asked right before its start; None: it may be.

        Raises:
            HaltError: Encord can't be asked.
        """

    def sought(self, units: ChunkUnits, report: JobReport) -> list[PlannedUnit]:
        """Return the units that the report of a job does not settle."""

    def may_come(self, sought: Sequence[PlannedUnit], evidence: FolderEvidence) -> bool:
        """Return whether what the job did may show later on."""

    def judge(
        self, units: ChunkUnits, report: JobReport, evidence: FolderEvidence, *, attempt: int, at: datetime
    ) -> ChunkOutcomes:
        """Return the verdict for every object of a chunk whose job has ended."""

    def evidence(
        self,
        context: SubmissionContext,
        record: ChunkRecord,
        chunk: PlannedChunk,
        folder_uuid: str,
        units: Sequence[PlannedUnit],
    ) -> FolderEvidence:
        """Return what Encord shows of units of a chunk, or part, that was attempted.

        Raises:
            HaltError: Encord can't be asked.
        """

    def failed_evidence(
        self,
        context: SubmissionContext,
        record: ChunkRecord,
        chunk: PlannedChunk,
        folder_uuid: str,
        units: Sequence[PlannedUnit],
    ) -> FolderEvidence:
        """Return what is there of units that failed.

        Raises:
            HaltError: Encord can't be asked.
        """

    def failures(self, source: str, chunk_id: str, outcomes: ChunkOutcomes) -> list[FailureRow]:
        """Return the rows of a chunk's failure log.

        Args:
            source: as the state names it.
        """


class Registration:
    """``Effect``: a unit becomes an item of the folder, and is registered with that item's UUID (``verdicts.py``)."""

    is_upsert = False

    def folder_uuid(self, context: SubmissionContext, chunk: PlannedChunk) -> str | None:
        """See ``Effect``."""
        del context, chunk
        return None

    def unsent(self, context: SubmissionContext, chunk: PlannedChunk, units: ChunkUnits) -> Unsent | None:
        """See ``Effect``."""
        del context, chunk, units
        return None

    def sought(self, units: ChunkUnits, report: JobReport) -> list[PlannedUnit]:
        """See ``Effect``."""
        return unaccounted_units(units, report)

    def may_come(self, sought: Sequence[PlannedUnit], evidence: FolderEvidence) -> bool:
        """See ``Effect``."""
        del sought, evidence
        return False

    def judge(
        self, units: ChunkUnits, report: JobReport, evidence: FolderEvidence, *, attempt: int, at: datetime
    ) -> ChunkOutcomes:
        """See ``Effect``."""
        return judge_job(units, report, evidence, attempt=attempt, at=at)

    def evidence(
        self,
        context: SubmissionContext,
        record: ChunkRecord,
        chunk: PlannedChunk,
        folder_uuid: str,
        units: Sequence[PlannedUnit],
    ) -> FolderEvidence:
        """See ``Effect``."""
        del chunk
        return chunk_evidence(context, record.progress, folder_uuid, units)

    def failed_evidence(
        self,
        context: SubmissionContext,
        record: ChunkRecord,
        chunk: PlannedChunk,
        folder_uuid: str,
        units: Sequence[PlannedUnit],
    ) -> FolderEvidence:
        """See ``Effect``."""
        del chunk
        return failed_evidence(context, record.events, record.progress, folder_uuid, units)

    def failures(self, source: str, chunk_id: str, outcomes: ChunkOutcomes) -> list[FailureRow]:
        """See ``Effect``."""
        return chunk_failures(source, chunk_id, outcomes)
