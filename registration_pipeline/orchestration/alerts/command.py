"""What a command reports of runs: those of dead processes that it found, and its own, if an error ended it.

What does not belong here: the end of a run that submits, which the run reports itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import dagster as dg

from registration_pipeline.orchestration.alerts.report import report_failed_runs
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.runs.launch import RunCrashedError
from registration_pipeline.project.project import Project, utc_now

_JUST_NOW = timedelta(minutes=1)
"""Dead runs are marked right before the block; going further back costs nothing, because no run is reported twice."""


@contextmanager
def reporting_failed_runs(
    project: Project, instance: dg.DagsterInstance, warn: Callable[[str], object]
) -> Iterator[None]:
    """Send messages of runs that failed just now, and of those that fail inside the block, if they are news.

    Before the block, because the run inside it may end well: what was killed before it would not be news any more. A person
    who interrupts a command needs no message.

    Args:
        project: the configuration.
        instance: Dagster's.
        warn: takes a sentence about what could not be sent.
    """
    since = utc_now() - _JUST_NOW
    sources = [SourceNames(name) for name in project.settings.sources]
    report_failed_runs(project, instance, sources, since, warn)
    try:
        yield
    except RunCrashedError:
        report_failed_runs(project, instance, sources, since, warn)
        raise
    report_failed_runs(project, instance, sources, since, warn)
