"""Dagster's executor for the setting ``executor``: what jobs get whose steps can be spread over workers.

Libraries of extras are imported only for an engine that was chosen. What does not belong here: which jobs are spread, and
where whole runs are executed: that is the run launcher in ``dagster.yaml``, which is not a setting of ours.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings import Engine, ExecutorSettings, Settings


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
    return executor.configured({"max_concurrent": options.max_concurrent} if options.max_concurrent else {})


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
