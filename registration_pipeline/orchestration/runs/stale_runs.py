"""Runs whose process is gone: marked as ended, their pool slots freed, so that they never block the next sync.

Dagster's default launcher has no health check: a run whose worker was killed stays STARTED for ever and keeps its slot. Every
start of a command clears such runs, a thread does so while a command waits for a slot, and a sensor does so under a daemon.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from registration_pipeline.orchestration.names import ConfigurationNames
from registration_pipeline.orchestration.private_dagster import sql_event_log
from registration_pipeline.orchestration.runs.pool_waits import waits_of_this_process
from registration_pipeline.orchestration.runs.pools import ensure_pools
from registration_pipeline.orchestration.runs.processes import why_gone
from registration_pipeline.orchestration.runs.worker_lock import WorkerLock

# Never QUEUED: a queued run holds no slot, and a daemon may still start it.
_SUSPECTS = [
    DagsterRunStatus.STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.CANCELING,
    DagsterRunStatus.NOT_STARTED,
]
_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_CHECKS = 5


@dataclass(frozen=True)
class ClearedRun:
    """A run that was marked as failed or canceled, and why."""

    run_id: str
    job_name: str
    why: str

    def __str__(self) -> str:
        """Say it to people."""
        return f"cleared run {self.run_id} of {self.job_name}: {self.why}; its chunks are resumed"


def clear_stale_runs(instance: dg.DagsterInstance) -> list[ClearedRun]:
    """Mark runs as ended whose worker is dead for certain, and free every slot that no unfinished run holds.

    A run that a person was ending is canceled: an instance with ``run_retries`` repeats failed ones.
    """
    cleared = []
    for run in instance.get_runs(filters=RunsFilter(statuses=_SUSPECTS)):
        why = why_gone(instance, run)
        # Asked again, because every code location may have a sensor that clears the same run at this moment.
        if why and _is_unfinished(instance, run.run_id):
            if run.status is DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, message=f"Marked as canceled by registration-pipeline: {why}.")
            else:
                instance.report_run_failed(run, message=f"Marked as failed by registration-pipeline: {why}.")
            WorkerLock(instance, run.run_id).forget()
            cleared.append(ClearedRun(run.run_id, run.job_name, why))
    storage = instance.event_log_storage
    if storage.supports_global_concurrency_limits:
        for run_id in storage.get_concurrency_run_ids():
            holder = instance.get_run_by_id(run_id)
            if holder is None or holder.is_finished:
                storage.free_concurrency_slots_for_run(run_id)
    _hand_on_free_slots(storage)
    return cleared


def _is_unfinished(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and not run.is_finished


def _hand_on_free_slots(storage: object) -> None:
    """Give free slots to those who wait for them.

    Dagster does so when a slot is freed. A run that finds the slot occupied, and is written down as waiting only after it was
    freed, would wait for ever.
    """
    sql = sql_event_log(storage)
    if sql is None or not sql.supports_global_concurrency_limits:
        return
    for pool in sql.get_pool_limits():
        if sql.has_unassigned_slots(pool.name):
            sql.assign_pending_steps([pool.name])


@contextmanager
def clearing_stale_runs(
    instance: dg.DagsterInstance, notify: Callable[[str], object] = lambda _: None
) -> Iterator[list[ClearedRun]]:
    """Clear stale runs now, and again every few seconds inside the block: a slot's holder may die while we wait for it.

    Args:
        instance: Dagster's.
        notify: notified what was cleared, and which run this process waits for; from another thread, too.
    """
    cleared = clear_stale_runs(instance)
    for one in cleared:
        notify(str(one))
    stop = threading.Event()
    thread = threading.Thread(
        target=_keep_clearing, args=(instance.get_ref(), stop, notify), name="stale-runs", daemon=True
    )
    thread.start()
    try:
        yield cleared
    finally:
        stop.set()
        thread.join()


def build_stale_run_sensor(shared: ConfigurationNames, sources: Collection[str]) -> dg.SensorDefinition:
    """Return the sensor that clears stale runs wherever a daemon runs; several of them do no harm.

    It makes the pools of the sources, too: a run of a host's own job whose steps have processes of their own asks for its
    first place in a process that has no resources, which could do so.

    Args:
        shared: the names of what the configuration has once.
        sources: the names of its sources.
    """

    @dg.sensor(
        name=shared.sensor("clear_stale_runs"),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks runs of dead processes as failed, or canceled, and frees their pool slots.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        cleared = clear_stale_runs(context.instance)
        ensure_pools(context.instance, sources)
        return dg.SkipReason("; ".join(f"run {one.run_id}: {one.why}" for one in cleared) or "No stale run.")

    return sensor


def _keep_clearing(ref: object, stop: threading.Event, notify: Callable[[str], object]) -> None:
    notified: set[str] = set()
    # A thread of its own needs an instance of its own: SQLite connections are bound to threads.
    with dg.DagsterInstance.from_ref(ref) as instance:  # type: ignore[arg-type]
        while not stop.wait(_SECONDS_BETWEEN_CHECKS):
            try:
                for text in [*map(str, clear_stale_runs(instance)), *waits_of_this_process(instance)]:
                    if text not in notified:
                        notified.add(text)
                        notify(text)
            except Exception:  # noqa: BLE001 - a busy database must not end the checks: a run may wait for ever then
                _LOG.debug("could not check for stale runs; trying again", exc_info=True)
