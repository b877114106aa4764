"""``Pipeline``: a loaded configuration with one plain call per stage, for Python code, notebooks and other orchestrators.

What does not belong here: the stages themselves (``stages``), which Dagster's assets run as well.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from registration_pipeline.foreign_text import printable
from registration_pipeline.pipeline.outcome import alerting, facts_result, submit
from registration_pipeline.pipeline.progress import ProgressListener
from registration_pipeline.pipeline.results import (
    CheckResult,
    FailureLogResult,
    InventoryResult,
    PlanResult,
    ProbeResult,
    SyncResult,
)
from registration_pipeline.project.exit_status import exit_status_of
from registration_pipeline.project.listener import SilentListener, listening
from registration_pipeline.project.preflight import run_checks
from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.stages.auditing import audit_source
from registration_pipeline.stages.listing import list_source
from registration_pipeline.stages.planning import plan_latest
from registration_pipeline.stages.reading import probed, read_stage
from registration_pipeline.stages.sequence import plan_new_inventory
from registration_pipeline.stages.submission import (
    write_failure_log,
)
from registration_pipeline.state.version import ensure_layout, require_layout
from registration_pipeline.tracking.chunk_list import ChunkInfo, list_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from registration_pipeline.audit.report import AuditReport
    from registration_pipeline.pipeline.progress import Progress
    from registration_pipeline.project.listener import Log
    from registration_pipeline.settings import Settings, SourceSettings
    from registration_pipeline.tracking.failures.files import FailureRow
    from registration_pipeline.tracking.search.found import FoundObject
    from registration_pipeline.tracking.status import SourceStatus

_LOGGER = logging.getLogger("registration_pipeline")
_LOGGER.addHandler(logging.NullHandler())


class Pipeline:
    """A loaded configuration, and the stages of its sources as plain calls.

    Every call takes the name of a source. What it does is what the command of the same name does, except that Dagster knows
    nothing of it: its next run shows the new chunks. Two processes may call at the same time, or one of them may be Dagster:
    a source is submitted by one of them at a time, and the other waits.

    A call that can't do its work raises ``UsageError`` (its ``exit_status`` is 2: fix the call or the configuration) or
    another ``RegistrationPipelineError`` (mostly 4: halted, nothing is lost, call again). The message says what to do.

    ``sync`` and ``submit`` send the messages of ``notify`` as a run of Dagster does: when something new failed, when they
    halt, and when all is well again.

    What happens is logged to the logger ``registration_pipeline``, with the name of the source as ``source``. Not safe to be
    used by several threads at once: give each its own.

    Args:
        settings: the configuration, as ``load_settings`` returns it.
        environ: the environment, with the key of Encord; by default that of the process.
        progress: called with how far a stage is.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        environ: Mapping[str, str] | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._project = Project.of(settings, environ)
        self._progress = progress

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Pipeline:
        """Read a configuration.

        Args:
            path: the file; by default the one that ``REGISTRATION_CONFIG`` names, else ``./registration.yaml``.
            environ: the environment; by default that of the process.
            progress: called with how far a stage is.

        Raises:
            ConfigurationError: the file or the environment is wrong; the message has every problem with its line.
        """
        project = Project.load(None if path is None else Path(path), environ)
        return cls(project.settings, environ=project.environ, progress=progress)

    @property
    def settings(self) -> Settings:
        """The configuration."""
        return self._project.settings

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of its sources, in the order of the file."""
        return tuple(self.settings.sources)

    def check(self, source: str) -> CheckResult:
        """Check everything that a sync needs, without changing anything: state, bucket, Encord's key, integration, folder.

        What is wrong is in the result, and is not raised.

        Raises:
            UsageError: there is no such source.
        """
        chosen = self._project.source(source)
        return CheckResult(source=source, findings=tuple(run_checks(self._project, chosen)))

    def inventory(self, source: str) -> InventoryResult:
        """List the bucket into a new inventory.

        Raises:
            UsageError: there is no such source, or its state was written by another version.
            HaltError: the bucket can't be listed; nothing was recorded.
            StateError: the state can't be read or written.
        """
        with self._run(source) as (chosen, log, warn, _):
            listed = list_source(self._project, chosen, log, warn)
        taken = listed.inventory
        return InventoryResult(
            source=source,
            inventory_id=taken.inventory_id,
            objects=taken.objects,
            bytes=taken.bytes,
            requests=taken.requests,
            seconds=round((taken.finished_at - taken.started_at).total_seconds(), 3),
            location=self._project.store.location(f"{source}/inventory/{taken.inventory_id}"),
            is_emptied=listed.is_emptied,
        )

    def probe(self, source: str) -> ProbeResult:
        """Read what a plan needs of objects besides their listing: headers, media metadata, client metadata.

        What is known is not read again; what could not be read is tried again.

        Raises:
            UsageError: there is no such source, or it has no inventory.
            HaltError: the store can't be read.
            StateError: the state can't be read or written.
        """
        with self._run(source) as (chosen, log, *_):
            read = [(stage, read_stage(stage, self._project, chosen, log, again=True)) for stage in probed(chosen)]
        return ProbeResult(
            source=source, facts=tuple(facts_result(self._project, stage.name, one) for stage, one in read)
        )

    def plan(self, source: str, *, dry_run: bool = False) -> PlanResult:
        """Put the new objects of the latest inventory into chunks; chunks that exist never change.

        Args:
            source: which.
            dry_run: write nothing, and return what a plan would add.

        Raises:
            UsageError: there is no such source, or it has no inventory.
            HaltError: what the plan needs of objects can't be read.
            StateError: the state can't be read or written.
        """
        if dry_run:
            plan = self._project.plan(self._readable(source), dry_run=True)
        else:
            with self._run(source) as (chosen, log, *_):
                plan = plan_latest(self._project, chosen, log).plan
        return PlanResult(
            source=source,
            inventory_id=plan.wave.inventory_id,
            wave_id=plan.wave.wave_id,
            is_new=plan.created,
            chunk_ids=tuple(chunk.chunk_id for chunk in plan.chunks),
            counts=plan.wave.counts,
            warnings=plan.warnings.lines(),
        )

    def chunks(self, source: str, state: str | Collection[str] | None = None) -> list[ChunkInfo]:
        """Return the chunks of a source, in planning order.

        Args:
            source: which.
            state: only chunks in this state, or in one of these; the names are those of ``status --json``.

        Raises:
            UsageError: there is no such source.
            StateError: the state can't be read.
        """
        chosen = self._readable(source)
        states = frozenset({state} if isinstance(state, str) else state or ())
        return list(list_chunks(self._project.store, self._project.snapshot(chosen), states))

    def submit(
        self,
        source: str,
        chunks: Sequence[str] | None = None,
        *,
        failed: bool = False,
        force: bool = False,
    ) -> SyncResult:
        """Register the chunks that are due, and write the failure log. What was interrupted goes on where it stopped.

        Waits while another process submits the source.

        Args:
            source: which.
            chunks: only these; those with failures are retried. None: all that are due.
            failed: retry the chunks with failures, too.
            force: with ``failed``: also those that were tried ``max_attempts`` times; with ``chunks``: even if nothing failed.

        Raises:
            UsageError: there is no such source or chunk.
            HaltError: nothing more can be sent. Nothing is lost; call again.
            StateError: the state can't be read or written.
        """
        with self._run(source) as (chosen, log, warn, error), alerting(self._project, chosen, warn, has_listed=False):
            return submit(self._project, chosen, log, error, chunks, failed=failed, force=force)

    def sync(self, source: str) -> SyncResult:
        """Inventory, what has to be read of objects, plan, registration and failure log: all that is due.

        Encord is asked first, so that a wrong key does not cost the listing.

        Raises:
            UsageError: there is no such source, or its state was written by another version.
            HaltError: a stage could not go on. Nothing is lost; call again.
            StateError: the state can't be read or written.
        """
        with self._run(source) as (chosen, log, warn, error), alerting(self._project, chosen, warn, has_listed=True):
            self._project.ask_encord(chosen)
            plan_new_inventory(self._project, chosen, log, warn)
            return submit(self._project, chosen, log, error)

    def write_failure_log(self, source: str) -> FailureLogResult:
        """Write everything that is not registered, and why, to the state; ``sync`` and ``submit`` do so at their end.

        Raises:
            UsageError: there is no such source.
            StateError: the state can't be read or written.
        """
        with self._run(source) as (chosen, log, *_):
            written = write_failure_log(self._project, chosen, log)
        parquet, csv, page = map(self._project.store.location, written.names)
        return FailureLogResult(
            source=source,
            exit_status=exit_status_of(written.status),
            objects=written.tally.objects,
            rows_by_reason=dict(written.tally.reasons),
            parquet=parquet,
            csv=csv,
            report=page,
        )

    def status(self, source: str) -> SourceStatus:
        """Count the objects of the latest inventory by state. ``as_json`` gives what ``status --json`` prints.

        Raises:
            UsageError: there is no such source.
            StateError: the state can't be read.
        """
        return self._project.status(self._readable(source))

    def failures(self, source: str) -> Iterator[FailureRow]:
        """Yield what is not registered, upserted or linked, and why: a row per failed unit and per rejected object.

        Streams: one chunk's outcomes are in memory at a time.

        Raises:
            UsageError: there is no such source.
            StateError: the state can't be read.
        """
        return self._project.failures(self._readable(source))

    def find(self, source: str, keys: Iterable[str]) -> list[FoundObject]:
        """Return where objects are, and why: of each key one, of each item of several objects one per object.

        Reads the state only. A key costs the tails of a few files and the row groups that can hold it; the UUID of an item
        costs a read per chunk.

        Args:
            source: which.
            keys: whole keys, keys below the prefix of the source, URLs, or UUIDs of items in Encord.

        Raises:
            UsageError: there is no such source.
            StateError: the state can't be read.
        """
        from registration_pipeline.tracking.search.find import ObjectFinder

        chosen = self._readable(source)
        finder = ObjectFinder(self._project.store, chosen, self._project.snapshot(chosen))
        return list(finder.find([keys] if isinstance(keys, str) else keys))

    def audit(self, source: str, *, adopt: bool = False) -> AuditReport:
        """Compare a source's bucket, ledger and Encord folder; ``is_clean`` says whether they agree.

        Args:
            source: which.
            adopt: record as registered what is in Encord already and ours. Nothing is sent.

        Raises:
            UsageError: there is no such source, or nothing is planned.
            HaltError: Encord can't be asked.
            StateError: the state can't be read or written.
        """
        with self._run(source) as (chosen, log, *_):
            return audit_source(self._project, chosen, log, adopted=[] if adopt else None)

    def _readable(self, source: str) -> SourceSettings:
        """Return a source whose state this version can read."""
        chosen = self._project.source(source)
        require_layout(self._project.store, source)
        return chosen

    @contextmanager
    def _run(self, source: str) -> Iterator[tuple[SourceSettings, Log, Log, Log]]:
        """Give a source whose state this version can write, and what takes lines of the log, warnings and errors."""
        chosen = self._project.source(source)
        ensure_layout(self._project.store, source, utc_now())
        listener = SilentListener() if self._progress is None else ProgressListener(self._progress)
        with listening(listener):
            log, warn, error = (
                partial(_log, level, source) for level in (logging.INFO, logging.WARNING, logging.ERROR)
            )
            yield chosen, log, warn, error


def _log(level: int, source: str, text: str) -> None:
    # The name is in the text too: a plain handler shows no extra fields. Names of objects may hold what a terminal obeys.
    prefix = "" if text.startswith(f"{source}:") else f"{source}: "
    _LOGGER.log(level, "%s%s", prefix, printable(text), extra={"source": source})
