"""Starts runs as tasks of Celery workers, and says of a run whether its worker still has it.

Dagster's launcher believes what is stored of the task, so that a run whose machine is gone would never end and keep its places
in pools; it takes a task whose result was lost or has expired for dead; it fails for runs that a command executes itself; and
a run that it can't send, because the broker is away, has failed for good: ours stays in the queue, for as long as
``run_queue`` of ``dagster.yaml`` says. What does not belong here: what is done with a run whose worker is gone: Dagster's
``run_monitoring`` marks it as failed, and ``run_retries`` repeats it.
"""

from collections.abc import Mapping
from typing import Any, NoReturn, Self

from dagster import DagsterRun, Field, IntSource
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from registration_pipeline.orchestration.celery.broker import (
    SilentBrokerError,
    address_of,
    ask_broker,
    broker_errors,
)
from registration_pipeline.orchestration.celery.options import OPTIONS
from registration_pipeline.orchestration.celery.signs import LOST_SECONDS, Signs
from registration_pipeline.orchestration.private_dagster import (
    CheckRunHealthResult,
    LaunchRunContext,
    UnreachableError,
    WorkerStatus,
)

_WHAT_TO_DO = (
    "Start it, or correct the address (run_launcher.config.broker of dagster.yaml, CELERY_BROKER_URL). Until then the run is "
    "put back into the queue, up to run_queue.max_user_code_failure_retries times; a run that has failed after that has to be "
    "launched again"
)


class RunNotSentError(UnreachableError):
    """The broker does not answer. Dagster's daemon puts a run back into its queue for errors of this kind only."""


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

    def launch_run(self, context: LaunchRunContext) -> None:
        """Send the run to the workers.

        Raises:
            RunNotSentError: the broker does not answer.
        """
        broker = address_of(self.celery.connection_for_write().as_uri())
        try:
            # Before the sending, which waits longer, and after which a task may be there although no answer came.
            ask_broker(self.celery)
            super().launch_run(context)
        except SilentBrokerError as error:
            self._keep(context.dagster_run, f"The Celery broker {broker} does not answer ({error}): nothing was sent.")
        except broker_errors(self.celery) as error:
            sent = "whether the run was sent is not known. If it is sent twice, one of the two is executed."
            self._keep(context.dagster_run, f"The Celery broker {broker} has stopped answering ({error}): {sent}")

    def _keep(self, run: DagsterRun, what: str) -> NoReturn:
        said = f"{what} {_WHAT_TO_DO}."
        self._instance.report_engine_event(said, run)
        raise RunNotSentError(said) from None

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return whether a worker has the run, or its events go on; Dagster asks for each that has started."""
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task_id is None:  # a command executes it; `clear_stale_runs` says when that has died
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        sign = self._signs.of(task_id, lambda: self._newest_event(run))
        # Of a task that has ended the run must have ended, too. Dagster asks for the run's own state once more before it
        # believes this.
        is_over = sign.ended_as is not None or sign.is_lost
        return CheckRunHealthResult(WorkerStatus.FAILED if is_over else WorkerStatus.RUNNING, str(sign))

    def _newest_event(self, run: DagsterRun) -> int | None:
        """Return the number of what was last written of a run: a worker that the broker can't reach may work on."""
        found = self._instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
        return found[0].storage_id if found else None
