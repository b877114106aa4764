"""Which Celery applications a source needs, and which queues of them: those of the run launcher and of the executor.

What does not belong here: whether anything answers there (``services.py``).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.make_app import make_app
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG

from registration_pipeline.orchestration.celery.options import OPTIONS, STEPS_QUEUE
from registration_pipeline.orchestration.private_dagster import InstanceRef
from registration_pipeline.settings import Engine, Settings, SourceSettings


@dataclass(frozen=True, slots=True)
class CeleryUse:
    """One that a source needs.

    Args:
        setting: where its broker is set.
        app: Celery's.
        queue: where the source's tasks wait for a worker; None: it has none there.
        waiting: what waits there.
        until: what it does as long as no worker listens.
        most: how much of it is with workers at once; None: there is no limit.
        queues: all those where it waits, for any source.
    """

    setting: str
    app: Any
    queue: str | None
    waiting: str
    until: str
    most: int | None = None
    queues: frozenset[str] = frozenset()


def use_of_launcher(
    instance: InstanceRef, source: SourceSettings, sources: Iterable[SourceSettings]
) -> CeleryUse | None:
    """Return that of the instance's run launcher; None: it does not start runs with Celery.

    Args:
        instance: Dagster's.
        source: whose runs.
        sources: all that the instance has.
    """
    launcher = instance.run_launcher
    if not isinstance(launcher, CeleryRunLauncher):
        return None
    queue, *queues = (one.run_tags.get(DAGSTER_CELERY_QUEUE_TAG, launcher.default_queue) for one in (source, *sources))
    until = "fail after run_monitoring.start_timeout_seconds"
    setting = "run_launcher.config of dagster.yaml"
    return CeleryUse(setting, launcher.celery, queue, "runs", until, _most_runs(instance), frozenset(queues))


def _most_runs(instance: InstanceRef) -> int | None:
    """Return how many runs leave the instance's queue at once; None: there is no queue, or it has no limit."""
    coordinator = instance.run_coordinator
    if not isinstance(coordinator, dg.QueuedRunCoordinator):
        return None
    concurrency: Any = instance.settings.get("concurrency") or {}
    runs = concurrency.get("runs") or {}
    most = int(runs.get("max_concurrent_runs", coordinator.get_run_queue_config().max_concurrent_runs))
    return most if most >= 0 else None


def use_of_executor(settings: Settings, source: SourceSettings) -> CeleryUse | None:
    """Return that of the setting ``executor``; None: another one executes steps."""
    chosen = settings.executor
    if chosen.engine is not Engine.CELERY or chosen.celery is None:
        return None
    options = {"broker": chosen.celery.broker, "backend": chosen.celery.backend}
    addresses = {name: secret.get_secret_value() if secret else None for name, secret in options.items()}
    app: Any = make_app({**addresses, "config_source": dict(OPTIONS)})  # type: ignore[no-untyped-call]
    queue = source.op_tags.get(DAGSTER_CELERY_QUEUE_TAG, STEPS_QUEUE) if source.key_ranges > 1 else None
    return CeleryUse("executor of registration.yaml", app, queue, "steps", "wait")
