"""How Celery passes runs to workers: one set of options for workers, launcher and executor.

Celery's own defaults are made for many short tasks; a task here is a whole run, or a step, of minutes to hours. Why each line:
docs/deployment/celery.md. What does not belong here: addresses, which are ``CELERY_BROKER_URL`` and ``CELERY_RESULT_BACKEND``.
"""

from typing import Any

PUBLISH_SECONDS = 60
"""How long it is tried to send a run or a step to a broker that restarts meanwhile."""

STEPS_QUEUE = "dagster-steps"
"""Steps have a queue, and workers, of their own: a run waits for its steps, and runs on all workers would wait for ever."""

_STEP_SECONDS = 5

OPTIONS: dict[str, Any] = {
    # A run is started once. One that a worker did not finish is found by the launcher, and repeated by Dagster as another run:
    # delivered again it would have the id of the first, which Dagster ignores, and the task would count as done.
    "task_acks_late": False,
    "task_reject_on_worker_lost": False,
    "task_track_started": True,
    # A run in the hands of a worker that is busy would wait for it while others are free, and be lost with it.
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    # Without a limit: a result that has expired is a run of which nothing is known.
    "result_expires": None,
    # How a run has ended is stored although the database restarts.
    "result_backend_always_retry": True,
    "result_backend_max_retries": 30,
    "result_backend_max_sleep_between_retries_ms": 2_000,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "task_publish_retry": True,
    "task_publish_retry_policy": {
        "max_retries": PUBLISH_SECONDS // _STEP_SECONDS,
        "interval_start": 0.2,
        "interval_step": 1,
        "interval_max": _STEP_SECONDS,
    },
}
