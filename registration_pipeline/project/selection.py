"""Which chunks of a source a run means: named ones, or those that are due or failed.

What does not belong here: which state makes a chunk due (``tracking/due.py``), and what is done with it (``stages``).
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from registration_pipeline.counted import counted
from registration_pipeline.project.listener import current_listener
from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.settings import SourceSettings

if TYPE_CHECKING:
    from registration_pipeline.tracking.due import ChunkTask


def named_chunks(
    project: Project, source: SourceSettings, chunk_ids: Sequence[str], *, force: bool = False
) -> "tuple[list[ChunkTask], list[str]]":
    """Return the chunks of these ids, and the ids that the state does not know.

    What is unknown is for the caller to judge: of a person's ids one is mistyped, of Dagster's partitions it may be left from
    a state that was lost.

    Args:
        project: the configuration.
        source: which.
        chunk_ids: the chunks, each taken once. Those with failures are retried.
        force: send them even if nothing of them failed.
    """
    from registration_pipeline.tracking.due import named_tasks
    from registration_pipeline.tracking.status import chunk_statuses

    statuses = chunk_statuses(project.store, source.name, project.snapshot(source))
    known = [chunk_id for chunk_id in chunk_ids if chunk_id in statuses]
    unknown = [chunk_id for chunk_id in chunk_ids if chunk_id not in statuses]
    return named_tasks(source.name, statuses, known, force=force), unknown


def due_chunks(
    project: Project,
    source: SourceSettings,
    *,
    failed: bool,
    also_due: bool = True,
    force: bool = False,
    shown: Collection[str] | None = None,
) -> "list[ChunkTask]":
    """Return the chunks of a run that names none: those that are due, those that failed, or both, each once.

    Args:
        project: the configuration.
        source: which.
        failed: retry those with failures.
        also_due: work on what is due.
        force: retry also those whose retries are exhausted.
        shown: chunks that a view shows as done. Registered ones that are not among them are read again, so that the view
            catches up after a run that ended too early to report, or without its history; the listener gets their number.
            None: there is no such view.
    """
    from registration_pipeline.tracking.archive import archived_chunks
    from registration_pipeline.tracking.due import due_tasks, failed_tasks, unshown_tasks
    from registration_pipeline.tracking.repairs import repaired_chunks
    from registration_pipeline.tracking.status import chunk_statuses

    snapshot = project.snapshot(source)
    statuses = chunk_statuses(project.store, source.name, snapshot)
    repaired = repaired_chunks(project.store, snapshot, statuses)
    chosen: dict[str, ChunkTask] = {}
    if failed:
        retries = failed_tasks(statuses, max_attempts=source.max_attempts, repaired=repaired, force=force)
        chosen = {task.chunk.chunk_id: task for task in retries}
    if also_due:
        for task in due_tasks(statuses, max_attempts=source.max_attempts, repaired=repaired):
            chosen.setdefault(task.chunk.chunk_id, task)
        if shown is not None:
            archived = archived_chunks(statuses, keep_days=source.keep_partitions_days, now=utc_now())
            unshown = unshown_tasks(statuses, archived.union(shown))
            if unshown:
                current_listener().notice(
                    f"{source.name}: {counted(len(chosen), 'chunk')} to send; {counted(len(unshown), 'chunk')} that are "
                    "registered already are only read again, because Dagster does not show them as done"
                )
            chosen |= {task.chunk.chunk_id: task for task in unshown}
    return list(chosen.values())
