"""What the parts of a refused chunk share: whose parts they are, and when splitting them further is given up.

The order of acts is ``chunk.py``; ids and members of parts are ``planning/halves.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.tracking.journal.states import ChunkProgress

NOT_SENT = "the manifest is not valid and was not sent"
"""How the message of a unit begins that our own check refused: it says nothing about what Encord takes."""

GIVE_UP_AFTER = 8
"""When this many units were refused alone, and no part was accepted, the refusal is not about single entries. Halving a
chunk of 1,000 down to every unit takes 2,000 starts; this takes about 25."""


PARTLY_PRIOR = "the folder held some of its units before the first upload"
"""Why a chunk is split of which nothing was refused."""

ADOPTED_PRIOR = "adopted: in the folder before the first upload, nothing was sent"
"""The message of a verdict without a start, which says nothing of what Encord accepts."""


NOT_IN_FOLDER = "not sent: items of some units are not in their folder any more"
"""The message of a verdict on a chunk of upserts that was not sent; it says nothing of what Encord accepts either."""


@dataclass(slots=True)
class Refusals:
    """What submitting the parts of one chunk has met so far; shared by all of them, one thread."""

    alone: set[int] = field(default_factory=set)
    accepted: int = 0
    message: str = ""

    @property
    def should_stop_splitting(self) -> bool:
        """Return whether to stop splitting."""
        return len(self.alone) >= GIVE_UP_AFTER and not self.accepted

    @property
    def give_up_message(self) -> str:
        """Return why a part was not attempted."""
        return (
            f"Encord refused the chunk as a whole, and the first {len(self.alone)} units that were tried alone as well, so "
            f"the others were not tried: {self.message}"
        )

    def count_verdict(self, chunk: PlannedChunk, progress: ChunkProgress) -> None:
        """Count what Encord has accepted of a part (a job was made of it, or units are there), or the units refused alone."""
        verdict = progress.verdict
        if verdict is None or verdict.message in (ADOPTED_PRIOR, NOT_IN_FOLDER):
            return
        if verdict.job_id or verdict.registered:
            self.accepted += chunk.units
            return
        for failure in verdict.failures:
            if failure.message and not failure.message.startswith(NOT_SENT):
                self.alone.add(failure.unit_index)
                self.message = failure.message


@dataclass(frozen=True, slots=True)
class PartOf:
    """Whose part a chunk is.

    Args:
        attempt: of the whole chunk's attempt in which it is submitted.
        folder_uuid: where the whole was sent first.
    """

    attempt: int
    folder_uuid: str
    refusals: Refusals = field(default_factory=Refusals)

    @classmethod
    def of(cls, whole: PartOf | None, *, attempt: int, folder_uuid: str) -> PartOf:
        """Return what the halves of a chunk, or of a part, are parts of; they share what they meet."""
        return cls(attempt, folder_uuid, whole.refusals if whole else Refusals())
