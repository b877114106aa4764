"""The stage that sends metadata again, as the shell runs it: a step after registration of sources with ``upsert_metadata``.

What does not belong here: what has changed, and sending it (``project/upserts.py`` and below).
"""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import dagster as dg

from registration_pipeline.counted import counted
from registration_pipeline.orchestration import metadata
from registration_pipeline.orchestration.asset_specs import declared
from registration_pipeline.orchestration.hosted import hosted
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.provenance import made_now
from registration_pipeline.orchestration.resources import load_source
from registration_pipeline.orchestration.runs.listener import errors_as_failures
from registration_pipeline.project.listener import Log
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings
from registration_pipeline.stages.submission import send_upserts

if TYPE_CHECKING:
    from registration_pipeline.tracking.upserts import UpsertCounts

UpsertEvent = dg.AssetMaterialization | dg.AssetObservation


def upsert_stage(
    project: Project, source: SourceSettings, log: Log, *, failed: bool = False, force: bool = False
) -> "tuple[UpsertCounts, metadata.Metadata]":
    """Send the metadata that changed; return the counts afterwards, and what to show of the run.

    Args:
        project: the configuration.
        source: with ``upsert_metadata``.
        log: takes a line.
        failed: also what failed for a reason that does not pass by itself.
        force: also what was tried as often as is allowed.
    """
    sent = send_upserts(project, source, log, failed=failed, force=force)
    return sent.counts, metadata.upserts_metadata(project.store, sent.counts, sent.plan, sent.units)


def upsert_events(
    project: Project,
    source: SourceSettings,
    own: SourceNames,
    context: dg.OpExecutionContext,
    *,
    failed: bool,
    force: bool,
) -> Generator[UpsertEvent, None, dg.Failure | None]:
    """Run the stage as a step of a run over chunks: one event of its asset, and the failure that ends the run, if any."""
    if not source.upsert_metadata:
        return None
    with errors_as_failures(hands_on=True):
        counts, shown = upsert_stage(project, source, context.log.info, failed=failed, force=force)
    if counts.failed:
        yield dg.AssetObservation(own.metadata_upserts, metadata=shown)
    else:
        tags = made_now(context.instance, own.specs.get("metadata_upserts"), None)
        yield dg.AssetMaterialization(own.metadata_upserts, metadata=shown, tags=tags)
    return upsert_failure(source, counts)


def upsert_failure(source: SourceSettings, counts: "UpsertCounts") -> dg.Failure | None:
    """Return the failure of a run that left upserts failed; None if it left none."""
    if not counts.failed:
        return None
    return dg.Failure(
        description=f"New metadata of {counted(counts.failed, 'registered unit')} did not get to Encord. "
        f"`registration-pipeline failures {source.name}` says which and why.",
        metadata={"failed_upserts": counts.failed},
        allow_retries=False,
    )


def build_upserts_asset(own: SourceNames) -> dg.AssetsDefinition:
    """Return the asset of a source whose metadata is sent again when it changes."""

    @dg.asset(**declared(own, "metadata_upserts"), pool=own.pool)
    @hosted(own, "metadata_upserts")
    def metadata_upserts(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        with errors_as_failures():
            opened, current = load_source(context, own)
            counts, shown = upsert_stage(opened, current, context.log.info)
        if (failure := upsert_failure(current, counts)) is not None:
            raise failure
        yield dg.MaterializeResult(metadata=shown)

    return metadata_upserts
