"""One run over many chunks, the same for a backfill, a job and the command line: manifests, registrations, checks.

What belongs here is the order of the stages and which chunks a run means; the stages themselves are in ``stages.py``.
"""

from collections.abc import Collection, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import dagster as dg

from registration_pipeline.errors import UsageError
from registration_pipeline.orchestration.dataset import dataset_stage, has_dataset
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.partitions import unknown_partitions
from registration_pipeline.orchestration.resources import load_source
from registration_pipeline.orchestration.runs.failures import failure_of
from registration_pipeline.orchestration.runs.listener import errors_as_failures
from registration_pipeline.orchestration.stages import (
    CheckReport,
    ManifestTally,
    StageReport,
    failure_log_stage,
    manifest_stage,
    no_failed_chunks,
    registration_stage,
)
from registration_pipeline.project.listener import Log, current_listener
from registration_pipeline.project.project import Project
from registration_pipeline.project.selection import due_chunks, named_chunks
from registration_pipeline.settings import SourceSettings

if TYPE_CHECKING:
    from registration_pipeline.submission.result import ChunkResult
    from registration_pipeline.tracking.due import ChunkTask

Result = TypeVar("Result")
ChunkEvent = dg.AssetMaterialization | dg.AssetObservation


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
        with errors_as_failures():
            return named_chunks(self.project, self.source, chunk_ids, force=force)

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
        """Return the chunks of a run that names none; ``shown`` are the partitions that Dagster shows as done."""
        with errors_as_failures():
            return due_chunks(self.project, self.source, failed=failed, also_due=also_due, force=force, shown=shown)

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
