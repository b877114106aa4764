"""Gathers the report of sources from their state. What was counted a moment ago is not counted again.

What does not belong here: the form of a report (``page.py``) and where it is kept (``files.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from registration_pipeline import __version__
from registration_pipeline.audit.report import AuditReport
from registration_pipeline.project.project import utc_now
from registration_pipeline.report.breakdown import FailureBreakdown
from registration_pipeline.report.data import AuditFigures, Report, SourceReport
from registration_pipeline.report.history import INVENTORIES, day_figures, inventory_figures
from registration_pipeline.state.ahead import both
from registration_pipeline.state.layout import audit_folder
from registration_pipeline.state.markers import read_marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from registration_pipeline.project.project import Project
    from registration_pipeline.report.data import FailureFigures
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.snapshot import SourceSnapshot
    from registration_pipeline.tracking.status import SourceStatus


def gather_report(
    project: Project, sources: Iterable[SourceSettings], *, clock: Callable[[], datetime] = utc_now
) -> Report:
    """Gather the report of sources; reads the state only.

    Raises:
        StateError: the state can't be read, or is damaged.
    """
    return joined_report(project, (gather_source(project, source) for source in sources), clock=clock)


def joined_report(
    project: Project, sources: Iterable[SourceReport], *, clock: Callable[[], datetime] = utc_now
) -> Report:
    """Return the report of sources that were gathered one by one."""
    return Report(sources=tuple(sources), at=clock(), version=__version__, state=project.store.uri)


def gather_source(
    project: Project,
    source: SourceSettings,
    *,
    snapshot: SourceSnapshot | None = None,
    status: SourceStatus | None = None,
    failures: FailureFigures | None = None,
    most_read: int = INVENTORIES,
) -> SourceReport:
    """Gather the report of one source.

    Args:
        project: the configuration.
        source: which.
        snapshot: of a moment ago; by default the current one.
        status: counted a moment ago from this snapshot.
        failures: likewise.
        most_read: inventories that are read; the last report knows the ones before.

    Raises:
        StateError: the state can't be read, or is damaged.
    """
    snapshot = snapshot or project.snapshot(source)
    if failures is None:
        breakdown = breakdown_of(source)
        for _ in breakdown.watch(project.failures(source, snapshot)):
            pass
        failures = breakdown.figures()
    jobs, days = day_figures(snapshot, ZoneInfo(source.timezone))
    inventories, audit = both(
        project.store,
        lambda: inventory_figures(project.store, source.name, most_read=most_read),
        lambda: latest_audit(project.store, source.name),
    )
    return SourceReport(
        source=source.name,
        uri=source.uri,
        folder=source.encord.folder,
        timezone=source.timezone,
        stale_after_hours=source.freshness_hours,
        status=status or project.status(source, snapshot),
        failures=failures,
        inventories=inventories,
        days=days,
        jobs=jobs,
        audit=audit,
    )


def breakdown_of(source: SourceSettings) -> FailureBreakdown:
    """Return what counts the failures of a source."""
    return FailureBreakdown(source.location.below_prefix, source.accept_rejected)


def latest_audit(store: StateStore, source: str) -> AuditFigures | None:
    """Return the figures of the newest audit that was finished, or None.

    Raises:
        StateError: the state can't be read, or the audit's marker is damaged.
    """
    for audit_id in sorted(store.folders(audit_folder(source)), reverse=True):
        marker = read_marker(store, audit_folder(source, audit_id))
        if marker is not None:
            found = AuditReport.from_json(marker)
            return AuditFigures(
                audit_id=found.audit_id,
                at=found.started_at,
                inventory_id=found.inventory_id,
                items=found.items,
                findings=found.findings,
                is_clean=found.is_clean,
            )
    return None
