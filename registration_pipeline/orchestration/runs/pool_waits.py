"""For whom a run of this process waits in a pool of Dagster's, in words: Dagster itself says so in the run's log only.

What does not belong here: runs whose process is gone (``stale_runs.py``), and the lease, for which runs of another Dagster
instance wait (``state/lease.py``).
"""

import json
from collections.abc import Iterator

import dagster as dg

from registration_pipeline.orchestration.names import source_of_pool
from registration_pipeline.orchestration.runs.processes import WORKER_TAG, worker_tag


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
    return run is not None and run.tags.get(WORKER_TAG) == worker_tag(run_id)[WORKER_TAG]


def _sentence(instance: dg.DagsterInstance, source: str, use: str, holder: str) -> str:
    run = instance.get_run_by_id(holder)
    worker = json.loads(run.tags.get(WORKER_TAG, "{}")) if run else {}
    # The tag is copied when a person re-executes a run in the UI; then it is not the holder's.
    process = f" (pid {worker['pid']} on {worker['host']})" if worker.get("run") == holder else ""
    job = f" of {run.job_name}" if run else ""
    return (
        f"Source {source} is being {use} by run {holder}{job}{process}; waiting until it ends. To stop waiting, press Ctrl-C; "
        "nothing has been sent."
    )
