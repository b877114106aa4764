"""For whom a run of this process waits in a pool of Dagster's, in words: Dagster itself says so in the run's log only.

What does not belong here: runs whose process is gone (``stale_runs.py``), and the lease, for which runs of another Dagster
instance wait (``state/lease.py``).
"""

import time
from collections.abc import Iterator

import dagster as dg

from registration_pipeline.errors import LeaseBusyError
from registration_pipeline.orchestration.names import source_of_pool
from registration_pipeline.orchestration.runs.processes import is_worked_on_here, recorded_worker

_SECONDS_BETWEEN_CHECKS = 0.5


def while_pool_is_waited_for(
    events: Iterator[dg.DagsterEvent], instance: dg.DagsterInstance, run_id: str, longest: float | None
) -> Iterator[dg.DagsterEvent]:
    """Yield the events of a run that this process executes; once it waits for a slot, see that it does not wait too long.

    Dagster says that a step waits, and goes on to ask for its slot when the next event is taken. So that is not done before
    there is one.

    Args:
        events: of the run.
        instance: Dagster's.
        run_id: the run.
        longest: seconds that it waits for slots in all; None: until it gets them.

    Raises:
        LeaseBusyError: it has waited for so long.
    """
    left = longest
    for event in events:
        yield event
        pool = _blocked_by(event)
        if left is None or pool is None:
            continue
        began = time.monotonic()
        while run_id in instance.event_log_storage.get_concurrency_info(pool).pending_run_ids:
            if time.monotonic() - began >= left:
                raise _busy(instance, pool, longest or 0.0)
            time.sleep(_SECONDS_BETWEEN_CHECKS)
        left = max(0.0, left - (time.monotonic() - began))


def _blocked_by(event: dg.DagsterEvent) -> str | None:
    """Return the pool for whose slot a step waits, if the event says so."""
    if event.event_type is not dg.DagsterEventType.ENGINE_EVENT or event.step_key is None:
        return None
    pool = event.engine_event_data.metadata.get("pool")
    return None if pool is None else str(pool.value)


def _busy(instance: dg.DagsterInstance, pool: str, seconds: float) -> LeaseBusyError:
    source, _ = source_of_pool(pool) or (pool, "")
    active = sorted(instance.event_log_storage.get_concurrency_info(pool).active_run_ids)
    holder = _holder(instance, active[0]) if active else "another run"
    return LeaseBusyError(source, source, folder=None, holder=holder, seconds=seconds)


def _holder(instance: dg.DagsterInstance, run_id: str) -> str:
    run = instance.get_run_by_id(run_id)
    worker = recorded_worker(run) if run else None
    process = f" (pid {worker[0].pid} on {worker[0].host})" if worker else ""
    return f"run {run_id}{f' of {run.job_name}' if run else ''}{process}"


def waits_of_this_process(instance: dg.DagsterInstance) -> Iterator[str]:
    """Yield a sentence for each run of this process that waits for its turn, and for each run that it waits for."""
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    for pool in storage.get_pool_limits():
        info = storage.get_concurrency_info(pool.name)
        used = source_of_pool(pool.name)
        if used is not None and any(_is_ours(instance, run_id) for run_id in info.pending_run_ids):
            yield from (_sentence(instance, *used, run_id) for run_id in sorted(info.active_run_ids))


def _is_ours(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and is_worked_on_here(run)


def _sentence(instance: dg.DagsterInstance, source: str, use: str, holder: str) -> str:
    return (
        f"Source {source} is being {use} by {_holder(instance, holder)}; waiting until it ends. If its process has ended in "
        "another container or on another machine, terminate the run in the Dagster UI (force termination). To stop waiting, "
        "press Ctrl-C; nothing has been sent."
    )
