"""The stages as the shell runs them: one core call each, and what to show of it.

Assets and the ops of jobs call the same functions, so that a run is the same however it was started. What belongs here is
turning results into metadata and checks; deciding belongs to the core.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

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
from registration_pipeline.orchestration.private_dagster import CheckTarget
from registration_pipeline.orchestration.provenance import PLAN_VERSION, made_of_chunk
from registration_pipeline.orchestration.runs.failures import failure_line
from registration_pipeline.orchestration.schema_check import schema_facts
from registration_pipeline.project.listener import Log, current_listener, notice_and_log
from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.settings import SourceSettings
from registration_pipeline.stages.listing import Listed, list_source
from registration_pipeline.stages.planning import plan_latest
from registration_pipeline.stages.steps import Steps
from registration_pipeline.stages.submission import FailureLogWritten

if TYPE_CHECKING:
    from registration_pipeline.manifest.files import Manifest
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.result import ChunkResult, ReadyChunk
    from registration_pipeline.tracking.snapshot import SourceSnapshot

RegistrationSteps: TypeAlias = "Generator[ReadyChunk | ChunkResult, None, Sequence[ChunkResult]]"

_LOG_SECONDS = 30.0
_MOST_INVALID_SHOWN = 100
"""Chunks whose violations the check lists; each manifest's own event counts them."""


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

    def as_event(self, instance: dg.DagsterInstance) -> dg.AssetCheckEvaluation:
        """Return it for the log of an op, which has no check specs.

        It names the newest materialization of its asset. Without that Dagster compares times, and that of a check is kept in
        whole seconds: one in the second of a materialization of an earlier run would show as not evaluated.
        """
        newest = next(iter(instance.fetch_materializations(self.asset_key, limit=1).records), None)
        target = newest and CheckTarget(storage_id=newest.storage_id, run_id=newest.run_id, timestamp=newest.timestamp)
        return dg.AssetCheckEvaluation(
            target_materialization_data=target,
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
    version: str | None = None
    """What Dagster compares to find what is out of date: another one is other data. None: it has none."""


def inventory_stage(
    project: Project, source: SourceSettings, own: SourceNames, log: dg.DagsterLogManager
) -> StageReport:
    """List the source into a new inventory."""
    return inventory_report(project, source, own, list_source(project, source, log.info, log.warning))


def inventory_report(project: Project, source: SourceSettings, own: SourceNames, listed: Listed) -> StageReport:
    """Return what to show of a new inventory."""
    from registration_pipeline.inventory.inventory import read_inventory
    from registration_pipeline.inventory.price_class import price_class

    inventory = listed.inventory
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
        passed=not listed.is_emptied,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"objects": inventory.objects, "objects_before": listed.objects_before or 0},
    )
    charged = price_class(source.location.scheme, is_report=source.storage.inventory_report is not None)
    shown = metadata.inventory_metadata(project.store, inventory, first, charged)
    return StageReport(shown, (complete, kept), inventory.inventory_id)


def plan_stage(
    project: Project, source: SourceSettings, own: SourceNames, instance: dg.DagsterInstance, log: Log
) -> StageReport:
    """Plan the latest inventory and make the planned chunks the source's partitions.

    Facts that are needed and not known are read first, however the plan was started: without them objects would wait.
    """
    from registration_pipeline.tracking.status import source_status

    planned = plan_latest(project, source, log)
    plan, snapshot = planned.plan, planned.snapshot
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
    return StageReport(shown, (accounted, *matches), PLAN_VERSION)


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


def failure_log_report(project: Project, source: SourceSettings, log: Log, written: FailureLogWritten) -> StageReport:
    """Return what to show of a failure log, and log how much of the source is registered."""
    counts = written.status
    eligible = counted(counts.objects - counts.excluded, "object")
    log(f"source {source.name}: {counts.registered:,} of {eligible} registered")
    return StageReport(metadata.failure_log_metadata(project.store, written.status, written.tally, written.names))


class ManifestTally:
    """The manifests of a run: an event for each as it is made, and which are invalid. Keeps none of the others."""

    def __init__(self, project: Project, own: SourceNames) -> None:
        self._store, self._key = project.store, own.manifest
        self._tags = made_of_chunk(own.specs.get("manifest"), {own.chunk_plan: PLAN_VERSION}, None)
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
        return dg.AssetMaterialization(self._key, partition=chunk.chunk_id, metadata=shown, tags=self._tags)

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


def registration_events(
    store: "StateStore",
    own: SourceNames,
    stage: "RegistrationSteps",
    *,
    total: int,
    manifests: ManifestTally | None,
    log: dg.DagsterLogManager,
) -> "Generator[dg.AssetMaterialization | dg.AssetObservation, None, Sequence[ChunkResult]]":
    """Show the registration of chunks: a materialization for each that went through, an observation for each that did not.

    Args:
        store: where the chunks are kept.
        own: the names of their source.
        stage: yields each chunk with its verdict and, with ``manifests``, also with its manifest right before it is sent;
            returns those with failures.
        total: how many chunks there are.
        manifests: takes the manifests, whose events come too; None: manifests are made and not shown.
        log: of the run; a chunk with failures is an error in it. Its last line says how many objects are registered.

    Returns:
        What ``stage`` returns.
    """
    from registration_pipeline.submission.result import ReadyChunk

    objects = registered = 0
    with closing(Steps(stage)) as found:
        for one in found:
            if isinstance(one, ReadyChunk):
                assert manifests is not None
                yield manifests.event(one.chunk, one.manifest)
                continue
            objects, registered = objects + one.chunk.objects, registered + one.registered_objects
            if one.has_failures:
                log.error(failure_line(one))
            yield registration_event(store, own, one)
    outcome = f"this run: {registered:,} of {counted(objects, 'object')} registered, in {counted(total, 'chunk')}"
    log.info(outcome)
    return found.end


def registration_event(
    store: "StateStore", own: SourceNames, result: "ChunkResult"
) -> dg.AssetMaterialization | dg.AssetObservation:
    """Return what shows a concluded chunk: a materialization if all of it is registered, else an observation."""
    shown = metadata.registration_metadata(store, own.source, result)
    chunk_id = result.chunk.chunk_id
    if result.has_failures:
        return dg.AssetObservation(own.registration, partition=chunk_id, metadata=shown)
    # A later attempt is other data to what lists failures or links items.
    tags = made_of_chunk(own.specs.get("registration"), {}, f"attempt-{result.attempt}")
    return dg.AssetMaterialization(own.registration, partition=chunk_id, metadata=shown, tags=tags)
