"""What the end of every sync leaves behind of a source: its report in the state, and its metrics where they are configured.

What does not belong here: figures (``gather.py``) and pages (``page.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registration_pipeline.report.files import keep_report
from registration_pipeline.report.gather import gather_source, joined_report
from registration_pipeline.report.history import job_seconds
from registration_pipeline.report.metrics import SyncFigures, write_metrics
from registration_pipeline.tracing import run_figures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from registration_pipeline.project.project import Project
    from registration_pipeline.report.data import FailureFigures, SourceReport
    from registration_pipeline.settings import Settings, SourceSettings
    from registration_pipeline.tracking.snapshot import SourceSnapshot
    from registration_pipeline.tracking.status import SourceStatus

_MOST_READ: Final = 2
"""Inventories that a night reads: its own, and one that was taken besides. What a night asks of a state in a bucket does not
grow with the nights before it; the command ``report`` reads all that the last report did not know."""


def keep_nightly_report(
    project: Project,
    source: SourceSettings,
    log_id: str,
    *,
    snapshot: SourceSnapshot,
    status: SourceStatus,
    failures: FailureFigures,
    notify: Callable[[str], None],
) -> str:
    """Write the source's report beside its failure log, and return the name of the page in the state.

    Args:
        project: the configuration.
        source: which.
        log_id: of the failure log.
        snapshot: that everything was counted from.
        status: the counts.
        failures: the failure log in figures.
        notify: called when the metrics could not be written: that is not a reason for a sync to fail.

    Raises:
        StateError: the state can't be read or written.
    """
    found = gather_source(project, source, snapshot=snapshot, status=status, failures=failures, most_read=_MOST_READ)
    report = joined_report(project, [found])
    page = keep_report(project.store, source.name, log_id, report)
    if project.settings.metrics is not None:
        _write_metrics(project.settings, found, job_seconds(snapshot), report.at, notify)
    return page


def _write_metrics(
    settings: Settings,
    found: SourceReport,
    jobs: Sequence[float],
    at: datetime,
    notify: Callable[[str], None],
) -> None:
    assert settings.metrics is not None
    run = run_figures()
    sync = SyncFigures(ended_at=at, seconds=run.seconds, encord_requests=run.calls, job_seconds=jobs)
    try:
        write_metrics(settings.metrics, found, sync, settings.sources)
    except OSError as error:
        notify(
            f"The metrics file {settings.metrics} can't be written: {error.strerror}. The sync itself is not affected; set "
            f"`metrics` in {settings.path} to a file in a folder that exists and that this user may write to."
        )
