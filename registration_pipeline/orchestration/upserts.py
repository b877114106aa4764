"""The stage that sends metadata again, as the shell runs it: a step after registration of sources with ``upsert_metadata``.

What does not belong here: what has changed, and sending it (``project/upserts.py`` and below).
"""

from collections.abc import Iterator
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
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings
from registration_pipeline.stages.submission import UpsertsSent, send_upserts

if TYPE_CHECKING:
    from registration_pipeline.tracking.upserts import UpsertCounts


def upsert_event(
    project: Project, own: SourceNames, instance: dg.DagsterInstance, sent: UpsertsSent
) -> dg.AssetMaterialization | dg.AssetObservation:
    """Return what shows the upserts of a run over chunks: a materialization, or an observation if it left some failed."""
    shown = _metadata(project, sent)
    if sent.counts.failed:
        return dg.AssetObservation(own.metadata_upserts, metadata=shown)
    tags = made_now(instance, own.specs.get("metadata_upserts"), None)
    return dg.AssetMaterialization(own.metadata_upserts, metadata=shown, tags=tags)


def _metadata(project: Project, sent: UpsertsSent) -> metadata.Metadata:
    return metadata.upserts_metadata(project.store, sent.counts, sent.plan, sent.units)


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
            sent = send_upserts(opened, current, context.log.info)
            shown = _metadata(opened, sent)
        if (failure := upsert_failure(current, sent.counts)) is not None:
            raise failure
        yield dg.MaterializeResult(metadata=shown)

    return metadata_upserts
