"""Dagster's executor for the setting ``executor``: what jobs get whose steps can be spread over workers.

Libraries of extras are imported only for an engine that was chosen. What does not belong here: which jobs are spread, and
where whole runs are executed: that is the run launcher in ``dagster.yaml``, which is not a setting of ours.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.orchestration.private_dagster import RetryMode
from registration_pipeline.orchestration.runs.pools import ensure_pools_of_run
from registration_pipeline.settings import Engine, ExecutorSettings, Settings


class PoolsFirst(dg.Executor):
    """Makes the pools of a run before its steps ask for places in them.

    Where steps have processes of their own, it is the run's that asks, and that has no resources, which would make the pools.

    Args:
        inner: executes the steps.
    """

    def __init__(self, inner: dg.Executor) -> None:
        self.inner = inner

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """Execute the steps, and yield their events."""
        ensure_pools_of_run(plan_context.instance, plan_context.dagster_run)
        yield from self.inner.execute(plan_context, execution_plan)

    @property
    def retries(self) -> RetryMode:
        """What is done with a step that asks to be tried again."""
        return self.inner.retries

    @property
    def step_dependency_config(self) -> Any:
        """When a step may begin."""
        return self.inner.step_dependency_config


def executor_of(settings: Settings) -> dg.ExecutorDefinition:
    """Return what executes the steps of a job that can be spread; by default they stay in the process of the run.

    Raises:
        ConfigurationError: the library of the chosen engine is not installed; the message names the extra.
    """
    chosen = settings.executor
    if chosen.engine is Engine.MULTIPROCESS:
        return _limited(dg.multiprocess_executor, chosen)
    if chosen.engine is Engine.CELERY:
        with _extra(settings, Engine.CELERY):
            return _celery(chosen)
    if chosen.engine is Engine.K8S:
        with _extra(settings, Engine.K8S):
            from dagster_k8s import k8s_job_executor
        return _limited(k8s_job_executor, chosen)
    return dg.in_process_executor


def _celery(chosen: ExecutorSettings) -> dg.ExecutorDefinition:
    from registration_pipeline.orchestration.celery.executor import celery_steps

    assert chosen.celery is not None
    options = {"broker": chosen.celery.broker, "backend": chosen.celery.backend}
    # Without an address Celery reads CELERY_BROKER_URL and CELERY_RESULT_BACKEND, which win over these in any case.
    addresses = {name: secret.get_secret_value() for name, secret in options.items() if secret is not None}
    return celery_steps.configured(addresses)


def _limited(executor: dg.ExecutorDefinition, chosen: ExecutorSettings) -> dg.ExecutorDefinition:
    options = getattr(chosen, chosen.engine.value)
    return _with_pools(executor).configured(
        {"max_concurrent": options.max_concurrent} if options.max_concurrent else {}
    )


def _with_pools(executor: dg.ExecutorDefinition) -> dg.ExecutorDefinition:
    create = executor.executor_creation_fn
    assert create is not None
    schema: Any = executor.config_schema  # Dagster takes it, and its annotation lacks it
    return dg.ExecutorDefinition(
        executor.name,
        config_schema=schema,
        requirements=executor.get_requirements,
        executor_creation_fn=lambda context: PoolsFirst(create(context)),
        description=executor.description,
    )


@contextmanager
def _extra(settings: Settings, engine: Engine) -> Iterator[None]:
    """Turn a missing library into the name of the extra that brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{engine} needs {error.name}, which is not installed; install it with "
            f"`pip install 'registration-pipeline[{engine}]'`, here and where runs are executed",
            file=str(settings.path),
            key="executor",
        ) from None
