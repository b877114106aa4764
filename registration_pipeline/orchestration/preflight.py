"""The preflight of the command line: the checks of the core, and that Dagster's instance and Celery can be used.

What does not belong here: the checks that need no Dagster (``project/preflight.py``).
"""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeAlias

import dagster as dg
import yaml

from registration_pipeline.bounds.calls import TooLongError, within
from registration_pipeline.counted import counted
from registration_pipeline.errors import ConfigurationError, ServiceUnavailableError
from registration_pipeline.foreign_text import masked
from registration_pipeline.orchestration.engine_tags import kubernetes_tags, refuse_wrong_tags
from registration_pipeline.orchestration.private_dagster import CheckError, InstanceRef
from registration_pipeline.orchestration.runs.instance import dagster_home, home_of_another
from registration_pipeline.orchestration.runs.instance_check import ask_instance
from registration_pipeline.orchestration.runs.storage_trouble import INSTANCE_FILE, is_sqlite, silent_storage
from registration_pipeline.project.preflight import CELERY, INSTANCE, Finding, Remark, run_checks
from registration_pipeline.project.project import Project
from registration_pipeline.settings import Engine, SourceSettings
from registration_pipeline.state.trial import try_folder

if TYPE_CHECKING:
    from registration_pipeline.orchestration.celery.services import Services
    from registration_pipeline.orchestration.celery.uses import CeleryUse

AskedServices: TypeAlias = "dict[str, Services]"
"""What was asked of Celery already, by the addresses: it is the same for all sources of a command."""
_DAGSTER_SECONDS = 10.0
"""Dagster's storages try to connect for up to a minute; a person waits for a preflight."""
_SQLITE_SECONDS = 30.0
"""Files need no try to connect; they are only slow, where the machine is busy."""


def run_all_checks(project: Project, source: SourceSettings, asked: "AskedServices | None" = None) -> Iterator[Finding]:
    """Yield a finding for everything from the configuration to Encord's folder; continue after a problem.

    Args:
        project: the configuration.
        source: which.
        asked: what earlier calls have asked of Celery; it is added to.
    """
    tags = {"tags": lambda: _tags(project, source)} if kubernetes_tags(source) else {}
    known = {} if asked is None else asked
    celery = {CELERY: lambda: _celery(project, source, known)} if _uses_celery(project) else {}
    yield from run_checks(project, source, {INSTANCE: lambda: _dagster(project), **celery, **tags})


def _tags(project: Project, source: SourceSettings) -> str:
    if find_spec("dagster_k8s") is None:
        return "not checked: this environment has no dagster-k8s"
    refuse_wrong_tags(project.settings, [source])
    return "a pod can be made with " + ", ".join(f"{setting}: {key}" for setting, key, _ in kubernetes_tags(source))


def _dagster(project: Project) -> str:
    home = dagster_home(project.settings, project.environ)
    try:
        try_folder(home)
    except OSError as error:
        raise ConfigurationError(
            f"the Dagster instance folder {home} can't be written by this user ({error.strerror}); set DAGSTER_HOME to one "
            "that can",
            key="DAGSTER_HOME",
        ) from error
    seconds = _SQLITE_SECONDS if is_sqlite(home) else _DAGSTER_SECONDS
    try:
        said = within(seconds, lambda: ask_instance(project.settings, project.environ))
    except TooLongError:
        raise silent_storage(home, seconds) from None
    warning = home_of_another(project.settings, project.environ)
    return f"{said}; but {warning}" if warning else said


def _uses_celery(project: Project) -> bool:
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


def _celery(project: Project, source: SourceSettings, asked: AskedServices) -> str | Remark:
    from registration_pipeline.orchestration.celery.services import address_of_services, ask_services

    said, lonely = dict[str, None](), list[str]()
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
            workers = found.listening.get(use.queue, 0)
            said[f"{counted(workers, 'worker')} on the queue {use.queue}"] = None
            lonely += [f"until a worker is started with `--queues {use.queue}`, {use.waiting} {use.until}"] * (
                not workers
            )
    return Remark("; ".join([*said, *lonely])) if lonely else "; ".join(said)


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
        of_launcher = None if instance is None else use_of_launcher(instance, source)
    except (dg.DagsterError, CheckError) as error:
        unset = re.search(r'environment variable "(\w+)" which is not set', str(error))
        why = f"the environment variable {unset[1]} is not set" if unset else str(error)
        file = dagster_home(project.settings, project.environ) / INSTANCE_FILE
        raise ConfigurationError(
            f"run_launcher of {file} can't be used: {why}; set it as on the machine of the daemon"
        ) from error
    return [use for use in (of_launcher, use_of_executor(project.settings, source)) if use is not None]
