"""What ``check`` says of Celery: that broker, result backend and workers are there for a source, or what to do.

It is imported without the extra ``celery``, so that the check can name it. What does not belong here: asking them
(``services.py``), and which a source needs (``uses.py``).
"""

import re
from typing import TYPE_CHECKING, TypeAlias

import dagster as dg
import yaml

from registration_pipeline.counted import counted
from registration_pipeline.errors import ConfigurationError, ServiceUnavailableError
from registration_pipeline.foreign_text import masked
from registration_pipeline.orchestration.private_dagster import CheckError, InstanceRef
from registration_pipeline.orchestration.runs.instance import dagster_home
from registration_pipeline.orchestration.runs.storage_trouble import INSTANCE_FILE
from registration_pipeline.project.preflight import Remark
from registration_pipeline.project.project import Project
from registration_pipeline.settings import Engine, SourceSettings

if TYPE_CHECKING:
    from registration_pipeline.orchestration.celery.services import Services
    from registration_pipeline.orchestration.celery.uses import CeleryUse

AskedServices: TypeAlias = "dict[str, Services]"
"""What was asked of Celery already, by the addresses: it is the same for all sources of a command."""


def uses_celery(project: Project) -> bool:
    """Return whether Celery starts runs or executes steps, as far as files say."""
    instance = _instance_ref(project)
    launcher = None if instance is None else instance.run_launcher_data
    return project.settings.executor.engine is Engine.CELERY or (
        launcher is not None and "celery" in launcher.module_name
    )


def _instance_ref(project: Project) -> InstanceRef | None:
    """Return what is in the instance's file; None: there is none, or it is wrong, which the check of the instance says."""
    try:
        home = dagster_home(project.settings, project.environ)
        return InstanceRef.from_dir(str(home)) if (home / INSTANCE_FILE).exists() else None
    except (ConfigurationError, dg.DagsterError, CheckError, OSError, yaml.YAMLError):
        return None


def check_celery(project: Project, source: SourceSettings, asked: AskedServices) -> str | Remark:
    """Return what answers.

    Args:
        project: the configuration.
        source: which.
        asked: what was asked already; it is added to.

    Raises:
        ConfigurationError: an address is missing or wrong, or a library is not installed.
        ServiceUnavailableError: the broker or the result backend does not answer.
    """
    from registration_pipeline.orchestration.celery.services import address_of_services, ask_services

    said, remarks = dict[str, None](), list[str]()
    for use in _celery_uses(project, source):
        try:
            address = address_of_services(use.app)
        except (ValueError, LookupError, ImportError) as error:
            why = f"{type(error).__name__}: {masked(str(error))}"
            raise ConfigurationError(
                f"{use.setting} has an address that Celery can't use ({why}); correct it"
            ) from None
        if address not in asked:
            asked[address] = ask_services(use.app)
        found = asked[address]
        if found.silent:
            raise ServiceUnavailableError(
                f"{found.silent}. Start it, or correct {use.setting} (CELERY_BROKER_URL and CELERY_RESULT_BACKEND); until "
                f"then {use.waiting} can't be sent to workers"
            )
        said[found.answering] = None
        if use.queue is not None:
            workers = found.listening(use.queue)
            said[f"{counted(workers, 'worker')} on the queue {use.queue}"] = None
            remarks += [f"until a worker is started with `--queues {use.queue}`, {use.waiting} {use.until}"] * (
                not workers
            )
            remarks += _unequal(use, found.places(use.queues)) if workers and use.queues else []
    return Remark("; ".join([*said, *remarks])) if remarks else "; ".join(said)


def _unequal(use: "CeleryUse", places: int | None) -> list[str]:
    """Return that another number of runs is sent than workers take at once, and what follows from it."""
    if places is None or use.most == places:
        return []
    sent = f"{'any number of runs' if use.most is None else counted(use.most, 'run')} at once (max_concurrent_runs)"
    follows = "the other workers are idle"
    if use.most is None or use.most > places:
        follows = f"those that wait for a worker {use.until}"
    return [f"dagster.yaml sends {sent} to workers that take {places}: {follows}"]


def _celery_uses(project: Project, source: SourceSettings) -> "list[CeleryUse]":
    """Return the applications; their libraries are those of an extra."""
    try:
        from registration_pipeline.orchestration.celery.uses import use_of_executor, use_of_launcher
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"Celery needs {error.name}, which is not installed; install it with `pip install 'registration-pipeline[celery]'`"
        ) from None
    instance = _instance_ref(project)
    try:
        of_launcher = None if instance is None else use_of_launcher(instance, source, project.settings.sources.values())
    except (dg.DagsterError, CheckError) as error:
        unset = re.search(r'environment variable "(\w+)" which is not set', str(error))
        why = f"the environment variable {unset[1]} is not set" if unset else str(error)
        file = dagster_home(project.settings, project.environ) / INSTANCE_FILE
        raise ConfigurationError(
            f"run_launcher of {file} can't be used: {why}; set it as on the machine of the daemon"
        ) from error
    return [use for use in (of_launcher, use_of_executor(project.settings, source)) if use is not None]
