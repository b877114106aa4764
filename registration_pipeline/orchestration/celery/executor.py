"""Dagster's executor of steps on Celery workers, with an end for steps whose worker is gone.

Dagster's own waits for the result of such a step for ever. What does not belong here: which jobs have it (``engines.py``).
"""

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_celery.core_execution_loop import core_celery_execution_loop
from dagster_celery.executor import CELERY_CONFIG, CeleryExecutor

from registration_pipeline.orchestration.celery.options import OPTIONS, STEPS_QUEUE
from registration_pipeline.orchestration.celery.signs import LOST_SECONDS, Sign, Signs
from registration_pipeline.orchestration.names import SOURCE_TAG
from registration_pipeline.orchestration.private_dagster import RetryMode, submit_celery_step
from registration_pipeline.orchestration.runs.pools import ensure_pools

_LOOK_SECONDS = 15.0
"""Between two questions for a task: Dagster asks for its result every second."""


class StepLostError(Exception):
    """The worker of a step is gone. The run fails; repeated from its failure, it executes what had not ended."""


class WatchedResult:
    """The result of a step's task, as Dagster asks for it; a lost task has ended, with an error.

    Args:
        result: Celery's.
        signs: ask the workers.
    """

    def __init__(self, result: Any, signs: Signs) -> None:
        self._result, self._signs = result, signs
        self._asked_at = time.monotonic()
        self._sign = Sign()

    def ready(self) -> bool:
        """Return whether nothing more comes of the task."""
        if not self._result.ready() and time.monotonic() - self._asked_at >= _LOOK_SECONDS:
            self._sign, self._asked_at = self._signs.of(self._result.id), time.monotonic()
        return self._result.ready() or self._sign.is_lost

    def get(self) -> Any:
        """Return the events of the step.

        Raises:
            StepLostError: its worker is gone.
        """
        if not self._result.ready():
            raise StepLostError(str(self._sign))
        # Celery refuses to wait in a task, as which the run is executed; this does not wait any more.
        return self._result.get(disable_sync_subtasks=False)

    def revoke(self) -> None:
        """Take the task back, if no worker has begun with it."""
        self._result.revoke()


class WatchingExecutor(CeleryExecutor):
    """``dagster_celery.executor.CeleryExecutor`` that ends when a step's worker is gone."""

    lost_seconds: float = LOST_SECONDS

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """Execute the steps, and yield their events."""
        # This process asks for the places of the steps in pools, and has no resources, which would make the pools.
        source = plan_context.dagster_run.tags.get(SOURCE_TAG)
        ensure_pools(plan_context.instance, [] if source is None else [source])
        signs: dict[int, Signs] = {}

        def submit(app: Any, *arguments: Any) -> WatchedResult:
            asked = signs.setdefault(id(app), Signs(app, lost_seconds=self.lost_seconds, waits_in_queue=True))
            return WatchedResult(submit_celery_step(app, *arguments), asked)

        loop: Any = core_celery_execution_loop
        yield from loop(plan_context, execution_plan, step_execution_fn=submit)


@dg.executor(
    name="celery",
    config_schema={**CELERY_CONFIG, "lost_seconds": dg.Field(dg.IntSource, default_value=LOST_SECONDS)},
    requirements=dg.multiple_process_executor_requirements(),
)
def celery_steps(init_context: dg.InitExecutorContext) -> WatchingExecutor:
    """Execute each step as a task of a Celery worker."""
    config: Any = init_context.executor_config
    made = WatchingExecutor(  # type: ignore[no-untyped-call]
        retries=RetryMode.from_config(config["retries"]),
        broker=config.get("broker"),
        backend=config.get("backend"),
        config_source={**OPTIONS, "task_default_queue": STEPS_QUEUE, **(config.get("config_source") or {})},
        include=config.get("include"),
    )
    made.lost_seconds = config["lost_seconds"]
    return made
