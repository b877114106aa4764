"""Which runs a run goes on with, and whether anything more comes of a run: what it began may be another's to finish.

What does not belong here: whether the process of a run still lives (``processes.py``), and ending runs (``stale_runs.py``).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from registration_pipeline.orchestration.names import BEGIN_STEP
from registration_pipeline.orchestration.private_dagster import (
    BACKFILL_ID_TAG,
    BULK_ACTION_TERMINAL_STATUSES,
    RESUME_RETRY_TAG,
    RETRY_NUMBER_TAG,
    ROOT_RUN_ID_TAG,
    WILL_RETRY_TAG,
)
from registration_pipeline.orchestration.runs.processes import why_gone

if TYPE_CHECKING:
    from registration_pipeline.state.store import StateStore

_UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def runs_gone_on_with(context: Any) -> list[str]:
    """Return the id of the run of a step, and those of the runs that it goes on with, the nearest first.

    A run goes on with its parent if that was re-executed from its failure or from chosen steps, or if Dagster repeats it after
    a crash. One that a person executes again with all of its steps begins from nothing.
    """
    return list(_line(context.instance, context.run))


def _line(instance: dg.DagsterInstance, run: dg.DagsterRun | None) -> Iterator[str]:
    while run is not None:
        yield run.run_id
        run = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id and _is_continued(run) else None


def _is_continued(run: dg.DagsterRun) -> bool:
    steps = run.step_keys_to_execute
    is_part = steps is not None and not any(step.endswith(f"_{BEGIN_STEP}") for step in steps)
    return is_part or run.tags.get(RESUME_RETRY_TAG) == "true" or RETRY_NUMBER_TAG in run.tags


def needed_to_go_on(instance: dg.DagsterInstance) -> set[str]:
    """Return the ids of failed runs that Dagster will still repeat, and of what they and unfinished runs were made from.

    A run that is repeated goes on with its parent, and Dagster repeats none of which the first run is gone.
    """
    failed = _to_be_repeated(instance)
    found, below = {run.run_id for run in failed}, [*failed, *instance.get_runs(RunsFilter(statuses=_UNFINISHED))]
    while below:
        above = {run_id for run in below for run_id in (run.parent_run_id, run.root_run_id) if run_id} - found
        found |= above
        below = [run for run_id in above if (run := instance.get_run_by_id(run_id)) is not None]
    return found


def _to_be_repeated(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Return the failed runs that Dagster's daemon repeats when it comes to them, which may take as long as it is off."""
    marked = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "true"}))
    return [run for run in marked if run.is_complete_and_waiting_to_retry and _is_backfill_open(instance, run)]


def _is_backfill_open(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Return whether the backfill of a run goes on, or the run has none: Dagster repeats no run of one that has ended."""
    backfill_id = run.tags.get(BACKFILL_ID_TAG)
    if backfill_id is None:
        return True
    backfill = instance.get_backfill(backfill_id)
    return backfill is not None and backfill.status not in BULK_ACTION_TERMINAL_STATUSES


def run_is_over(instance: dg.DagsterInstance) -> Callable[[str], bool]:
    """Return what says of a run's id that it has ended and no other run goes on with it; one that is not known may live."""

    def is_over(run_id: str) -> bool:
        run = instance.get_run_by_id(run_id)
        return run is not None and run.is_finished and not _continued(instance, run)

    return is_over


def other_listings(
    instance: dg.DagsterInstance, store: "StateStore", source: str, own_runs: Sequence[str]
) -> list[str]:
    """Return the ids of other runs that list a source in key ranges at this moment, as far as they are known here.

    Raises:
        StateError: the state can't be read.
    """
    from registration_pipeline.inventory.claim import claims_of_runs

    others = [instance.get_run_by_id(run) for run in claims_of_runs(store, source) if run not in own_runs]
    return [run.run_id for run in others if run is not None and _is_alive(instance, run)]


def _is_alive(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    if not run.is_finished:
        return why_gone(instance, run) is None
    return any(why_gone(instance, other) is None for other in _continued(instance, run))


def _continued(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[dg.DagsterRun]:
    """Return the unfinished runs that go on with a run that has ended."""
    of_root = RunsFilter(tags={ROOT_RUN_ID_TAG: run.root_run_id or run.run_id}, statuses=_UNFINISHED)
    return [other for other in instance.get_runs(filters=of_root) if run.run_id in _line(instance, other)]
