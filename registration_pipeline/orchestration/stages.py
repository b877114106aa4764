"""The stages as the shell runs them: one core call each, and what to show of it.

Assets and the ops of jobs call the same functions, so that a run is the same however it was started. What belongs here is
turning results into metadata and checks; deciding belongs to the core.
"""

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from registration_pipeline.counted import counted
from registration_pipeline.orchestration import metadata, names
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.partitions import (
    PartitionUpdate,
    archive_notice,
    many_partitions_warning,
    removed_partitions,
    update_partitions,
)
from registration_pipeline.orchestration.runs.listener import current_listener, notice_and_log
from registration_pipeline.orchestration.schema_check import schema_facts
from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.project.submitting import register
from registration_pipeline.settings import SourceSettings
from registration_pipeline.urls import url_warning

if TYPE_CHECKING:
    from registration_pipeline.facts.reading.reading import ReadingProgress
    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.inventory.progress import ListingProgress
    from registration_pipeline.manifest.files import Manifest
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.result import ChunkResult
    from registration_pipeline.tracking.due import ChunkTask
    from registration_pipeline.tracking.snapshot import SourceSnapshot

_LOG_SECONDS = 30.0
_MOST_INVALID_SHOWN = 100
"""Chunks whose violations the check lists; each manifest's own event counts them."""

Log = Callable[[str], None]


@dataclass(frozen=True)
class CheckReport:
    """The result of an asset check, before it is known whether an asset or an op reports it."""

    name: str
    asset_key: dg.AssetKey
    passed: bool
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    metadata: dict[str, Any] = field(default_factory=dict)

    def as_result(self) -> dg.AssetCheckResult:
        """Return it for an asset's own ``check_specs``."""
        return dg.AssetCheckResult(
            asset_key=self.asset_key,
            check_name=self.name,
            passed=self.passed,
            severity=self.severity,
            metadata=self.metadata,
        )

    def as_event(self) -> dg.AssetCheckEvaluation:
        """Return it for the log of an op, which has no check specs."""
        return dg.AssetCheckEvaluation(
            asset_key=self.asset_key,
            check_name=self.name,
            passed=self.passed,
            severity=self.severity,
            metadata=self.metadata,
        )


@dataclass(frozen=True)
class StageReport:
    """What a stage shows."""

    metadata: dict[str, Any]
    checks: tuple[CheckReport, ...] = ()


def inventory_stage(
    project: Project, source: SourceSettings, own: SourceNames, log: dg.DagsterLogManager
) -> StageReport:
    """List the source into a new inventory."""
    from registration_pipeline.inventory.inventory import latest_inventory, read_inventory
    from registration_pipeline.inventory.price_class import price_class

    previous = latest_inventory(project.store, source.name)
    expected = (previous.objects or None) if previous else None
    say: Log = log.info
    current_listener().stage_started(source.name, "inventory", expected, unit="expected object")
    if warning := url_warning(source):
        notice_and_log(log.warning)(f"{source.name}: {warning}.")
    inventory = project.take_inventory(source, ProgressReporter(say), notice_and_log(say))
    say(f"{counted(inventory.objects, 'object')}, {counted(inventory.bytes, 'byte')} from {inventory.listing}")
    if not inventory.objects:
        warning = _emptied(source, inventory, expected)
        log.warning(warning)
        current_listener().notice(warning)
    first = next(iter(read_inventory(project.store, inventory, metadata.INVENTORY_COLUMNS)), None)
    rows = sum(part.rows for part in inventory.parts)
    complete = CheckReport(
        names.INVENTORY_COMPLETE,
        own.inventory,
        passed=rows == inventory.objects,
        metadata={"objects": inventory.objects, "rows_in_parts": rows, "parts": len(inventory.parts)},
    )
    kept = CheckReport(
        names.INVENTORY_NOT_EMPTIED,
        own.inventory,
        passed=bool(inventory.objects) or not expected,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"objects": inventory.objects, "objects_before": expected or 0},
    )
    charged = price_class(source.location.scheme, is_report=source.storage.inventory_report is not None)
    return StageReport(metadata.inventory_metadata(project.store, inventory, first, charged), (complete, kept))


def _emptied(source: SourceSettings, inventory: "Inventory", before: int | None) -> str:
    if before is None:
        return (
            f"{source.name}: no objects in {inventory.listing}. Check `sources.{source.name}.uri` (keys are "
            "case-sensitive), or put objects there."
        )
    return (
        f"{source.name}: nothing is left in {inventory.listing}, which held {before:,} objects before. Nothing is removed "
        f"from Encord; `status` will count what was registered as deleted. If the bucket is not really empty, check "
        f"`sources.{source.name}.uri` (keys are case-sensitive) and take another inventory."
    )


class ProgressReporter:
    """Reports how far a listing, or the reading of facts, is to the listener, and to the run's log now and then.

    Args:
        log: takes a line.
        monotonic: seconds that never go back.
    """

    def __init__(self, log: Log, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log, self._monotonic = log, monotonic
        self._logged = monotonic()

    def __call__(self, progress: "ListingProgress | ReadingProgress") -> None:
        """Take what it says of itself."""
        current_listener().advanced(progress.objects, str(progress))
        if self._monotonic() - self._logged >= _LOG_SECONDS:
            self._logged = self._monotonic()
            self._log(str(progress))


def plan_stage(
    project: Project, source: SourceSettings, own: SourceNames, instance: dg.DagsterInstance, log: Log
) -> StageReport:
    """Plan the latest inventory and make the planned chunks the source's partitions.

    Facts that are needed and not known are read first, however the plan was started: without them objects would wait.
    """
    from registration_pipeline.orchestration.facts import read_facts
    from registration_pipeline.tracking.status import source_status

    current_listener().stage_started(source.name, "plan", None)
    read_facts(project, source, log)
    plan = project.plan(source)
    if plan.uri_notice:
        notice_and_log(log)(plan.uri_notice)
    added = f"{counted(plan.wave.counts.new, 'new object')} in {counted(len(plan.chunks), 'chunk')}"
    log(f"{added} of wave {plan.wave.wave_id}")
    for warning in plan.warnings.lines():
        notice_and_log(log)(f"{source.name}: warning: {warning}")
    snapshot = project.snapshot(source, plan.history)
    partitions = _show_chunks(project, source, snapshot, own=own, instance=instance, log=log)
    status = source_status(project.store, source.name, snapshot)
    accounted = CheckReport(
        names.EVERY_OBJECT_ACCOUNTED,
        own.chunk_plan,
        passed=status.adds_up,
        metadata={key: value for key, value in status.as_json().items() if isinstance(value, int)},
    )
    matches = _schema_check(source, own, plan.wave.counts.rejected_by_reason)
    shown = metadata.plan_metadata(project.store, plan) | metadata.partitions_metadata(partitions)
    return StageReport(shown, (accounted, *matches))


def _show_chunks(
    project: Project,
    source: SourceSettings,
    snapshot: "SourceSnapshot",
    *,
    own: SourceNames,
    instance: dg.DagsterInstance,
    log: Log,
) -> PartitionUpdate:
    """Make Dagster's partitions of the source what its state and ``keep_partitions_days`` say, and say what was removed."""
    from registration_pipeline.tracking.archive import archived_chunks
    from registration_pipeline.tracking.status import chunk_statuses

    keep_days = source.keep_partitions_days
    statuses = {} if keep_days is None else chunk_statuses(project.store, source.name, snapshot)
    archived = archived_chunks(statuses, keep_days=keep_days, now=utc_now())
    update = update_partitions(instance, own, snapshot.chunks, archived)
    said = [
        removed_partitions(source.name, project.store.uri, update.orphans) if update.orphans else None,
        archive_notice(source.name, update, keep_days),
        many_partitions_warning(source.name, update),
    ]
    for text in filter(None, said):
        notice_and_log(log)(text)
    return update


def _schema_check(source: SourceSettings, own: SourceNames, rejected: Mapping[str, int]) -> tuple[CheckReport, ...]:
    facts = schema_facts(source, rejected)
    if facts is None:
        return ()
    return (
        CheckReport(
            names.METADATA_MATCHES_SCHEMA,
            own.chunk_plan,
            passed=not facts["objects_rejected"],
            severity=dg.AssetCheckSeverity.WARN,
            metadata=facts,
        ),
    )


def failure_log_stage(project: Project, source: SourceSettings, log: Log) -> StageReport:
    """Write the source's failure log from the state."""
    from registration_pipeline.tracking.failures.files import FailureTally
    from registration_pipeline.tracking.failures.log import write_source_failure_log
    from registration_pipeline.tracking.journal.journal import Journal

    current_listener().stage_started(source.name, "failure log", None)
    tally = FailureTally(metadata.SAMPLE_ROWS)
    log_id = utc_now().strftime("%Y%m%dT%H%M%S%fZ")
    snapshot = project.snapshot(source)
    rows = tally.watch(project.failures(source, snapshot))
    written = write_source_failure_log(project.store, source.name, log_id, rows)
    unlinked = f"; not linked: {counted(tally.unlinked, 'unit')}" if tally.unlinked else ""
    log(f"not registered: {counted(tally.objects, 'object')}{unlinked}: {project.store.location(written[1])}")
    # Here, because everything else that happens at the end only reads.
    Journal(project.store, source.name).summarise(snapshot.journals)
    status = project.status(source, snapshot)
    current_listener().counted(status)
    return StageReport(metadata.failure_log_metadata(project.store, status, tally, written))


class ManifestTally:
    """What a run shows of its manifests: an event for each as it is made, and one check at the end. Keeps none of them."""

    def __init__(self, project: Project, own: SourceNames) -> None:
        self._store, self._key = project.store, own.manifest
        self._manifests, self._invalid = 0, 0
        self._violations: dict[str, list[str]] = {}

    def event(self, chunk: "PlannedChunk", manifest: "Manifest") -> dg.AssetMaterialization:
        """Count a manifest; one with violations is reported and does not stop the others."""
        self._manifests += 1
        if manifest.violations:
            self._invalid += 1
            if self._invalid <= _MOST_INVALID_SHOWN:
                self._violations[chunk.chunk_id] = [f"{one.where}: {one.problem}" for one in manifest.violations]
        shown = metadata.manifest_metadata(self._store, chunk, manifest)
        return dg.AssetMaterialization(self._key, partition=chunk.chunk_id, metadata=shown)

    def check(self) -> CheckReport:
        """Return the check over all manifests that were counted."""
        return CheckReport(
            names.MANIFESTS_VALID,
            self._key,
            passed=not self._invalid,
            metadata={
                "manifests": self._manifests,
                "invalid": self._invalid,
                "violations": dg.MetadataValue.json(self._violations),
            },
        )


def manifest_stage(
    project: Project, source: SourceSettings, own: SourceNames, chunks: "Sequence[PlannedChunk]"
) -> Generator[dg.AssetMaterialization, None, CheckReport]:
    """Make the manifests of the chunks and send nothing."""
    from registration_pipeline.manifest.files import ensure_manifest

    listener = current_listener()
    listener.stage_started(source.name, "manifests", len(chunks))
    tally = ManifestTally(project, own)
    for done, chunk in enumerate(chunks, start=1):
        made = ensure_manifest(project.store, source.name, chunk, limits=project.manifest_limits)
        yield tally.event(chunk, made)
        listener.advanced(done)
    return tally.check()


def registration_stage(
    project: Project,
    source: SourceSettings,
    own: SourceNames,
    tasks: "Iterable[ChunkTask]",
    *,
    total: int,
    manifests: ManifestTally | None,
    log: Log,
) -> Generator[dg.AssetMaterialization | dg.AssetObservation, None, list["ChunkResult"]]:
    """Register the chunks: a materialization for each that went through, an observation for each that did not.

    Args:
        project: the configuration.
        source: where the chunks belong.
        own: its names.
        tasks: the chunks, started one by one as there is room for them.
        total: how many they are.
        manifests: the event of each chunk's manifest comes too, right before the chunk is sent; None: manifests are made and
            not shown.
        log: takes a line.

    Returns:
        The results with failures, without their samples.
    """
    from registration_pipeline.submission.result import ReadyChunk

    listener = current_listener()
    listener.stage_started(source.name, "registration", total)
    failed: list[ChunkResult] = []
    done = 0
    found = register(project, source, tasks, notify=notice_and_log(log), with_manifests=manifests is not None)
    # Closed here and not when it is freed: an interruption of the lines below may be kept by Dagster, with all it refers to,
    # and the threads would go on.
    with closing(found):
        for one in found:
            if isinstance(one, ReadyChunk):
                assert manifests is not None
                yield manifests.event(one.chunk, one.manifest)
                continue
            done += 1
            listener.chunk_concluded(source.name, one)
            listener.advanced(done)
            if one.has_failures:
                failed.append(replace(one, failures=()))
                log(
                    f"chunk {one.chunk.chunk_id}: {one.failed_units} of {counted(one.chunk.units, 'unit')} failed, "
                    f"{one.failed_objects} of {counted(one.chunk.objects, 'object')}"
                )
            yield registration_event(project.store, own, one)
    return failed


def registration_event(
    store: "StateStore", own: SourceNames, result: "ChunkResult"
) -> dg.AssetMaterialization | dg.AssetObservation:
    """Return what shows a concluded chunk: a materialization if all of it is registered, else an observation."""
    kind = dg.AssetObservation if result.has_failures else dg.AssetMaterialization
    shown = metadata.registration_metadata(store, own.source, result)
    return kind(own.registration, partition=result.chunk.chunk_id, metadata=shown)


def no_failed_chunks(project: Project, source: SourceSettings, own: SourceNames) -> CheckReport:
    """Check the whole source, not only the chunks of one run."""
    from registration_pipeline.tracking.due import failed_chunks
    from registration_pipeline.tracking.status import chunk_statuses

    statuses = chunk_statuses(project.store, source.name, project.snapshot(source))
    failed = [chunk.chunk_id for chunk in failed_chunks(statuses)]
    return CheckReport(
        names.NO_FAILED_CHUNKS,
        own.registration,
        passed=not failed,
        metadata={
            "failed_chunks": len(failed),
            "sample": dg.MetadataValue.json(failed[: metadata.SAMPLE_ROWS]),
            "what to do": f"fix what the failure log names, then retry the failed partitions, run the job "
            f"{own.retry_job}, or `registration-pipeline submit {source.name} --failed`",
        },
    )
