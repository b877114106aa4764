"""Which Celery applications a source needs, and which queues of them: those of the run launcher and of the executor.

What does not belong here: whether anything answers there (``services.py``).
"""

from dataclasses import dataclass
from typing import Any

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
    """

    setting: str
    app: Any
    queue: str | None
    waiting: str
    until: str


def use_of_launcher(instance: InstanceRef, source: SourceSettings) -> CeleryUse | None:
    """Return that of the instance's run launcher; None: it does not start runs with Celery."""
    launcher = instance.run_launcher
    if not isinstance(launcher, CeleryRunLauncher):
        return None
    queue = source.run_tags.get(DAGSTER_CELERY_QUEUE_TAG, launcher.default_queue)
    until = "fail after run_monitoring.start_timeout_seconds"
    return CeleryUse("run_launcher.config of dagster.yaml", launcher.celery, queue, "runs", until)


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
