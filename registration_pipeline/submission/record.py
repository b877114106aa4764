"""A chunk's journal as one submission of it reads and writes it: where it stands, and the next entry.

What does not belong here: which entry is next (``chunk.py``), and how entries are stored (``tracking/journal``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registration_pipeline.errors import StateConflictError, StoppedError
from registration_pipeline.submission.split import PARTLY_PRIOR
from registration_pipeline.tracking.journal.states import ChunkProgress, JournalEvent, JournalEventKind, fold_events
from registration_pipeline.tracking.outcomes import ChunkOutcomes, read_outcomes

if TYPE_CHECKING:
    from registration_pipeline.submission.context import SubmissionContext


class BegunByAnotherError(Exception):
    """A chunk that was known to have no journal has one: a process that had lost the lease wrote to it. Nothing was sent."""


@dataclass(slots=True)
class ChunkRecord:
    """The journal of one chunk or part; short-lived, one thread."""

    context: SubmissionContext
    chunk_id: str
    events: list[JournalEvent] = field(default_factory=list)
    has_leftovers: bool = False
    """Whether an attempt was open when the journal was read: files of it may be there that no verdict names."""
    trace_id: str | None = None
    """Of the call to Encord that the next entries are about; an intent is before any call."""
    _is_assumed: bool = False

    def begin_untouched(self) -> bool:
        """Begin without reading the journal, where it is known to be empty; False: it has to be read.

        The first entry raises ``BegunByAnotherError`` if it is not empty after all.
        """
        self._is_assumed = self.context.untouched(self.chunk_id)
        return self._is_assumed

    def load(self) -> ChunkProgress:
        """Read the journal."""
        self._is_assumed = False
        self.events = self.context.journal.events(self.chunk_id)
        self.has_leftovers = self.progress.is_attempt_open
        return self.progress

    @property
    def progress(self) -> ChunkProgress:
        """The state of the chunk, as far as this process knows."""
        return fold_events(self.chunk_id, self.events)

    @property
    def reason_of_parts(self) -> str:
        """Why the chunk was split, when it was first."""
        first = next((event for event in self.events if event.kind is JournalEventKind.SPLIT), None)
        return PARTLY_PRIOR if first and first.message == PARTLY_PRIOR else "Encord refused it as a whole"

    def append(self, kind: JournalEventKind, *, attempt: int | None = None, **facts: object) -> JournalEvent:
        """Write the next entry, by default of the newest attempt.

        Raises:
            StoppedError: another process wrote it.
            BegunByAnotherError: the same, where the journal was not read before.
        """
        event = JournalEvent(
            kind=kind,
            chunk_id=self.chunk_id,
            attempt=attempt or self.progress.attempt,
            at=self.context.clock(),
            trace_id=None if kind is JournalEventKind.INTENT else self.trace_id,
            **facts,  # type: ignore[arg-type]  # the dataclass checks the names; the values come from typed callers
        )
        try:
            event = self.context.journal.append(event)
        except StateConflictError as error:
            if self._is_assumed:
                raise BegunByAnotherError from error
            raise self._overtaken(str(error)) from error
        self._is_assumed = False
        self.events.append(event)
        if kind is JournalEventKind.VERDICT:
            self.context.concluded(self.chunk_id, self.events)
        return event

    def earlier(self) -> ChunkOutcomes:
        """Return the outcomes of the newest verdict; none if there is none."""
        verdict = self.progress.verdict
        return read_outcomes(self.context.store, self.context.source, verdict) if verdict else ChunkOutcomes.of([])

    def check_still_open(self) -> None:
        """Read the journal once more, and go on only if the newest attempt is still open.

        Raises:
            StoppedError: another process took the chunk over meanwhile.
        """
        if not self.is_still_open():
            raise self._overtaken(f"attempt {self.progress.attempt} has been closed")

    def is_still_open(self) -> bool:
        """Read the journal once more: another process may have taken over meanwhile."""
        latest = self.context.journal.progress(self.chunk_id)
        return latest.attempt == self.progress.attempt and latest.is_attempt_open

    def folder_uuid(self, whole: str | None) -> str:
        """Return the folder that the chunk goes to: duplicates are skipped per folder, so it stays with its first one.

        Args:
            whole: of a part: where the whole was sent first.
        """
        first = self.progress.first_intent
        return (first.folder_uuid if first else None) or whole or self.context.target.folder_uuid

    def _overtaken(self, how: str) -> StoppedError:
        return StoppedError(
            f"Another process works on chunk {self.chunk_id} ({how}). It will conclude the chunk; run again when it has "
            "ended."
        )
