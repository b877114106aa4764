"""Lists a source with ``key_ranges`` in dynamic steps: key ranges are fixed, each is listed by a step, one commits them.

No value passes between the steps, because what passes would be kept on a local disk that other workers don't have: the mapping
key of a step is the inventory's id and the number of its range. What does not belong here: listing (``inventory/key_ranges``),
and what executes the steps (``engines.py``).
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from registration_pipeline.orchestration import names
from registration_pipeline.orchestration.hosted import hosted
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.private_dagster import DagsterExecutionInterruptedError
from registration_pipeline.orchestration.provenance import made_now
from registration_pipeline.orchestration.resources import load_source
from registration_pipeline.orchestration.runs.goes_on import other_listings, run_is_over, runs_gone_on_with
from registration_pipeline.orchestration.runs.listener import errors_as_failures
from registration_pipeline.orchestration.runs.planned_events import announce
from registration_pipeline.orchestration.stages import inventory_report
from registration_pipeline.project.listener import notice_and_log
from registration_pipeline.stages.key_ranges import begin_inventory, commit_inventory, list_key_range


class CrashPolicy(dg.RetryPolicy):
    """Repeats a step whose own process was killed or ended, and no step in the process of its run that is interrupted.

    Dagster repeats both: a run that a person terminates, or a command at Ctrl-C, would go on as if nothing had happened, until
    it is interrupted again.
    """

    def calculate_delay(self, attempt_num: int) -> int | float:
        """Return the seconds until the next attempt; Dagster asks for them where it handles what ended this one."""
        error = sys.exception()
        if isinstance(error, (DagsterExecutionInterruptedError, KeyboardInterrupt)) and _is_in_process_of_run():
            raise error
        return super().calculate_delay(attempt_num)


def _is_in_process_of_run() -> bool:
    """Return whether the step that this process works on has no process of its own; a command's never has."""
    return dg.OpExecutionContext.get().job_def.executor_def.name in _IN_PROCESS


CRASHES = CrashPolicy(max_retries=3, delay=1)
"""Of a step whose process was killed: what it had finished is not done again. Our own errors are never retried by Dagster."""

_IN_PROCESS = {dg.in_process_executor.name, "execute_in_process_executor"}
"""The executors that have no process for a step; the latter is that of ``execute_in_process``."""

_WAIT_SECONDS = 30
_MOST_WAITS = 20_000
"""A week. A listing that takes longer is cleared away in any case."""


def listing_steps(own: SourceNames) -> Callable[[], Any]:
    """Return what composes the steps that list a source, in the body of a graph, and returns the output of the last one.

    It is not a graph of its own: the name of that would be part of the names of its steps.
    """
    begin, one, commit = _begin(own), _list_range(own), _commit(own)
    return lambda: commit(listed=begin().map(lambda key_range: one(key_range=key_range)).collect())


def mapping_key(inventory_id: str, number: int) -> str:
    """Return the mapping key of the step of a key range: ``[A-Za-z0-9_]+``."""
    return f"{inventory_id}_{number:05d}"


def key_range_of(key: str) -> tuple[str, int]:
    """Return the inventory's id and the number of the key range of a mapping key."""
    inventory_id, _, number = key.rpartition("_")
    return inventory_id, int(number)


def wait_for_other_listings(context: Any, own: SourceNames) -> None:
    """Give the worker back for half a minute while another run lists the source in key ranges.

    The pool of a source's listings can't see to that: the steps of the ranges work side by side, so they are in no pool.

    Raises:
        RetryRequested: there is such a run.
    """
    with errors_as_failures():
        project, source = load_source(context, own)
        others = other_listings(context.instance, project.store, source.name, runs_gone_on_with(context))
    if others:
        notice_and_log(context.log.info)(
            f"Source {own.source} is being listed by run {others[0]}; waiting until it ends, and asking every "
            f"{_WAIT_SECONDS} seconds."
        )
        raise dg.RetryRequested(max_retries=_MOST_WAITS, seconds_to_wait=_WAIT_SECONDS)


def _begin(own: SourceNames) -> dg.OpDefinition:
    @dg.op(
        name=f"{own.ident}_{names.BEGIN_STEP}",
        description="Fixes the key ranges in which the source is listed: those of the newest inventory that hold equally many "
        "objects.",
        pool=own.listing_pool,
        out=dg.DynamicOut(dg.Nothing),
        required_resource_keys=own.resources,
        retry_policy=CRASHES,
        tags=own.op_tags,
    )
    @hosted(own, "inventory")
    def begin(context: dg.OpExecutionContext) -> Iterator[dg.DynamicOutput[None]]:
        wait_for_other_listings(context, own)
        with errors_as_failures():
            opened, current = load_source(context, own)
            announce(context, own.inventory)
            if context.job_name in own.sync_jobs:
                # First, so that a wrong key does not cost the listing, which may take the night.
                opened.ask_encord(current)
            runs = runs_gone_on_with(context)
            division = begin_inventory(opened, current, runs, run_is_over(context.instance), context.log.info)
        for number in range(division.ranges):
            yield dg.DynamicOutput(None, mapping_key=mapping_key(division.inventory_id, number))

    return begin


def _list_range(own: SourceNames) -> dg.OpDefinition:
    @dg.op(
        name=f"{own.ident}_list_key_range",
        description="Lists one key range of the source. A range that was listed is not listed again.",
        ins={"key_range": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        required_resource_keys=own.resources,
        retry_policy=CRASHES,
        tags=own.op_tags,
    )
    @hosted(own, "inventory")
    def list_one(context: dg.OpExecutionContext) -> Iterator[dg.AssetMaterialization]:
        inventory_id, number = key_range_of(context.get_mapping_key() or "")
        with errors_as_failures():
            list_key_range(*load_source(context, own), inventory_id, number, context.log.info)
        yield from ()

    return list_one


def _commit(own: SourceNames) -> dg.OpDefinition:
    @dg.op(
        name=f"{own.ident}_{names.LIST_STEP}",
        description="Makes one inventory of the key ranges that were listed, after reading all of its rows once more. A range "
        "that had no step, because the run was interrupted and repeated, is listed first.",
        pool=own.listing_pool,
        ins={"listed": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        required_resource_keys=own.resources,
        retry_policy=CRASHES,
        tags=own.op_tags,
    )
    @hosted(own, "inventory")
    def take_inventory(context: dg.OpExecutionContext) -> Iterator[dg.AssetMaterialization]:
        with errors_as_failures():
            opened, current = load_source(context, own)
            runs = runs_gone_on_with(context)
            is_over = run_is_over(context.instance)
            found = commit_inventory(opened, current, runs, context.log.info, context.log.warning, is_over=is_over)
            report = inventory_report(opened, current, own, found)
        for check in report.checks:
            event: Any = check.as_event(context.instance)  # Dagster takes it, and its annotation lacks it
            context.log_event(event)
        tags = made_now(context.instance, own.specs["inventory"], report.version)
        yield dg.AssetMaterialization(own.inventory, metadata=report.metadata, tags=tags)

    return take_inventory
