"""Gives failed runs to ``notify``, for a command and for the sensor. Whether they are news is decided there."""

from collections.abc import Callable, Sequence
from datetime import datetime

import dagster as dg

from registration_pipeline.orchestration.alerts.failed_runs import FailedRun, failed_runs
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.project.project import Project


def report_failed_runs(
    project: Project,
    instance: dg.DagsterInstance,
    sources: Sequence[SourceNames],
    since: datetime,
    warn: Callable[[str], object],
) -> int:
    """Send a message for each run that failed since a time, if it is news, and return how many were sent.

    Args:
        project: the configuration.
        instance: Dagster's.
        sources: whose runs.
        since: when they were marked as failed, at the earliest.
        warn: takes a sentence about what could not be sent.
    """
    if not project.settings.notify:
        return 0
    return sum(report_failed_run(project, failed, warn) for failed in failed_runs(instance, sources, since))


def report_failed_run(
    project: Project, failed: FailedRun, warn: Callable[[str], object], *, is_brief: bool = False
) -> bool:
    """Send a message of a failed run if it is news.

    Args:
        project: the configuration.
        failed: the run.
        warn: takes a sentence about what could not be sent.
        is_brief: try each channel once only.
    """
    from registration_pipeline.notify import IncidentKind
    from registration_pipeline.notify.sending import BRIEF, PATIENT
    from registration_pipeline.project.alerts import alert_trouble

    return alert_trouble(
        project,
        project.source(failed.own.source),
        IncidentKind.KILLED if failed.is_killed else IncidentKind.HALTED,
        warn,
        at=failed.at,
        run_id=failed.run_id,
        error=failed.error,
        patience=BRIEF if is_brief else PATIENT,
    )
