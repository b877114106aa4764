"""The preflight of the command line: the checks of the core, and that Dagster's instance can be used.

What does not belong here: the checks that need no Dagster (``project/preflight.py``).
"""

from collections.abc import Iterator

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.orchestration.runs.instance import dagster_home
from registration_pipeline.orchestration.runs.instance_check import ask_instance
from registration_pipeline.project.preflight import INSTANCE, Finding, may_write, run_checks
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings


def run_all_checks(project: Project, source: SourceSettings) -> Iterator[Finding]:
    """Yield a finding for everything from the configuration to Encord's folder; continue after a problem."""
    yield from run_checks(project, source, {INSTANCE: lambda: _dagster(project)})


def _dagster(project: Project) -> str:
    home = dagster_home(project.settings, project.environ)
    if not may_write(home):
        raise ConfigurationError(
            f"the Dagster instance folder {home} can't be written by this user; set DAGSTER_HOME to one that can",
            key="DAGSTER_HOME",
        )
    return ask_instance(project.settings, project.environ)
