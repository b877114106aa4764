"""Which runs of the sources failed, and with what: an error that ended a step, or a process that is gone.

What does not belong here: runs whose objects Encord refused. Those came to their end and reported it themselves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster import DagsterEventType, DagsterRunStatus, RunsFilter

from registration_pipeline.errors import LeaseBusyError
from registration_pipeline.orchestration.names import LIST_STEP, SUBMIT_STEP, SourceNames

CLOCKS_DIFFER = timedelta(minutes=5)
"""Of the daemon and of the database; also how far back runs are read again."""

_MOST_RUNS = 200
_MARKED = "Marked as failed by registration-pipeline: "
_INTERRUPTED = "DagsterExecutionInterruptedError"
_SCHEDULE_TAG = "dagster/schedule_name"


@dataclass(frozen=True)
class FailedRun:
    """A run that did not come to its end.

    Args:
        own: the names of the source that it was for.
        is_killed: its process is gone; else an error ended it.
        error: what is known of the cause.
        at: when it ended, or was found to have ended.
    """

    own: SourceNames
    run_id: str
    is_killed: bool
    error: str
    at: datetime


def concerns(run: dg.DagsterRun, own: SourceNames) -> bool:
    """Return whether a run submits a source, also one of a host's own job, or was started for its schedule."""
    is_of_schedule = run.tags.get(_SCHEDULE_TAG) == own.schedule
    is_selected = own.registration in (run.asset_selection or ())
    steps = run.step_keys_to_execute or ()
    return _is_ours(run, own) or is_of_schedule or is_selected or f"{own.ident}_{SUBMIT_STEP}" in steps


def is_night(run: dg.DagsterRun, own: SourceNames, due: datetime, created: datetime) -> bool:
    """Return whether a run is what a tick of the schedule was due to start: it lists the bucket, and began after the tick.

    A run that the schedule started may bear a time shortly before its tick, as clocks differ. A sync that a person started
    before the tick is not the run of the tick, however short the time between them.

    Args:
        run: of any job.
        own: the names of the source.
        due: the tick.
        created: when the run was made, aware.
    """
    is_of_schedule = run.tags.get(_SCHEDULE_TAG) == own.schedule
    return created >= (due - CLOCKS_DIFFER if is_of_schedule else due) and lists(run, own)


def lists(run: dg.DagsterRun, own: SourceNames) -> bool:
    """Return whether a run lists the bucket of a source: a sync, or a run that selects the inventory.

    A run that is re-executed from a failure behind the listing does not.
    """
    inventory = own.inventory.to_python_identifier()
    if run.step_keys_to_execute is not None:
        return not {f"{own.ident}_{LIST_STEP}", inventory}.isdisjoint(run.step_keys_to_execute)
    is_of_schedule = run.tags.get(_SCHEDULE_TAG) == own.schedule
    is_selected = own.inventory in (run.asset_selection or ())
    return is_of_schedule or is_selected or run.job_name in (*own.sync_jobs, own.inventory_job)


def _is_ours(run: dg.DagsterRun, own: SourceNames) -> bool:
    return run.job_name in (*own.sync_jobs, own.submit_job, own.retry_job)


def failed_runs(
    instance: dg.DagsterInstance, sources: Sequence[SourceNames], updated_after: datetime
) -> Iterator[FailedRun]:
    """Yield the failed runs of the sources, the oldest first.

    Args:
        instance: Dagster's.
        sources: their names.
        updated_after: runs that were marked as failed before that are left out.
    """
    wanted = RunsFilter(statuses=[DagsterRunStatus.FAILURE], updated_after=updated_after)
    records = instance.get_run_records(wanted, limit=_MOST_RUNS)
    for record in sorted(records, key=_end):
        owns = [own for own in sources if concerns(record.dagster_run, own)]
        if owns:
            yield from _troubles(instance, record, owns)


def _troubles(instance: dg.DagsterInstance, record: dg.RunRecord, owns: Sequence[SourceNames]) -> Iterator[FailedRun]:
    run = record.dagster_run
    events = _events(instance, run.run_id, DagsterEventType.STEP_FAILURE)
    for own in owns:
        steps = [event for event in events if _is_ours(run, own) or _own_of(event.step_key or "", owns) is own]
        causes = [cause for cause in map(_cause, steps) if cause is not None]
        if causes:
            error, is_killed = causes[0]
            yield FailedRun(own, run.run_id, is_killed, error, _end(record))
        elif not events:
            error, is_killed = _cause_of_run(instance, run.run_id)
            yield FailedRun(own, run.run_id, is_killed, error, _end(record))


def _own_of(step: str, owns: Sequence[SourceNames]) -> SourceNames | None:
    """Return the source that a step is for; steps begin with the source's name, and one name may begin with another.

    A step of the host in the same run is for none.
    """
    fitting = [own for own in owns if own.has_step(step)]
    return max(fitting, key=lambda own: len(own.ident), default=None)


def _cause(event: dg.DagsterEvent) -> tuple[str, bool] | None:
    """Return the error that ended a step, and whether it was an interruption; None: the step reported its end itself."""
    data = event.step_failure_data
    failure = data.user_failure_data
    if failure is not None:
        if _value(failure.metadata.get("error")) == LeaseBusyError.__name__:
            return None  # another process submits the source: nothing is wrong
        return (failure.description or "", False) if "exit_status" in failure.metadata else None
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    if error is None:
        return "a step failed without an error", False
    if error.cls_name == _INTERRUPTED:
        return "it was interrupted by a signal (SIGTERM)", True
    return f"An unexpected error, which is a bug: {error.message.strip()}", False


def _value(shown: dg.MetadataValue[Any] | None) -> object:
    return None if shown is None else shown.value


def _cause_of_run(instance: dg.DagsterInstance, run_id: str) -> tuple[str, bool]:
    """Return why a run failed none of whose steps did."""
    for event in _events(instance, run_id, DagsterEventType.RUN_FAILURE):
        error = getattr(event.event_specific_data, "error", None)
        if error is not None:
            return f"The run could not be executed: {error.message.strip()}", False
        if event.message:
            return event.message.removeprefix(_MARKED), True
    return "its process ended without a reason in the log of the run", True


def _events(instance: dg.DagsterInstance, run_id: str, kind: DagsterEventType) -> list[dg.DagsterEvent]:
    found = instance.get_records_for_run(run_id, of_type=kind).records
    events = (record.event_log_entry.dagster_event for record in found)
    return [event for event in events if event is not None]


def _end(record: dg.RunRecord) -> datetime:
    return datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp
