"""What became of a chunk, as values for whoever shows it. Nothing is decided or recorded here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registration_pipeline.tracking.journal.states import ChunkState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.tracking.journal.states import JournalEvent
    from registration_pipeline.tracking.outcomes import ChunkOutcomes, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class InDoubt:
    """A chunk whose start may have happened; only quiet can tell.

    Args:
        seen: attempt and state of the chunk, or of each of its parts that is in doubt; if a journal has moved on meanwhile,
            another process knows more.
    """

    chunk: PlannedChunk
    folder_uuid: str
    seen: Mapping[str, tuple[int, ChunkState]]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkResult:
    """A concluded chunk. Counts are objects.

    Args:
        reasons: failed objects by reason; empty when the verdict was only read back.
        outcomes: base name of the file with the verdict for every object; None while there is none.
        failures: a sample of the failed objects, at most ``SAMPLE_SIZE``.
        is_new: whether this run reached the verdict, as against having found it in the journal.
    """

    chunk: PlannedChunk
    state: ChunkState
    attempt: int
    registered: int
    failed: int
    job_id: str | None
    message: str | None
    is_new: bool
    outcomes: str | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)
    failures: Sequence[Outcome] = ()

    @property
    def has_failures(self) -> bool:
        """Tell whether any object of the chunk is not registered."""
        return self.state is not ChunkState.SUCCEEDED


SAMPLE_SIZE = 10


def result_from_verdict(
    chunk: PlannedChunk, verdict: JournalEvent, *, outcomes: ChunkOutcomes | None = None
) -> ChunkResult:
    """Return the result that a verdict stands for; with ``outcomes`` it is one that was reached just now."""
    failed = outcomes.failed if outcomes is not None else ()
    return ChunkResult(
        chunk=chunk,
        state=verdict.state or ChunkState.FAILED,
        attempt=verdict.attempt,
        registered=verdict.registered,
        failed=verdict.failed,
        job_id=verdict.job_id,
        message=verdict.message,
        is_new=outcomes is not None,
        outcomes=verdict.outcomes,
        reasons=Counter(str(outcome.reason) for outcome in failed),
        failures=tuple(failed[:SAMPLE_SIZE]),
    )
