"""The stages as the shell runs them: one core call each, and what to show of it.

Assets and the ops of jobs call the same functions, so that a run is the same however it was started. What belongs here is
turning results into metadata and checks; deciding belongs to the core.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
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
from registration_pipeline.orchestration.runs.failures import failure_line
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
    description: str | None = None
    """What was found, in a sentence."""

    def as_result(self) -> dg.AssetCheckResult:
        """Return it for an asset's own ``check_specs``."""
        return dg.AssetCheckResult(
            asset_key=self.asset_key,
            check_name=self.name,
            passed=self.passed,
            severity=self.severity,
            metadata=self.metadata,
            description=self.description,
        )

    def as_event(self) -> dg.AssetCheckEvaluation:
        """Return it for the log of an op, which has no check specs."""
        return dg.AssetCheckEvaluation(
            asset_key=self.asset_key,
            check_name=self.name,
            passed=self.passed,
            severity=self.severity,
            metadata=self.metadata,
            description=self.description,
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
    before = _objects_before(project, source, expected) if not inventory.objects else expected
    if not inventory.objects:
        warning = _emptied(source, inventory, before)
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
        passed=bool(inventory.objects) or not before,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"objects": inventory.objects, "objects_before": before or 0},
    )
    charged = price_class(source.location.scheme, is_report=source.storage.inventory_report is not None)
    return StageReport(metadata.inventory_metadata(project.store, inventory, first, charged), (complete, kept))


def _objects_before(project: Project, source: SourceSettings, expected: int | None) -> int | None:
    """Return how many objects a source that is empty held before: as it was listed last, or else as it was planned.

    The inventory before may be empty, too, and the source is emptied all the same.
    """
    from registration_pipeline.planning.history import load_history

    latest = None if expected else load_history(project.store, source.name).latest
    return expected or (latest.counts.objects or latest.counts.deleted or None if latest else None)


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
    """Write the source's failure log and its report from the state."""
    from registration_pipeline.report.gather import breakdown_of
    from registration_pipeline.report.nightly import keep_nightly_report
    from registration_pipeline.tracking.failures.log import write_source_failure_log
    from registration_pipeline.tracking.journal.journal import Journal

    current_listener().stage_started(source.name, "failure log", None)
    breakdown = breakdown_of(source)
    log_id = utc_now().strftime("%Y%m%dT%H%M%S%fZ")
    snapshot = project.snapshot(source)
    rows = breakdown.watch(project.failures(source, snapshot))
    written = write_source_failure_log(project.store, source.name, log_id, rows)
    tally = breakdown.tally
    unlinked = f"; not linked: {counted(tally.unlinked, 'unit')}" if tally.unlinked else ""
    log(f"not registered: {counted(tally.objects, 'object')}{unlinked}: {project.store.location(written[1])}")
    # Here, because everything else that happens at the end only reads.
    Journal(project.store, source.name).summarise(snapshot.journals)
    status = project.status(source, snapshot)
    current_listener().counted(status)
    page = keep_nightly_report(project, source, log_id, snapshot=snapshot, status=status, failures=breakdown.figures())
    return StageReport(metadata.failure_log_metadata(project.store, status, tally, [*written, page]))


class ManifestTally:
    """The manifests of a run: an event for each as it is made, and which are invalid. Keeps none of the others."""

    def __init__(self, project: Project, own: SourceNames) -> None:
        self._store, self._key = project.store, own.manifest
        self.made = 0
        self.invalid: set[str] = set()
        """The chunks of all invalid manifests."""
        self.violations: dict[str, list[str]] = {}
        """What is wrong with the first of them, by chunk."""

    def event(self, chunk: "PlannedChunk", manifest: "Manifest") -> dg.AssetMaterialization:
        """Count a manifest; one with violations is reported and does not stop the others."""
        self.made += 1
        if manifest.violations:
            self.add_invalid(chunk, manifest)
        shown = metadata.manifest_metadata(self._store, chunk, manifest)
        return dg.AssetMaterialization(self._key, partition=chunk.chunk_id, metadata=shown)

    def add_invalid(self, chunk: "PlannedChunk", manifest: "Manifest") -> None:
        """Count a manifest that Encord would refuse."""
        self.invalid.add(chunk.chunk_id)
        if len(self.violations) < _MOST_INVALID_SHOWN:
            self.violations[chunk.chunk_id] = [f"{one.where}: {one.problem}" for one in manifest.violations]


def manifest_stage(
    project: Project, source: SourceSettings, tally: ManifestTally, chunks: "Sequence[PlannedChunk]"
) -> Iterator[dg.AssetMaterialization]:
    """Make the manifests of the chunks, count them in ``tally``, and send nothing."""
    from registration_pipeline.manifest.files import ensure_manifest

    listener = current_listener()
    listener.stage_started(source.name, "manifests", len(chunks))
    for done, chunk in enumerate(chunks, start=1):
        made = ensure_manifest(project.store, source.name, chunk, limits=project.manifest_limits)
        yield tally.event(chunk, made)
        listener.advanced(done)


def registration_stage(
    project: Project,
    source: SourceSettings,
    own: SourceNames,
    tasks: "Iterable[ChunkTask]",
    *,
    total: int,
    manifests: ManifestTally | None,
    log: dg.DagsterLogManager,
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
        log: of the run; a chunk with failures is an error in it.

    Returns:
        The results with failures; the first ``metadata.SAMPLE_ROWS`` of them with their samples.
    """
    from registration_pipeline.submission.result import ReadyChunk

    listener = current_listener()
    listener.stage_started(source.name, "registration", total)
    failed: list[ChunkResult] = []
    done = 0
    found = register(project, source, tasks, notify=notice_and_log(log.info), with_manifests=manifests is not None)
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
                failed.append(one if len(failed) < metadata.SAMPLE_ROWS else replace(one, failures=()))
                log.error(failure_line(one))
            yield registration_event(project.store, own, one)
    return failed


def registration_event(
    store: "StateStore", own: SourceNames, result: "ChunkResult"
) -> dg.AssetMaterialization | dg.AssetObservation:
    """Return what shows a concluded chunk: a materialization if all of it is registered, else an observation."""
    kind = dg.AssetObservation if result.has_failures else dg.AssetMaterialization
    shown = metadata.registration_metadata(store, own.source, result)
    return kind(own.registration, partition=result.chunk.chunk_id, metadata=shown)
