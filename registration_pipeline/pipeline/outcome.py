"""From what the stages yield to the results of ``Pipeline``.

What does not belong here: the stages and their order (``project/stages``).
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from registration_pipeline.pipeline.results import FactsResult, FailedChunk, SyncResult
from registration_pipeline.project.exit_status import exit_status_of
from registration_pipeline.project.selection import due_chunks, named_chunks
from registration_pipeline.project.stages.submission import FailureLogWritten, submit_chunks
from registration_pipeline.submission.result import ChunkResult
from registration_pipeline.tracking.due import named_tasks
from registration_pipeline.tracking.status import chunk_statuses

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from registration_pipeline.project.listener import Log
    from registration_pipeline.project.project import Project
    from registration_pipeline.project.stages.reading import FactsRead
    from registration_pipeline.project.stages.submission import Step, Submitted
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.tracking.due import ChunkTask


def submit(
    project: Project,
    source: SourceSettings,
    log: Log,
    chunks: Sequence[str] | None = None,
    *,
    failed: bool = False,
    force: bool = False,
) -> SyncResult:
    """Register chunks and what follows, and return what it came to; arguments and errors are those of ``Pipeline.submit``."""
    tasks = _tasks(project, source, chunks, failed=failed, force=force)
    steps = submit_chunks(
        project,
        source,
        tasks,
        total=len(tasks),
        log=log,
        is_named=chunks is not None,
        retry_failed=failed,
        force=force,
    )
    seen = _Seen()
    submitted = seen.all_of(steps)
    if submitted.halted is not None:
        raise submitted.halted
    assert seen.log is not None
    parquet, csv = map(project.store.location, seen.log.names)
    return SyncResult(
        source=source.name,
        exit_status=exit_status_of(seen.log.status),
        status=seen.log.status,
        chunks=len(tasks),
        registered_objects=seen.registered_objects,
        failed_chunks=tuple(map(_failed_chunk, submitted.failed)),
        failure_log=(parquet, csv),
    )


def _tasks(
    project: Project, source: SourceSettings, chunks: Sequence[str] | None, *, failed: bool, force: bool
) -> list[ChunkTask]:
    if chunks is None:
        return due_chunks(project, source, failed=failed, force=force)
    tasks, unknown = named_chunks(project, source, chunks, force=force)
    if unknown:
        # Which raises, and says what may be meant.
        named_tasks(source.name, chunk_statuses(project.store, source.name, project.snapshot(source)), unknown)
    return tasks


class _Seen:
    """What passes by while chunks are submitted."""

    def __init__(self) -> None:
        self.registered_objects = 0
        self.log: FailureLogWritten | None = None

    def all_of(self, steps: Generator[Step, None, Submitted]) -> Submitted:
        """Go through all steps and return how they ended."""
        with closing(steps):
            while True:
                try:
                    step = next(steps)
                except StopIteration as end:
                    submitted: Submitted = end.value
                    return submitted
                if isinstance(step, FailureLogWritten):
                    self.log = step
                elif isinstance(step, ChunkResult) and step.is_new:
                    self.registered_objects += step.registered_objects


def _failed_chunk(result: ChunkResult) -> FailedChunk:
    return FailedChunk(
        chunk_id=result.chunk.chunk_id,
        failed_units=result.failed_units,
        failed_objects=result.failed_objects,
        reasons=dict(result.reasons),
        job_id=result.job_id,
    )


def facts_result(project: Project, name: str, read: FactsRead) -> FactsResult:
    """Return what is known of objects after a stage that reads facts."""
    facts = read.facts
    if facts is None:
        return FactsResult(name=name)
    notes: Any = facts.notes
    problems, counts = notes.get("problems", {}), notes.get("counts", {})
    unreadable = sum(count for reason, count in problems.items() if reason.endswith("_unreadable"))
    now = counts if read.reading else {}
    return FactsResult(
        name=name,
        objects=facts.rows,
        invalid=sum(problems.values()) - unreadable,
        unreadable=unreadable,
        waiting=counts.get("waiting", 0),
        read=now.get("read", 0),
        requests=now.get("requests", 0),
        bytes=now.get("bytes", 0),
        location=project.store.location(f"{facts.source}/facts/{facts.name}/{facts.facts_id}"),
    )
