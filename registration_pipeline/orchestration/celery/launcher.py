"""Starts runs as tasks of Celery workers, and says of a run whether its worker still has it.

Dagster's launcher asks only what is stored of the task. That says "started" for ever when a worker's machine is gone, so that
the run would never end and keep its places in pools; "unknown", which Dagster takes for dead, when results were lost or have
expired; and it fails for runs that a command executes itself. So this one asks the workers. What does not belong here: what is
done with a run whose worker is gone: Dagster's ``run_monitoring`` marks it as failed, and ``run_retries`` repeats it.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any, Self

from celery import states
from dagster import DagsterRun, Field, IntSource
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from registration_pipeline.orchestration.celery.options import OPTIONS
from registration_pipeline.orchestration.private_dagster import CheckRunHealthResult, WorkerStatus

LOST_SECONDS = 300
"""After how long without a sign of it a task is lost: long enough for a restart of the broker and of a worker's machine."""

_ANSWER_SECONDS = 5.0


class RegistrationRunLauncher(CeleryRunLauncher):
    """``dagster_celery.launcher.CeleryRunLauncher`` for runs that take hours on workers that may die.

    Args:
        lost_seconds: after how long without a sign of it from any worker a run is lost.
        others: as Dagster's.
    """

    def __init__(self, *, lost_seconds: int = LOST_SECONDS, **others: Any) -> None:
        config_source = {**OPTIONS, **(others.pop("config_source", None) or {})}
        super().__init__(config_source=config_source, **others)
        self._lost_seconds = lost_seconds
        self._missed: dict[str, float] = {}
        """By task: since when no worker has it, on this process's own clock."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return Dagster's options and ours."""
        options: Any = super().config_type()
        how_long = Field(IntSource, is_required=False, default_value=LOST_SECONDS, description="See the class.")
        return {**options, "lost_seconds": how_long}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> Self:
        """See ``ConfigurableClass``."""
        return cls(inst_data=inst_data, **config_value)

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return whether a worker has the run; Dagster asks for each that has started."""
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task_id is None:  # a command executes it; `clear_stale_runs` says when that has died
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        result = self.celery.AsyncResult(task_id)
        state = result.state
        if state in states.READY_STATES:
            # Dagster asks for the run's own state once more before it believes this.
            self._missed.pop(task_id, None)
            return CheckRunHealthResult(
                WorkerStatus.FAILED, f"Its Celery task has ended as {state}, and the run has not."
            )
        worker = self._worker_of(result)
        if self._is_active(task_id, [worker] if worker else None):
            self._missed.pop(task_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        missing = time.monotonic() - self._missed.setdefault(task_id, time.monotonic())
        if missing < self._lost_seconds:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        self._missed.pop(task_id, None)
        who = f"its Celery worker {worker}" if worker else "any Celery worker"
        return CheckRunHealthResult(WorkerStatus.FAILED, f"For {missing:.0f} s there was no sign of it from {who}.")

    def _worker_of(self, result: Any) -> str | None:
        """Return the worker that has started the task, if that is known."""
        info = result.info
        return info.get("hostname") if result.state == states.STARTED and isinstance(info, dict) else None

    def _is_active(self, task_id: str, workers: Iterable[str] | None) -> bool:
        """Return whether one of the workers says that it works on the task; by default, any worker."""
        try:
            asked = self.celery.control.inspect(destination=workers, timeout=_ANSWER_SECONDS)
            answers: Mapping[str, list[dict[str, Any]]] = asked.active() or {}
        except (OSError, *self.celery.connection_for_write().connection_errors):
            return False  # the broker does not answer: the time runs, and ends when it is back
        return any(task["id"] == task_id for tasks in answers.values() for task in tasks)
