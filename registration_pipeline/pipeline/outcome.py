"""From what the stages yield to the results of ``Pipeline``.

What does not belong here: the stages and their order (``stages``).
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from registration_pipeline.counted import counted
from registration_pipeline.errors import RegistrationPipelineError, UsageError
from registration_pipeline.notify import IncidentKind
from registration_pipeline.pipeline.results import FactsResult, FailedChunk, SyncResult
from registration_pipeline.project.alerts import alert_end, alert_trouble
from registration_pipeline.project.exit_status import exit_status_of
from registration_pipeline.project.project import utc_now
from registration_pipeline.project.selection import due_chunks, named_chunks
from registration_pipeline.stages.submission import ChunksConcluded, FailureLogWritten, LinkingHalted, submit_chunks
from registration_pipeline.submission.result import ChunkResult
from registration_pipeline.tracking.due import named_tasks
from registration_pipeline.tracking.status import chunk_statuses

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registration_pipeline.project.listener import Log
    from registration_pipeline.project.project import Project
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.stages.reading import FactsRead
    from registration_pipeline.tracking.due import ChunkTask


@contextmanager
def alerting(project: Project, source: SourceSettings, warn: Log, *, has_listed: bool) -> Iterator[None]:
    """Send a message of how the block ended, if that is news.

    Args:
        project: the configuration.
        source: which.
        warn: takes a sentence about what could not be sent.
        has_listed: whether the block lists the bucket.
    """
    try:
        yield
    except UsageError:  # for the caller, who has to change the call or the configuration
        raise
    except Exception as error:
        alert_trouble(project, source, IncidentKind.HALTED, warn, at=utc_now(), error=_text_of(error))
        raise
    alert_end(project, source, warn, has_listed=has_listed)


def _text_of(error: Exception) -> str:
    """Return what a message says of an error; who notifies masks it."""
    if isinstance(error, RegistrationPipelineError):
        return str(error)
    return f"An unexpected error, which is a bug: {type(error).__name__}: {str(error).strip()}"


def submit(
    project: Project,
    source: SourceSettings,
    log: Log,
    log_error: Log,
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
    registered, concluded, halted, written = 0, None, None, None
    with closing(steps):
        for step in steps:
            match step:
                case ChunkResult():
                    registered += step.registered_objects if step.is_new else 0
                    if step.has_failures:
                        log_error(_failure_line(step))
                case ChunksConcluded():
                    concluded = step
                case LinkingHalted():
                    halted = step.error
                case FailureLogWritten():
                    written = step
    if halted is not None:
        raise halted
    assert concluded is not None
    assert written is not None
    parquet, csv, page = map(project.store.location, written.names)
    return SyncResult(
        source=source.name,
        exit_status=exit_status_of(written.status),
        status=written.status,
        chunks=len(tasks),
        registered_objects=registered,
        failed_chunks=tuple(map(_failed_chunk, concluded.failed)),
        failure_log=(parquet, csv),
        report=page,
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


def _failure_line(result: ChunkResult) -> str:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(result.reasons.items()))
    first = result.failures[0].said if result.failures else None
    said = f"; the first: {first.key}: {first.message or first.reason}" if first else ""
    units = f"{result.failed_units} of {counted(result.chunk.units, 'unit')} failed"
    return f"chunk {result.chunk.chunk_id}: {units} ({reasons}){said}"


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
