"""Starts runs as tasks of Celery workers, and says of a run whether its worker still has it.

Dagster's launcher believes what is stored of the task, so that a run whose machine is gone would never end and keep its places
in pools; it takes a task whose result was lost or has expired for dead; and it fails for runs that a command executes itself.
What does not belong here: what is done with a run whose worker is gone: Dagster's ``run_monitoring`` marks it as failed, and
``run_retries`` repeats it.
"""

from collections.abc import Mapping
from typing import Any, Self

from dagster import DagsterRun, Field, IntSource
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from registration_pipeline.orchestration.celery.options import OPTIONS
from registration_pipeline.orchestration.celery.signs import LOST_SECONDS, Signs
from registration_pipeline.orchestration.private_dagster import CheckRunHealthResult, WorkerStatus


class RegistrationRunLauncher(CeleryRunLauncher):
    """``dagster_celery.launcher.CeleryRunLauncher`` for runs that take hours on workers that may die.

    Args:
        lost_seconds: after how long without a sign of it from any worker a run is lost.
        others: as Dagster's.
    """

    def __init__(self, *, lost_seconds: int = LOST_SECONDS, **others: Any) -> None:
        config_source = {**OPTIONS, **(others.pop("config_source", None) or {})}
        super().__init__(config_source=config_source, **others)
        # Dagster asks for runs that have started, so none of them waits in a queue.
        self._signs = Signs(self.celery, lost_seconds=lost_seconds, queue=None)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return Dagster's options and ours."""
        options: Any = super().config_type()
        what = "Seconds without a sign of a run from any worker, after which it is lost."
        how_long = Field(IntSource, is_required=False, default_value=LOST_SECONDS, description=what)
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
        sign = self._signs.of(task_id)
        # Of a task that has ended the run must have ended, too. Dagster asks for the run's own state once more before it
        # believes this.
        is_over = sign.ended_as is not None or sign.is_lost
        return CheckRunHealthResult(WorkerStatus.FAILED if is_over else WorkerStatus.RUNNING, str(sign))
