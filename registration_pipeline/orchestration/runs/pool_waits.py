"""For whom a run of this process waits in a pool of Dagster's, in words: Dagster itself says so in the run's log only.

What does not belong here: runs whose process is gone (``stale_runs.py``), and the lease, for which runs of another Dagster
instance wait (``state/lease.py``).
"""

from collections.abc import Iterator

import dagster as dg

from registration_pipeline.orchestration.names import source_of_pool
from registration_pipeline.orchestration.runs.processes import is_worked_on_here, recorded_worker


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
    run = instance.get_run_by_id(holder)
    worker = recorded_worker(run) if run else None
    process = f" (pid {worker[0].pid} on {worker[0].host})" if worker else ""
    job = f" of {run.job_name}" if run else ""
    return (
        f"Source {source} is being {use} by run {holder}{job}{process}; waiting until it ends. If its process has ended in "
        "another container or on another machine, terminate the run in the Dagster UI (force termination). To stop waiting, "
        "press Ctrl-C; nothing has been sent."
    )
