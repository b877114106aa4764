"""What the end of every sync leaves behind of a source: its report in the state, and its metrics where they are configured.

What does not belong here: figures (``gather.py``) and pages (``page.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registration_pipeline.report.files import keep_report
from registration_pipeline.report.gather import gather_source, joined_report

if TYPE_CHECKING:
    from registration_pipeline.project.project import Project
    from registration_pipeline.report.data import FailureFigures
    from registration_pipeline.settings import SourceSettings
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
) -> str:
    """Write the source's report beside its failure log, and return the name of the page in the state.

    Args:
        project: the configuration.
        source: which.
        log_id: of the failure log.
        snapshot: that everything was counted from.
        status: the counts.
        failures: the failure log in figures.

    Raises:
        StateError: the state can't be read or written.
    """
    found = gather_source(project, source, snapshot=snapshot, status=status, failures=failures, most_read=_MOST_READ)
    return keep_report(project.store, source.name, log_id, joined_report(project, [found]))
