"""The chunks of a source as rows for people and programs: state, attempts, upload job and what was said last.

What does not belong here: what makes a chunk due (``due.py``), and the table that is printed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import ChunkState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.journal.states import ChunkProgress
    from registration_pipeline.tracking.snapshot import SourceSnapshot

_SHOWN_AS: Final = {ChunkState.INTENDED: ChunkState.SUBMITTED, ChunkState.SPLIT: ChunkState.SUBMITTED}
SHOWN_STATES: Final = tuple(state.value for state in ChunkState if state not in _SHOWN_AS)
"""The states of ``status --json``; what is being sent, and what is being sent in parts, is ``submitted``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkInfo:
    """A planned chunk and where it is.

    Args:
        chunk_id: also the key of its partition in Dagster.
        kind: of its units: ``images``, ``videos``…
        state: one of ``SHOWN_STATES``.
        units: what Encord registers of it.
        objects: of the bucket, in those units.
        bytes: their sizes together.
        failed_units: units that are not registered, by the newest verdict; 0 while there is none.
        reasons: those, by reason.
        attempts: how often it was sent, or was about to be.
        job_id: Encord's upload job, of the open attempt or of the newest verdict; None: there is none.
        message: what was said last of it, by Encord or of a start that came to nothing; None: nothing went wrong.
        wave_id: the planning run that made it.
        planned_from: start of the inventory that it was planned from, UTC.
        changed_at: of the newest verdict, or of the first event of an open attempt, UTC; None: it was never sent.
    """

    chunk_id: str
    kind: str
    state: str
    units: int
    objects: int
    bytes: int
    failed_units: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    attempts: int
    job_id: str | None
    message: str | None
    wave_id: str
    planned_from: datetime
    changed_at: datetime | None

    def as_json(self) -> dict[str, object]:
        """Return a row of ``chunks --json``."""
        times = {"planned_from": _text_of(self.planned_from), "changed_at": _text_of(self.changed_at)}
        return {**asdict(self), "reasons": dict(self.reasons), **times}


def shown_state(state: ChunkState) -> str:
    """Return the name that a state has in ``status --json``."""
    return _SHOWN_AS.get(state, state).value


def list_chunks(store: StateStore, snapshot: SourceSnapshot, states: Collection[str] = ()) -> Iterator[ChunkInfo]:
    """Yield the chunks of a source in planning order.

    Reads nothing but the journals of chunks whose last attempt came to nothing, one at a time.

    Args:
        store: the state.
        snapshot: of the source.
        states: only chunks in one of these; all by default.

    Raises:
        StateCorruptError: a journal is damaged.
    """
    journal = Journal(store, snapshot.source)
    for chunk_id, chunk in snapshot.chunks.items():
        progress = snapshot.progress_of(chunk_id)
        if not states or shown_state(progress.state) in states:
            yield chunk_info(chunk, progress, journal)


def chunk_info(chunk: PlannedChunk, progress: ChunkProgress, journal: Journal) -> ChunkInfo:
    """Return one chunk as a row."""
    verdict, began = progress.verdict, progress.began
    is_latest = verdict is not None and verdict.attempt == progress.attempt
    message = verdict.message if verdict is not None else None
    changed_at = verdict.at if verdict is not None else None
    if not is_latest and began is not None:
        message, changed_at = message if progress.is_attempt_open else None, began.at
        if not progress.is_attempt_open:
            last = journal.events(chunk.chunk_id)[-1]
            message, changed_at = last.message, last.at
    return ChunkInfo(
        chunk_id=chunk.chunk_id,
        kind=chunk.kind.value,
        state=shown_state(progress.state),
        units=chunk.units,
        objects=chunk.objects,
        bytes=chunk.bytes,
        failed_units=verdict.failed_units if verdict is not None else 0,
        reasons=verdict.reasons if verdict is not None else {},
        attempts=progress.attempt,
        job_id=progress.job_id or (verdict.job_id if verdict is not None else None),
        message=message,
        wave_id=chunk.wave_id,
        planned_from=datetime.strptime(chunk.wave_id[: len("20261121T020000Z")], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
        changed_at=changed_at,
    )


def _text_of(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
