"""Cancelling the upload jobs of a chunk on a person's behalf. The run that waits for the job draws the conclusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.errors import PermanentError
from registration_pipeline.planning.halves import is_within
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import ChunkState

if TYPE_CHECKING:
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.gateway import RegistrationGateway


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelledJob:
    """An upload job that was stopped.

    Args:
        chunk_id: its chunk, or the part of it.
        job_id: Encord's.
        units: that it was kept from registering.
    """

    chunk_id: str
    job_id: str
    units: int


def cancel_chunk(
    store: StateStore, source: str, chunk_id: str, *, gateway: RegistrationGateway, retry: RetryPolicy
) -> list[CancelledJob]:
    """Cancel the open upload jobs of a chunk and of its parts; jobs that have ended meanwhile are left out.

    Raises:
        HaltError: Encord can't be asked.
    """
    journal, cancelled = Journal(store, source), list[CancelledJob]()
    for part_id in journal.chunk_ids():
        progress = journal.progress(part_id) if is_within(part_id, chunk_id) else None
        if progress is None or progress.state is not ChunkState.SUBMITTED:
            continue
        job_id = progress.job_id
        folder_uuid = progress.first_intent.folder_uuid if progress.first_intent else None
        assert job_id is not None
        assert folder_uuid is not None

        def stop(job_id: str = job_id, folder_uuid: str = folder_uuid) -> int:
            return gateway.cancel_job(folder_uuid=folder_uuid, job_id=job_id)

        try:
            units = retry.call(f"cancelling upload job {job_id}", stop)
        except PermanentError:
            continue
        cancelled.append(CancelledJob(chunk_id=part_id, job_id=job_id, units=units))
    return cancelled
