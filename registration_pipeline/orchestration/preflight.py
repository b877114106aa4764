"""The preflight of the command line: the checks of the core, and that Dagster's instance and Celery can be used.

What does not belong here: the checks that need no Dagster (``project/preflight.py``), and what is asked of Celery
(``celery/preflight.py``).
"""

from collections.abc import Iterator
from importlib.util import find_spec

from registration_pipeline.bounds.calls import TooLongError, within
from registration_pipeline.errors import ConfigurationError
from registration_pipeline.orchestration.celery.preflight import AskedServices, check_celery, uses_celery
from registration_pipeline.orchestration.engine_tags import kubernetes_tags, refuse_wrong_tags
from registration_pipeline.orchestration.runs.instance import dagster_home, home_of_another
from registration_pipeline.orchestration.runs.instance_check import ask_instance
from registration_pipeline.orchestration.runs.storage_trouble import is_sqlite, silent_storage
from registration_pipeline.project.preflight import CELERY, INSTANCE, Finding, run_checks
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.trial import try_folder

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
    celery = {CELERY: lambda: check_celery(project, source, known)} if uses_celery(project) else {}
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
