"""A source's jobs. A sync is one run: inventory, headers, plan, registration of what is due, dataset, log.

Why one op job and not a chain of sensors: docs/decisions/004-dagster-shell.md; why not a run of the assets:
docs/decisions/049-automation.md. The ops call the same stages as the assets and report the same events, so that partitions
and checks are the same. What does not belong here: what starts the jobs (``automation/``).
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from registration_pipeline.errors import LeaseBusyError
from registration_pipeline.orchestration import names
from registration_pipeline.orchestration.audit import build_audit_job
from registration_pipeline.orchestration.chunk_run import ChunkEvents, ChunkRun
from registration_pipeline.orchestration.dataset import check_after_halt, dataset_report, has_dataset
from registration_pipeline.orchestration.facts import asset_keys, build_fact_ops, build_probe_job
from registration_pipeline.orchestration.hosted import hosted
from registration_pipeline.orchestration.key_ranges import listing_steps
from registration_pipeline.orchestration.names import REGISTER_OP, SourceNames
from registration_pipeline.orchestration.private_dagster import RESUME_RETRY_TAG, RETRY_NUMBER_TAG, AssetLayer
from registration_pipeline.orchestration.provenance import made_now
from registration_pipeline.orchestration.resources import load_source
from registration_pipeline.orchestration.runs.chunk_events import ChunkEvent, stored_in_batches
from registration_pipeline.orchestration.runs.handed_on import Work, hand_on
from registration_pipeline.orchestration.runs.listener import errors_as_failures, stopping_failure
from registration_pipeline.orchestration.runs.planned_events import announce, announced
from registration_pipeline.orchestration.runs.processes import OWN_RETRIES_TAG
from registration_pipeline.orchestration.runs.shown_partitions import shown_as_done
from registration_pipeline.orchestration.stages import (
    CheckReport,
    StageReport,
    failure_log_report,
    inventory_stage,
    plan_stage,
)
from registration_pipeline.orchestration.upserts import upsert_event, upsert_failure
from registration_pipeline.settings import SourceSettings
from registration_pipeline.stages.submission import (
    DatasetLinked,
    FailureLogBegins,
    FailureLogWritten,
    LinkingHalted,
    Step,
    UpsertsSent,
)

if TYPE_CHECKING:
    from registration_pipeline.tracking.due import ChunkTask

_FAILS = (
    "The run fails when Encord refuses an object of a chunk that it sends, as the command then ends with 3; all others of it "
    "are registered, and the failure log says which failed and why."
)


class ChunkSelection(dg.Config):
    """Which chunks a run sends. Nothing needs to be changed: as the Launchpad shows it, the run sends all that is due."""

    chunks: list[str] = Field(
        default=[],  # Dagster's config copies defaults, and does not know factories
        description="Ids of chunks, as the partitions are called: only these are sent, also if they have failed. "
        "Empty: `due` and `failed` choose.",
    )
    failed: bool = Field(
        default=False,
        description="Send the chunks with failures again, except those that were tried `max_attempts` times. "
        "Not asked when a chunk is named.",
    )
    force: bool = Field(
        default=False,
        description="With `failed`, also those that were tried `max_attempts` times. With `chunks`, also those of which "
        "nothing failed.",
    )
    due: bool = Field(
        default=True,
        description="Send the chunks that have no verdict yet. Not asked when a chunk is named.",
    )


def build_jobs(source: SourceSettings, own: SourceNames, executor: dg.ExecutorDefinition) -> list[Any]:
    """Return the jobs of one source.

    Args:
        source: its settings.
        own: what it is called.
        executor: of the jobs whose steps can be spread over workers: those that list a source in key ranges.
    """
    tags = {**own.run_tags, **OWN_RETRIES_TAG}
    register = _register_op(own)  # a code location refuses two ops of one name, so the jobs share theirs
    is_spread = source.key_ranges > 1
    executor = executor if is_spread else dg.in_process_executor
    listing: Callable[[], Any] = listing_steps(own) if is_spread else _inventory_op(own)
    inventory = f"Inventory of {source.uri}. Sends nothing."
    return [
        *_sync_jobs(source, own, listing, register, {"tags": tags, "executor_def": executor}),
        _submit_job(own.submit_job, register, tags, _launchpad(own, failed=False)),
        _submit_job(own.retry_job, register, tags, _launchpad(own, failed=True)),
        _listing_job(own, listing, tags, inventory, executor)
        if is_spread
        else _asset_job(own.inventory_job, own.inventory, tags, inventory),
        build_probe_job(source, own, tags, executor),
        _asset_job(own.plan_job, own.chunk_plan, tags, f"Chunks of new objects of {source.uri}. Sends nothing."),
        build_audit_job(own, tags),
    ]


def _launchpad(own: SourceNames, *, failed: bool) -> dict[str, Any]:
    """Return the config that the Launchpad shows: every option with its value."""
    options = ChunkSelection(failed=failed).model_dump()
    return {"ops": {f"{own.ident}_{REGISTER_OP}": {"config": options}}}


def _asset_job(name: str, key: dg.AssetKey, tags: dict[str, str], description: str) -> Any:
    return dg.define_asset_job(
        name, selection=[key], tags=tags, description=description, executor_def=dg.in_process_executor
    )


def _listing_job(
    own: SourceNames,
    listing: Callable[[], Any],
    tags: dict[str, str],
    description: str,
    executor: dg.ExecutorDefinition,
) -> dg.JobDefinition:
    """Return the job that lists a source in key ranges; the asset by itself lists it in one step."""

    @dg.job(name=own.inventory_job, tags=tags, description=description, executor_def=executor)
    def inventory() -> None:
        listing()

    return inventory


def _sync_jobs(
    source: SourceSettings,
    own: SourceNames,
    listing: Callable[[], Any],
    register: dg.OpDefinition,
    started: dict[str, Any],
) -> Iterator[dg.JobDefinition]:
    """Yield the sync as it is started by hand or a command, and as the schedule starts it.

    The same steps twice, because the UI shows a schedule on the pages of assets only if its job names them, and gives a job
    that names assets no Launchpad.
    """
    plan_chunks = _plan_op(own)
    facts = build_fact_ops(source, own)

    @dg.graph(name=own.sync_job)
    def sync() -> None:
        listed = listing()
        for read in facts:
            listed = read(listed=listed)
        register(planned=plan_chunks(listed=listed))

    does = f"inventory, plan, registration and failure log of {source.uri}, in one run"
    started = {**started, "config": _launchpad(own, failed=False)}
    by_hand = f"The job to start by hand; `registration-pipeline sync {source.name}` runs it, too."
    yield sync.to_job(name=own.sync_job, description=f"By hand: {does}. {by_hand} {_FAILS}", **started)
    yield sync.to_job(
        name=own.nightly_job,
        description=f"By the schedule {own.schedule}: {does}. The button of this job does not start it: it asks for "
        f"partitions. To start it by hand, launch {own.sync_job}. {_FAILS}",
        asset_layer=AssetLayer.for_external_job(assets_of_sync(source, own)),
        **started,
    )


def assets_of_sync(source: SourceSettings, own: SourceNames) -> list[dg.AssetKey]:
    """Return the assets that a sync of the source brings up to date, in its order."""
    upserts = [own.metadata_upserts] if source.upsert_metadata else []
    dataset = [own.dataset] if has_dataset(source) else []
    chunks = [own.chunk_plan, own.manifest, own.registration]
    return [own.inventory, *asset_keys(source, own), *chunks, *upserts, *dataset, own.failure_log]


def _submit_job(
    name: str,
    register: dg.OpDefinition,
    tags: dict[str, str],
    config: dict[str, Any],
) -> dg.JobDefinition:
    (chosen,) = config["ops"].values()
    what = (
        "the chunks that have failures, except those whose retries are exhausted, and of those that are due: launch it after "
        "the objects were fixed"
        if chosen["config"]["failed"]
        else "the chunks that are due, or that its option `chunks` names: launch it to go on with what is planned already"
    )

    @dg.job(
        name=name,
        tags=tags,
        config=config,
        description=f"Registration of {what}. One run, without a new inventory and plan. {_FAILS}",
        executor_def=dg.in_process_executor,
    )
    def submit() -> None:
        register()

    return submit


def _inventory_op(own: SourceNames) -> dg.OpDefinition:
    @dg.op(
        name=f"{own.ident}_{names.LIST_STEP}",
        description="Lists the source into a new inventory, after Encord has accepted key, integration and folder.",
        pool=own.listing_pool,
        out=dg.Out(dg.Nothing),
        required_resource_keys=own.resources,
        tags=own.op_tags,
    )
    @hosted(own, "inventory")
    def take_inventory(context: dg.OpExecutionContext) -> Iterator[dg.AssetMaterialization]:
        with errors_as_failures():
            opened, current = load_source(context, own)
            announce(context, own.inventory)
            # First, so that a wrong key does not cost the listing, which may take the night.
            opened.ask_encord(current)
            report = inventory_stage(opened, current, own, context.log)
        yield from _events(context, own, "inventory", report)

    return take_inventory


def _plan_op(own: SourceNames) -> dg.OpDefinition:
    @dg.op(
        name=f"{own.ident}_plan_chunks",
        description="Puts new objects of the latest inventory into chunks and makes a partition for each.",
        pool=own.listing_pool,
        ins={"listed": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        required_resource_keys=own.resources,
        tags=own.op_tags,
    )
    @hosted(own, "chunk_plan")
    def plan_chunks(context: dg.OpExecutionContext) -> Iterator[dg.AssetMaterialization]:
        with errors_as_failures():
            announce(context, own.chunk_plan)
            report = plan_stage(*load_source(context, own), own, context.instance, context.log.info)
        yield from _events(context, own, "chunk_plan", report)

    return plan_chunks


def _register_op(own: SourceNames) -> dg.OpDefinition:
    """Register chunks, link them to the dataset, write the failure log, and fail if any object was refused.

    One op, so that re-executing the run from its failure tries the chunks again, and that nothing passes between ops: what
    passed would have to be kept where every worker can read it, or re-execution from a failure would be refused.
    """

    # Nothing precedes it in the jobs that only submit; Dagster leaves an unconnected input of this type alone.
    @dg.op(
        name=f"{own.ident}_{REGISTER_OP}",
        description="Sends the chosen chunks to Encord, links what is registered, and writes the failure log. "
        "Its options need no change: as the Launchpad shows them, everything that is due is sent.",
        pool=own.pool,
        ins={"planned": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        required_resource_keys=own.resources,
        tags=own.op_tags,
    )
    @hosted(own, "registration")
    def register_chunks(
        context: dg.OpExecutionContext, config: ChunkSelection
    ) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
        run = ChunkRun.open(context, own)
        retry_failed = config.failed or _is_retried_by_a_person(context.run)
        tasks, unknown = _chosen(context, run, config, retry_failed=retry_failed)
        steps = run.submit(
            announced(context, own.registration, tasks),
            total=len(tasks),
            is_named=bool(config.chunks),
            retry_failed=retry_failed,
            force=config.force,
        )
        try:
            with closing(steps):
                failed = yield from _register(context, run, tasks, steps)
                halted, not_sent = yield from _follow(context, run, steps)
        except LeaseBusyError as busy:
            work = Work(
                tuple(config.chunks), failed=retry_failed, force=config.force, due=config.due, folder=busy.folder
            )
            hand_on(context, own, work, busy)
            return
        if halted is None:  # what halts a run is reported by what watches it
            run.alert(context.run_id, has_listed=context.job_name not in (own.submit_job, own.retry_job))
        if (failure := halted or run.failure(failed, unknown) or not_sent) is not None:
            raise failure

    return register_chunks


def _chosen(
    context: dg.OpExecutionContext, run: ChunkRun, config: ChunkSelection, *, retry_failed: bool
) -> "tuple[list[ChunkTask], list[str]]":
    """Return the chunks that the run registers, and the named ones that the state does not know."""
    if config.chunks:
        return run.named(config.chunks, force=config.force)
    shown = shown_as_done(context.instance, run.own)
    return run.due(failed=retry_failed, also_due=config.due, force=config.force, shown=shown), []


def _register(
    context: dg.OpExecutionContext, run: ChunkRun, tasks: "list[ChunkTask]", steps: Generator[Step, None, None]
) -> ChunkEvents:
    """Show the registration of the chunks, log the checks however that ends, and return the results with failures."""
    checks: list[CheckReport] = []
    try:
        registered = run.registered(steps, total=len(tasks), checks=checks)
        with run.showing(context.instance, tasks):
            return (yield from stored_in_batches(context, registered))
    finally:
        _log_checks(context, checks)


def _follow(
    context: dg.OpExecutionContext, run: ChunkRun, steps: Generator[Step, None, None]
) -> "Generator[ChunkEvent, None, tuple[dg.Failure | None, dg.Failure | None]]":
    """Show what the run does after its chunks; return what halted linking, and the failure of upserts, if any."""
    project, source, own = run.project, run.source, run.own
    halted = not_sent = None
    with errors_as_failures(hands_on=True):
        for step in steps:
            match step:
                case UpsertsSent():
                    yield upsert_event(project, own, context.instance, step)
                    not_sent = upsert_failure(source, step.counts)
                case DatasetLinked():
                    yield from _events(context, own, "dataset", dataset_report(project, source, own, step))
                case LinkingHalted():
                    halted = stopping_failure(step.error)
                    _log_checks(context, check_after_halt(project, source, own))
                case FailureLogBegins():
                    announce(context, own.failure_log)
                case FailureLogWritten():
                    report = failure_log_report(project, source, context.log.info, step)
                    yield from _events(context, own, "failure_log", report)
    return halted, not_sent


def _is_retried_by_a_person(run: dg.DagsterRun) -> bool:
    """Return whether the run is a person's "re-execute from failure"; Dagster's own retry of a crash resends nothing."""
    return run.tags.get(RESUME_RETRY_TAG) == "true" and RETRY_NUMBER_TAG not in run.tags


def _events(
    context: dg.OpExecutionContext, own: SourceNames, stage: str, report: StageReport
) -> Iterator[dg.AssetMaterialization]:
    _log_checks(context, report.checks)
    spec = own.specs[stage]
    tags = made_now(context.instance, spec, report.version)
    yield dg.AssetMaterialization(spec.key, metadata=report.metadata, tags=tags)


def _log_checks(context: dg.OpExecutionContext, checks: Any) -> None:
    for check in checks:
        context.log_event(check.as_event(context.instance))
