"""A source's assets: inventory, headers, chunk_plan, manifest[chunk], registration[chunk], failure_log, and their checks.

Bodies are wiring around ``stages.py``. Manifest and registration are one step: were the manifest a step of its own, one that
raises would skip the registration of every other chunk of the run (docs/decisions/004-dagster-shell.md).
"""

from collections.abc import Iterator

import dagster as dg

from registration_pipeline.errors import LeaseBusyError
from registration_pipeline.orchestration import names
from registration_pipeline.orchestration.asset_specs import declared
from registration_pipeline.orchestration.audit import build_audit_asset
from registration_pipeline.orchestration.chunk_run import ChunkRun
from registration_pipeline.orchestration.dataset import build_dataset_asset, has_dataset
from registration_pipeline.orchestration.facts import build_fact_assets
from registration_pipeline.orchestration.hosted import hosted
from registration_pipeline.orchestration.key_ranges import wait_for_other_listings
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.resources import load_source
from registration_pipeline.orchestration.runs.chunk_events import stored_in_batches
from registration_pipeline.orchestration.runs.handed_on import Work, hand_on
from registration_pipeline.orchestration.runs.listener import errors_as_failures
from registration_pipeline.orchestration.stages import (
    CheckReport,
    StageReport,
    failure_log_report,
    inventory_stage,
    plan_stage,
)
from registration_pipeline.orchestration.upserts import build_upserts_asset
from registration_pipeline.settings import SourceSettings
from registration_pipeline.stages.submission import write_failure_log

# In a run of this many a chunk costs Dagster some ms of CPU, against 4 s with a run each (benchmark `orchestration`), and a
# crash repeats no more than this.
CHUNKS_PER_RUN = 500


def build_assets(source: SourceSettings, own: SourceNames) -> list[dg.AssetsDefinition]:
    """Return the assets of one source."""
    upserts = [build_upserts_asset(own)] if source.upsert_metadata else []
    dataset = [build_dataset_asset(own)] if has_dataset(source) else []
    chunks = [_chunk_plan(source, own), _chunks(own), *upserts, *dataset]
    return [
        _inventory(source, own),
        *build_fact_assets(source, own),
        *chunks,
        _failure_log(own),
        build_audit_asset(own),
    ]


def partitions_of(source: SourceNames) -> dg.DynamicPartitionsDefinition:
    """Return the chunks of a source as partitions."""
    return dg.DynamicPartitionsDefinition(name=source.partitions)


def _checked(key: dg.AssetKey, *checks: tuple[str, str]) -> list[dg.AssetCheckSpec]:
    return [dg.AssetCheckSpec(name, asset=key, description=text) for name, text in checks]


def _inventory(source: SourceSettings, own: SourceNames) -> dg.AssetsDefinition:
    checks = _checked(
        own.inventory,
        (names.INVENTORY_COMPLETE, "The parts hold as many rows as the commit marker says."),
        (names.INVENTORY_NOT_EMPTIED, "A source that held objects before still holds some."),
    )

    @dg.asset(**declared(own, "inventory"), check_specs=checks, pool=own.listing_pool)
    @hosted(own, "inventory")
    def inventory(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        if source.key_ranges > 1:
            wait_for_other_listings(context, own)
        with errors_as_failures():
            return _result(inventory_stage(*load_source(context, own), own, context.log))

    return inventory


def _chunk_plan(source: SourceSettings, own: SourceNames) -> dg.AssetsDefinition:
    checks = [(names.EVERY_OBJECT_ACCOUNTED, "objects = excluded + rejected + registered + pending + failed")]
    if source.metadata_schema:
        checks.append((names.METADATA_MATCHES_SCHEMA, "No object is rejected as invalid_metadata."))

    @dg.asset(**declared(own, "chunk_plan"), check_specs=_checked(own.chunk_plan, *checks), pool=own.listing_pool)
    @hosted(own, "chunk_plan")
    def chunk_plan(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with errors_as_failures():
            return _result(plan_stage(*load_source(context, own), own, context.instance, context.log.info))

    return chunk_plan


def _failure_log(own: SourceNames) -> dg.AssetsDefinition:
    @dg.asset(**declared(own, "failure_log"))
    @hosted(own, "failure_log")
    def failure_log(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with errors_as_failures():
            project, source = load_source(context, own)
            written = write_failure_log(project, source, context.log.info)
            return _result(failure_log_report(project, source, context.log.info, written))

    return failure_log


def _result(report: StageReport) -> dg.MaterializeResult:
    return dg.MaterializeResult(
        metadata=report.metadata,
        check_results=[check.as_result() for check in report.checks],
        data_version=None if report.version is None else dg.DataVersion(report.version),
    )


def _chunks(own: SourceNames) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"{own.ident}_{names.SUBMIT_STEP}",
        description="Makes the manifests of the chosen chunks and sends them to Encord.",
        specs=[own.specs["manifest"], own.specs["registration"]],
        check_specs=[
            dg.AssetCheckSpec(names.MANIFESTS_VALID, asset=own.manifest, description="Encord's rules, all of them."),
            dg.AssetCheckSpec(
                names.NO_FAILED_CHUNKS,
                asset=own.registration,
                description="No chunk of the source has objects that Encord refused, whatever the last run worked on.",
            ),
        ],
        partitions_def=partitions_of(own),
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=CHUNKS_PER_RUN),
        can_subset=True,
        pool=own.pool,
        required_resource_keys=own.resources,
        op_tags=own.op_tags,
    )
    @hosted(own, "registration")
    def submit_chunks(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckResult]:
        run = ChunkRun.open(context, own)
        selected = context.selected_asset_keys
        if not selected:
            yield from _chosen(context, run.check())
            return
        checks: list[CheckReport] = []
        tasks, unknown = run.named(context.partition_keys)
        try:
            registered = run.register(tasks, selected, total=len(tasks), checks=checks)
            failed = yield from stored_in_batches(context, registered)
        except LeaseBusyError as busy:
            hand_on(context, own, Work(tuple(context.partition_keys), folder=busy.folder), busy)
            yield from _chosen(context, checks)
            return
        except Exception:
            yield from _chosen(context, checks)
            raise
        yield from _chosen(context, checks)
        if own.registration in selected:
            has_listed = own.inventory in (context.run.asset_selection or ())
            run.alert(context.run.run_id, has_listed=has_listed, has_failure_log=False)
        if (failure := run.failure(failed, unknown)) is not None:
            raise failure

    return submit_chunks


def _chosen(context: dg.AssetExecutionContext, checks: list[CheckReport]) -> Iterator[dg.AssetCheckResult]:
    """Yield the results of the checks that the run means to execute."""
    chosen = {(check.asset_key, check.name) for check in context.selected_asset_check_keys}
    yield from (check.as_result() for check in checks if (check.asset_key, check.name) in chosen)
