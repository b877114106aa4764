"""Dagster's executor of steps on Celery workers, with an end for steps whose worker is gone or that the broker has lost.

Dagster's own waits for the result of such a step for ever. What does not belong here: which jobs have it (``engines.py``).
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
from dagster_celery.core_execution_loop import core_celery_execution_loop
from dagster_celery.executor import CELERY_CONFIG, CeleryExecutor

from registration_pipeline.orchestration.celery.options import OPTIONS, STEPS_QUEUE
from registration_pipeline.orchestration.celery.signs import LOST_SECONDS, Sign, Signs
from registration_pipeline.orchestration.private_dagster import RetryMode, step_failure, submit_celery_step
from registration_pipeline.orchestration.runs.pools import ensure_pools_of_run

_LOOK_SECONDS = 15.0
"""Between two questions for a task: Dagster asks for its result every second."""


class StepLostError(Exception):
    """Steps will not end any more. The run fails; repeated from its failure, it executes what had not ended."""


class WatchedResult:
    """The result of a step's task, as Dagster asks for it; a lost task has ended, with a failure.

    Args:
        result: Celery's.
        signs: ask the broker and the workers.
        fail: stores the failure of the step, and returns its event.
    """

    def __init__(self, result: Any, signs: Signs, fail: Callable[[str], str]) -> None:
        self._result, self._signs, self._fail = result, signs, fail
        self._asked_at = time.monotonic()
        self._sign = Sign()
        signs.expect(result.id)

    def ready(self) -> bool:
        """Return whether nothing more comes of the task."""
        if not self._result.ready() and time.monotonic() - self._asked_at >= _LOOK_SECONDS:
            self._sign, self._asked_at = self._signs.of(self._result.id), time.monotonic()
        return self._result.ready() or self._sign.is_lost

    def get(self) -> Any:
        """Return the events of the step: the worker's, or that it is lost.

        An exception would end the run, too, but Dagster would wait for the other steps without a pause, and repeat the run
        without this one if no worker had begun with it.
        """
        if not self._result.ready():
            return [self._fail(f"{self._sign}. Re-execute the run from its failure: what has ended is not done again.")]
        # Celery refuses to wait in a task, as which the run is executed; this does not wait any more.
        return self._result.get(disable_sync_subtasks=False)

    def revoke(self) -> None:
        """Take the task back, if no worker has begun with it."""
        self._result.revoke()


class WatchingExecutor(CeleryExecutor):
    """``dagster_celery.executor.CeleryExecutor`` that ends when a step's task is lost."""

    lost_seconds: float = LOST_SECONDS

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """Execute the steps, and yield their events.

        Raises:
            StepLostError: all have ended, some by being lost. Dagster repeats a run after an error of its executor, not after
                that of a step.
        """
        # This process asks for the places of the steps in pools, and has no resources, which would make the pools.
        ensure_pools_of_run(plan_context.instance, plan_context.dagster_run)
        signs: dict[str, Signs] = {}
        lost: dict[str, str] = {}

        def submit(app: Any, context: Any, step: Any, queue: str, *others: Any) -> WatchedResult:
            def fail(why: str) -> str:
                lost[step.key] = f"Step {step.key} is lost: {why}"
                return step_failure(context, step, StepLostError.__name__, lost[step.key])

            asked = signs.setdefault(queue, Signs(app, lost_seconds=self.lost_seconds, queue=queue))
            return WatchedResult(submit_celery_step(app, context, step, queue, *others), asked, fail)

        loop: Any = core_celery_execution_loop
        yield from loop(plan_context, execution_plan, step_execution_fn=submit)
        if lost:
            raise StepLostError("\n".join(lost.values()))


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
