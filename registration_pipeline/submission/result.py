"""What became of a chunk, as values for the code that shows it. Nothing is decided or recorded here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from registration_pipeline.submission.doubt import MOST_IN_A_ROW
from registration_pipeline.tracking.journal.states import ChunkState
from registration_pipeline.tracking.outcomes import failed_units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registration_pipeline.manifest.files import Manifest
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.submission.doubt import Doubt
    from registration_pipeline.tracking.journal.states import ChunkProgress, JournalEvent
    from registration_pipeline.tracking.outcomes import ChunkOutcomes, FailedUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class InDoubt:
    """A chunk whose start may have happened; only quiet can decide.

    Args:
        doubts: of the chunk, or of each of its parts that is in doubt, by id.
    """

    chunk: PlannedChunk
    folder_uuid: str
    doubts: Mapping[str, Doubt]
    message: str

    @property
    def is_refused(self) -> bool:
        """Return whether a start was answered with a refusal that is not proven to be Encord's own."""
        return any(doubt.refusal is not None for doubt in self.doubts.values())

    @property
    def concerns_all(self) -> bool:
        """Return whether starts of other chunks would be answered in the same way."""
        return any(doubt.concerns_all for doubt in self.doubts.values())

    @property
    def is_hopeless(self) -> bool:
        """Return whether a start was in doubt so often in a row that sending again has no prospect."""
        return any(doubt.in_a_row >= MOST_IN_A_ROW for doubt in self.doubts.values())


def joined_doubts(whole: PlannedChunk, parts: Sequence[InDoubt]) -> InDoubt:
    """Return the doubts about parts of a chunk as those about the chunk."""
    by_id = {chunk_id: doubt for part in parts for chunk_id, doubt in part.doubts.items()}
    return replace(parts[0], chunk=whole, doubts=by_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyChunk:
    """A chunk whose manifest is in the state, right before it is sent."""

    chunk: PlannedChunk
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkResult:
    """A concluded chunk.

    Args:
        reasons: failed units by reason.
        outcomes: base name of the file with the verdict for every object.
        failures: a sample of the failed units, at most ``SAMPLE_SIZE``; empty when the verdict was only read back.
        seconds: from the beginning of the attempt to its verdict; None where the beginning is not known.
        folder_uuid: Encord's folder that the chunk goes to; None where it is not known.
        is_new: whether this run reached the verdict, as against having found it in the journal.
    """

    chunk: PlannedChunk
    state: ChunkState
    attempt: int
    registered_objects: int
    failed_objects: int
    failed_units: int
    job_id: str | None
    message: str | None
    is_new: bool
    outcomes: str | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)
    failures: Sequence[FailedUnit] = ()
    seconds: float | None = None
    folder_uuid: str | None = None

    @property
    def registered_units(self) -> int:
        """How many units are registered."""
        return self.chunk.units - self.failed_units

    @property
    def has_failures(self) -> bool:
        """Return whether any object of the chunk is not registered."""
        return self.state is not ChunkState.SUCCEEDED


SAMPLE_SIZE = 10


def result_from_verdict(
    chunk: PlannedChunk,
    verdict: JournalEvent,
    *,
    outcomes: ChunkOutcomes | None = None,
    progress: ChunkProgress | None = None,
) -> ChunkResult:
    """Return the result that follows from a verdict; with ``outcomes`` it is one that was reached just now.

    Args:
        chunk: of which.
        verdict: its newest one.
        outcomes: the verdict for every object.
        progress: the state of the chunk, which says when the attempt began and where the chunk goes.
    """
    began = progress.began if progress else None
    first = progress.first_intent if progress else None
    failed = failed_units(outcomes) if outcomes is not None else []
    return ChunkResult(
        chunk=chunk,
        state=verdict.state or ChunkState.FAILED,
        attempt=verdict.attempt,
        registered_objects=verdict.registered,
        failed_objects=verdict.failed,
        failed_units=verdict.failed_units,
        job_id=verdict.job_id,
        message=verdict.message,
        is_new=outcomes is not None,
        outcomes=verdict.outcomes,
        reasons=verdict.reasons,
        failures=tuple(failed[:SAMPLE_SIZE]),
        seconds=(verdict.at - began.at).total_seconds() if began and began.attempt == verdict.attempt else None,
        folder_uuid=first.folder_uuid if first else None,
    )
