"""Old runs leave Dagster's storage, but for those that anything shown is from: what Dagster says of chunks stays true.

Deleting a run deletes its events, and with them what its chunks show. What does not belong here: the ticks of schedules and
sensors, which Dagster itself removes (``retention`` in dagster.yaml), and the state, which needs no run.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
from dagster import DagsterEventType, DagsterRun, DagsterRunStatus, RunsFilter

from registration_pipeline.errors import UsageError
from registration_pipeline.orchestration.names import SOURCE_TAG, SourceNames
from registration_pipeline.orchestration.private_dagster import (
    BACKFILL_ID_TAG,
    SqlStorage,
    delete_events_of_run,
    newest_check_runs,
    newest_runs,
    running_backfills,
    sql_event_log,
)
from registration_pipeline.orchestration.runs.goes_on import needed_to_go_on
from registration_pipeline.orchestration.runs.handed_on import continuing_runs, waiting_runs

_ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
_PAGE = 500
_SHOWN = (DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_OBSERVATION)


@dataclass(frozen=True, slots=True)
class OldRuns:
    """The runs of some sources that ended before a time.

    Args:
        prunable: those that nothing shown is from, the newest first.
        needed: how many others there are.
        waiting: how many of these are to be continued or repeated, or are what a run that has not ended goes on with.
    """

    prunable: list[str]
    needed: int
    waiting: int


def old_runs(instance: dg.DagsterInstance, sources: Collection[SourceNames], *, before: datetime) -> OldRuns:
    """Find the runs of sources that ended before a time, and which of them Dagster's pages do not need.

    Needed are, of every asset and of every partition that it has today: the runs of the newest materialization, of the newest
    observation, and of a newer plan to materialize it (then it shows as failed). So are the runs of the newest evaluation
    of each check, and those of backfills that have not ended. Runs that wait to be continued stay, because nothing else says
    what they were to register, and so do those that unfinished runs were made from.

    Args:
        instance: Dagster's.
        sources: whose runs; those of other projects that share the instance stay.
        before: aware.

    Raises:
        UsageError: the instance keeps its events in no SQL database.
    """
    storage = _storage(instance)
    needed = newest_check_runs(storage)
    ours = {source.source for source in sources}
    for key in instance.all_asset_keys():
        if key.path[0] in ours:
            needed |= _shown_runs(instance, storage, key)
    waiting = _waited_for(instance, sources) | needed_to_go_on(instance)
    unfinished = {backfill.backfill_id for backfill in running_backfills(instance)}
    found = [run for run in _ended_runs(instance, before) if _is_of(run, ours)]
    prunable = [
        run.run_id
        for run in found
        if run.run_id not in needed | waiting and run.tags.get(BACKFILL_ID_TAG) not in unfinished
    ]
    return OldRuns(prunable, len(found) - len(prunable), sum(run.run_id in waiting for run in found))


def delete_runs(instance: dg.DagsterInstance, run_ids: Collection[str]) -> Iterator[str]:
    """Delete runs with their events and captured output, and yield the id of each that is gone; meanwhile needed ones stay.

    The run goes first: without it nothing shows its events, and a process that dies here leaves rows that nothing reads.
    """
    storage = _storage(instance)
    needed = needed_to_go_on(instance)  # a person may have thought about it for long
    for run_id in run_ids:
        if run_id in needed:
            continue
        instance.run_storage.delete_run(run_id)
        delete_events_of_run(storage, run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        yield run_id


def _waited_for(instance: dg.DagsterInstance, sources: Collection[SourceNames]) -> set[str]:
    """Return the runs that wait to be continued, and those that continue one of them, which does not say so yet."""
    found = set[str]()
    for own in sources:
        waiting = {run.run_id for run in waiting_runs(instance, own)}
        found |= waiting | continuing_runs(instance, own, waiting)
    return found


def _storage(instance: dg.DagsterInstance) -> SqlStorage:
    storage = sql_event_log(instance.event_log_storage)
    if storage is None:
        raise UsageError(
            f"The Dagster instance keeps its events in {type(instance.event_log_storage).__name__}, where old runs can't be "
            "removed by this command: that works for SQLite and Postgres. `dagster run delete RUN_ID` removes single runs."
        )
    return storage


def _shown_runs(instance: dg.DagsterInstance, storage: SqlStorage, key: dg.AssetKey) -> set[str]:
    """Return the runs that an asset's page, and those of its partitions, are made of."""
    live = {None, *instance.get_dynamic_partitions(SourceNames(key.path[0]).partitions)}
    shown = [newest_runs(storage, key, kind.value) for kind in _SHOWN]
    runs = {run_id for newest in shown for partition, (_, run_id) in newest.items() if partition in live}
    planned = newest_runs(storage, key, DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value)
    materialized = shown[0]
    return runs | {
        run_id
        for partition, (number, run_id) in planned.items()
        if partition in live and materialized.get(partition, (0, ""))[0] < number
    }


def _ended_runs(instance: dg.DagsterInstance, before: datetime) -> Iterator[DagsterRun]:
    cursor, wanted = None, RunsFilter(statuses=_ENDED, created_before=before)
    while records := instance.get_run_records(wanted, limit=_PAGE, cursor=cursor):
        cursor = records[-1].dagster_run.run_id
        yield from (one.dagster_run for one in records if (one.end_time or 0.0) < before.timestamp())


def _is_of(run: DagsterRun, sources: Collection[str]) -> bool:
    """Return whether a run is of one of the sources: by its tag, or by the assets that were chosen in the UI."""
    keys = run.asset_selection or ()
    return run.tags.get(SOURCE_TAG) in sources or (bool(keys) and all(key.path[0] in sources for key in keys))
