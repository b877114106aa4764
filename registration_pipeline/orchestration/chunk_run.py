"""One run over many chunks, the same for a backfill, a job and the command line: manifests, registrations, checks.

What belongs here is the order of the stages and which chunks a run means; the stages themselves are in ``stages.py``.
"""

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from registration_pipeline.orchestration.listener import errors_as_failures
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.project import Project
from registration_pipeline.orchestration.resources import ProjectResource
from registration_pipeline.orchestration.stages import (
    CheckReport,
    Log,
    StageReport,
    failure_log_stage,
    manifest_stage,
    no_failed_chunks,
    registration_stage,
)
from registration_pipeline.settings import SourceSettings

if TYPE_CHECKING:
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.submission.result import ChunkResult

ChunkEvent = dg.AssetMaterialization | dg.AssetObservation


@dataclass(frozen=True)
class ChunkRun:
    """A run over chunks of one source."""

    project: Project
    source: SourceSettings
    log: Log

    @classmethod
    def open(cls, project: ProjectResource, source: str, log: Log) -> "ChunkRun":
        """Read the configuration for a run over chunks of a source."""
        with errors_as_failures():
            return cls(*project.load_source(source), log)

    def named(self, chunk_ids: Sequence[str]) -> "list[PlannedChunk]":
        """Return the chunks of these ids, which a user or the UI chose."""
        from registration_pipeline.tracking.due import named_chunks
        from registration_pipeline.tracking.status import chunk_statuses

        with errors_as_failures():
            return named_chunks(self.source.name, chunk_statuses(self.project.store, self.source.name), chunk_ids)

    def due(self, *, failed: bool, also_due: bool) -> "list[PlannedChunk]":
        """Return the chunks that nobody named: those that are due, those that failed, or both."""
        from registration_pipeline.tracking.due import due_chunks, failed_chunks
        from registration_pipeline.tracking.status import chunk_statuses

        with errors_as_failures():
            statuses = chunk_statuses(self.project.store, self.source.name)
            return (failed_chunks(statuses) if failed else []) + (due_chunks(statuses) if also_due else [])

    def check(self) -> list[CheckReport]:
        """Look at every planned chunk and send nothing: what executing only the checks means."""
        from registration_pipeline.planning.wave import load_chunks

        with errors_as_failures():
            chunks = list(load_chunks(self.project.store, self.source.name).values())
            valid = _result_of(manifest_stage(self.project, self.source, chunks))
            return [valid, no_failed_chunks(self.project, self.source)]

    def register(
        self,
        chunks: "Sequence[PlannedChunk]",
        selected: Collection[dg.AssetKey],
        *,
        retry_failed: bool,
        checks: list[CheckReport],
    ) -> "Generator[ChunkEvent, None, list[ChunkResult]]":
        """Yield the events of the selected assets, add to ``checks``, and return the results with failures."""
        own = SourceNames(self.source.name)
        failed: list[ChunkResult] = []
        with errors_as_failures():
            if own.manifest in selected:
                checks.append((yield from manifest_stage(self.project, self.source, chunks)))
            if own.registration in selected:
                failed = yield from registration_stage(
                    self.project, self.source, chunks, retry_failed=retry_failed, log=self.log
                )
                checks.append(no_failed_chunks(self.project, self.source))
        return failed

    def failure_log(self) -> StageReport:
        """Write the source's failure log."""
        with errors_as_failures():
            return failure_log_stage(self.project, self.source, self.log)


def _result_of(stage: "Generator[ChunkEvent, None, CheckReport]") -> CheckReport:
    """Run a stage for its result alone."""
    while True:
        try:
            next(stage)
        except StopIteration as end:
            result: CheckReport = end.value
            return result
