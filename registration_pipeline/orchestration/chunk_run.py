"""One run over many chunks, the same for a backfill, a job and the command line: manifests, registrations, checks.

What belongs here is the order of the stages and which chunks a run means; the stages themselves are in ``stages.py``.
"""

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import dagster as dg

from registration_pipeline.errors import UsageError
from registration_pipeline.orchestration.dataset import dataset_stage, has_dataset
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.partitions import add_partitions, unknown_partitions
from registration_pipeline.orchestration.resources import load_source
from registration_pipeline.orchestration.runs.chunk_events import ChunkEvent
from registration_pipeline.orchestration.runs.failures import failure_of
from registration_pipeline.orchestration.runs.listener import current_listener, errors_as_failures
from registration_pipeline.orchestration.stages import (
    CheckReport,
    Log,
    ManifestTally,
    StageReport,
    failure_log_stage,
    manifest_stage,
    no_failed_chunks,
    registration_stage,
)
from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.settings import SourceSettings

if TYPE_CHECKING:
    from registration_pipeline.submission.result import ChunkResult
    from registration_pipeline.tracking.due import ChunkTask

Result = TypeVar("Result")


@dataclass(frozen=True)
class ChunkRun:
    """A run over chunks of one source."""

    project: Project
    source: SourceSettings
    own: SourceNames
    log: Log

    @classmethod
    def open(cls, context: dg.AssetExecutionContext | dg.OpExecutionContext, own: SourceNames) -> "ChunkRun":
        """Take the configuration for a run over chunks of a source, in a step that requires its resource."""
        with errors_as_failures():
            return cls(*load_source(context, own), own, context.log.info)

    def named(self, chunk_ids: Sequence[str], *, force: bool = False) -> "tuple[list[ChunkTask], list[str]]":
        """Return the chunks of these ids, which a user or the UI chose, and the ids that the state does not know.

        Those fail by themselves: after a lost state, or with two configurations in one instance, Dagster knows more chunks.
        """
        from registration_pipeline.tracking.due import named_tasks
        from registration_pipeline.tracking.status import chunk_statuses

        with errors_as_failures():
            statuses = chunk_statuses(self.project.store, self.source.name, self.project.snapshot(self.source))
            known = [chunk_id for chunk_id in chunk_ids if chunk_id in statuses]
            unknown = [chunk_id for chunk_id in chunk_ids if chunk_id not in statuses]
            return named_tasks(self.source.name, statuses, known, force=force), unknown

    def failure(self, failed: "Sequence[ChunkResult]", unknown: Sequence[str]) -> dg.Failure | None:
        """Return the failure that marks the chunks of a run as failed that are not registered; None if all are."""
        if not failed and not unknown:
            return None
        said = unknown_partitions(self.source.name, self.project.store.uri, unknown) if unknown else None
        if said is not None:
            current_listener().stopped(UsageError(said))
        return failure_of(failed, self.source.name, said, unknown)

    def due(
        self, *, failed: bool, also_due: bool, force: bool = False, shown: Collection[str] | None = None
    ) -> "list[ChunkTask]":
        """Return the chunks of a run that names none: those that are due, those that failed, or both, each once.

        Args:
            failed: retry those with failures.
            also_due: work on what is due.
            force: retry also those whose retries are exhausted.
            shown: partitions that Dagster shows as done. Registered chunks that are not among them are read again, so that
                the view catches up after a run that ended too early to report, or without its history.
        """
        from registration_pipeline.tracking.archive import archived_chunks
        from registration_pipeline.tracking.due import due_tasks, failed_tasks, unshown_tasks
        from registration_pipeline.tracking.repairs import repaired_chunks
        from registration_pipeline.tracking.status import chunk_statuses

        with errors_as_failures():
            store, source = self.project.store, self.source
            snapshot = self.project.snapshot(source)
            statuses = chunk_statuses(store, source.name, snapshot)
            repaired = repaired_chunks(store, snapshot, statuses)
            retries = failed_tasks(statuses, max_attempts=source.max_attempts, repaired=repaired, force=force)
            due = due_tasks(statuses, max_attempts=source.max_attempts, repaired=repaired)
            chosen = {task.chunk.chunk_id: task for task in retries} if failed else {}
            for task in due if also_due else ():
                chosen.setdefault(task.chunk.chunk_id, task)
            if also_due and shown is not None:
                archived = archived_chunks(statuses, keep_days=source.keep_partitions_days, now=utc_now())
                chosen |= {task.chunk.chunk_id: task for task in unshown_tasks(statuses, archived.union(shown))}
            return list(chosen.values())

    @contextmanager
    def showing(self, instance: dg.DagsterInstance, tasks: "Sequence[ChunkTask]") -> Iterator[None]:
        """Make archived chunks partitions again that the block leaves unfinished, or registers again."""
        present = set(instance.get_dynamic_partitions(self.own.partitions))
        away = [task.chunk.chunk_id for task in tasks if task.chunk.chunk_id not in present]
        try:
            yield
        finally:
            if away:
                back = set(away) - self._archived()
                add_partitions(instance, self.own, [chunk_id for chunk_id in away if chunk_id in back])

    def _archived(self) -> frozenset[str]:
        from registration_pipeline.tracking.archive import archived_chunks
        from registration_pipeline.tracking.status import chunk_statuses

        statuses = chunk_statuses(self.project.store, self.source.name, self.project.snapshot(self.source))
        return archived_chunks(statuses, keep_days=self.source.keep_partitions_days, now=utc_now())

    def check(self) -> list[CheckReport]:
        """Read every planned chunk and send nothing: what executing only the checks means."""
        with errors_as_failures():
            chunks = list(self.project.snapshot(self.source).chunks.values())
            valid = _result_of(manifest_stage(self.project, self.source, self.own, chunks))
            return [valid, no_failed_chunks(self.project, self.source, self.own)]

    def register(
        self,
        tasks: "Iterable[ChunkTask]",
        selected: Collection[dg.AssetKey],
        *,
        total: int,
        checks: list[CheckReport],
    ) -> "Generator[ChunkEvent, None, list[ChunkResult]]":
        """Yield the events of the selected assets, add to ``checks``, and return the results with failures.

        Args:
            tasks: the chunks, started one by one as there is room for them.
            selected: manifests, registrations or both. With both, each chunk is sent as soon as its manifest is made.
            total: how many chunks they are.
            checks: takes the results of the checks.
        """
        own = self.own
        with errors_as_failures():
            if own.registration not in selected:
                chunks = [task.chunk for task in tasks]
                checks.append((yield from manifest_stage(self.project, self.source, own, chunks)))
                return []
            manifests = ManifestTally(self.project, own) if own.manifest in selected else None
            failed = yield from registration_stage(
                self.project, self.source, own, tasks, total=total, manifests=manifests, log=self.log
            )
            if manifests is not None:
                checks.append(manifests.check())
            checks.append(no_failed_chunks(self.project, self.source, own))
        return failed

    def link(self, *, retry_failed: bool) -> "tuple[StageReport | None, dg.Failure | None]":
        """Link what is registered to the source's dataset.

        Args:
            retry_failed: also what could not be linked before.

        Returns:
            what to show, or the failure that ends the run once its failure log is written. Both None: there is no dataset.
        """
        if not has_dataset(self.source):
            return None, None
        try:
            with errors_as_failures():
                return dataset_stage(self.project, self.source, self.own, self.log, retry_failed=retry_failed), None
        except dg.Failure as halted:
            return None, halted

    def failure_log(self) -> StageReport:
        """Write the source's failure log."""
        with errors_as_failures():
            return failure_log_stage(self.project, self.source, self.log)


def _result_of(stage: "Generator[ChunkEvent, None, Result]") -> "Result":
    """Run a stage for its result alone."""
    while True:
        try:
            next(stage)
        except StopIteration as end:
            result: Result = end.value
            return result
