"""One run over many chunks, the same for a backfill, a job and the command line: manifests, registrations, checks.

What belongs here is which chunks a run means, and its checks. What does not belong here: the order of the stages
(``registration_pipeline/stages/submission.py``), and what is shown of each (``stages.py``).
"""

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import dagster as dg

from registration_pipeline.errors import UsageError
from registration_pipeline.orchestration.chunk_checks import chunk_checks
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.partitions import add_partitions, unknown_partitions
from registration_pipeline.orchestration.resources import load_source
from registration_pipeline.orchestration.runs.chunk_events import ChunkEvent
from registration_pipeline.orchestration.runs.failures import failure_of
from registration_pipeline.orchestration.runs.listener import errors_as_failures
from registration_pipeline.orchestration.runs.waits import is_launched
from registration_pipeline.orchestration.stages import (
    CheckReport,
    ManifestTally,
    RegistrationSteps,
    manifest_stage,
    registration_events,
)
from registration_pipeline.project.listener import current_listener, notice_and_log
from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.project.selection import due_chunks, named_chunks
from registration_pipeline.settings import SourceSettings
from registration_pipeline.stages.submission import ChunksConcluded, Step, register_chunks, submit_chunks

if TYPE_CHECKING:
    from registration_pipeline.submission.result import ChunkResult, ReadyChunk
    from registration_pipeline.tracking.due import ChunkTask

ChunkEvents: TypeAlias = "Generator[ChunkEvent, None, Sequence[ChunkResult]]"


@dataclass(frozen=True)
class ChunkRun:
    """A run over chunks of one source."""

    project: Project
    source: SourceSettings
    own: SourceNames
    log: dg.DagsterLogManager

    @classmethod
    def open(cls, context: dg.AssetExecutionContext | dg.OpExecutionContext, own: SourceNames) -> "ChunkRun":
        """Take the configuration for a run over chunks of a source, in a step that requires its resource."""
        with errors_as_failures():
            return cls(*load_source(context, own), own, context.log)

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
            manifests = ManifestTally(self.project, self.own)
            chunks = list(self.project.snapshot(self.source).chunks.values())
            for _ in manifest_stage(self.project, self.source, manifests, chunks):
                pass
            return chunk_checks(self.project, self.source, self.own, manifests)

    def register(
        self,
        tasks: "Iterable[ChunkTask]",
        selected: Collection[dg.AssetKey],
        *,
        total: int,
        checks: list[CheckReport],
    ) -> ChunkEvents:
        """Yield the events of the selected assets, add to ``checks``, and return the results with failures.

        Args:
            tasks: the chunks, started one by one as there is room for them.
            selected: manifests, registrations or both. With both, each chunk is sent as soon as its manifest is made.
            total: how many chunks they are.
            checks: takes the results of the checks, also when the run halts: what it did until then is there.

        Raises:
            LeaseBusyError: a launched run has waited too long for another process; the caller hands it on.
        """
        manifests = ManifestTally(self.project, self.own) if self.own.manifest in selected else None
        events: ChunkEvents
        if self.own.registration in selected or manifests is None:
            stage = register_chunks(
                self.project, self.source, tasks, total=total, log=self.log.info, with_manifests=manifests is not None
            )
            events = self._registration(stage, total, manifests)
        else:
            events = self._manifests(tasks, manifests)
        return self._checked(events, manifests, checks)

    def registered(self, steps: Generator[Step, None, None], *, total: int, checks: list[CheckReport]) -> ChunkEvents:
        """Yield the events of a run's manifests and registrations; what it does after them is still in ``steps`` then.

        Args:
            steps: what ``submit`` yields.
            total: how many chunks they are.
            checks: see ``register``; so is what is returned and raised.
        """
        manifests = ManifestTally(self.project, self.own)
        return self._checked(self._registration(_chunks_of(steps), total, manifests), manifests, checks)

    def _registration(self, stage: RegistrationSteps, total: int, manifests: ManifestTally | None) -> ChunkEvents:
        return registration_events(self.project.store, self.own, stage, total=total, manifests=manifests, log=self.log)

    def _manifests(self, tasks: "Iterable[ChunkTask]", manifests: ManifestTally) -> ChunkEvents:
        yield from manifest_stage(self.project, self.source, manifests, [task.chunk for task in tasks])
        return ()

    def _checked(self, events: ChunkEvents, manifests: ManifestTally | None, checks: list[CheckReport]) -> ChunkEvents:
        with errors_as_failures(hands_on=True):
            try:
                failed = yield from events
            except Exception:
                with suppress(Exception):  # the halt is what must be said, and it may be that the state can't be read
                    checks.extend(chunk_checks(self.project, self.source, self.own, manifests))
                raise
            checks.extend(chunk_checks(self.project, self.source, self.own, manifests))
        return failed

    def submit(
        self, tasks: "Iterable[ChunkTask]", *, total: int, is_named: bool, retry_failed: bool, force: bool
    ) -> Generator[Step, None, None]:
        """Yield what the run does with chunks and after them; arguments and errors are those of ``submit_chunks``."""
        return submit_chunks(
            self.project,
            self.source,
            tasks,
            total=total,
            log=self.log.info,
            is_named=is_named,
            retry_failed=retry_failed,
            force=force,
            with_manifests=True,
            hands_on=is_launched(),
        )

    def alert(self, run_id: str, *, has_listed: bool, has_failure_log: bool = True) -> None:
        """Send a message if the end of the run is news; see ``project/alerts.py``."""
        from registration_pipeline.project.alerts import alert_end

        warn = notice_and_log(self.log.warning, "warning")
        alert_end(
            self.project, self.source, warn, run_id=run_id, has_listed=has_listed, has_failure_log=has_failure_log
        )


def _chunks_of(
    steps: Generator[Step, None, None],
) -> "Generator[ReadyChunk | ChunkResult, None, Sequence[ChunkResult]]":
    """Yield the chunks of a run until each has its verdict, and return those with failures.

    Ended in the middle, it ends the run, so that no thread goes on while a caller stores what was done.
    """
    from registration_pipeline.submission.result import ChunkResult, ReadyChunk

    try:
        while not isinstance(step := next(steps), ChunksConcluded):
            assert isinstance(step, ReadyChunk | ChunkResult)
            yield step
    except BaseException:
        steps.close()
        raise
    return step.failed
