"""The audit of a source as one call: opens what it needs, and takes over what is found where that is allowed.

What does not belong here: comparing (``audit/audit.py``), and what is shown of it.
"""

import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from registration_pipeline.counted import counted
from registration_pipeline.project.listener import Log, current_listener, notice_and_log
from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.settings import SourceSettings, encord_domain

if TYPE_CHECKING:
    from registration_pipeline.audit.report import AuditReport
    from registration_pipeline.submission.result import ChunkResult


def audit_source(
    project: Project, source: SourceSettings, log: Log, *, adopted: "list[ChunkResult] | None" = None
) -> "AuditReport":
    """Compare a source's bucket, ledger and Encord folder.

    Args:
        project: where the source belongs.
        source: what to compare.
        log: takes a line.
        adopted: takes the chunks that were taken over, and allows that; None: nothing is taken over.

    Raises:
        UsageError: there is no inventory or no plan.
        ConfigurationError: the inventory is of another place than the source is in now.
        HaltError: Encord can't be asked.
        StateError: the state can't be read or written.
    """
    from registration_pipeline.audit.adoption import Adoption
    from registration_pipeline.audit.audit import audit_source as compare
    from registration_pipeline.inventory.inventory import latest_inventory
    from registration_pipeline.state.lease import hold_lease
    from registration_pipeline.submission.calls.pace import shared_pace
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.known_folders import FolderFinder

    if (latest := latest_inventory(project.store, source.name)) is not None:
        latest.require_place_of(source)
    stop = threading.Event()
    retry = RetryPolicy(
        pace=shared_pace(encord_domain(project.settings, project.environ)), source=source.name, stop=stop
    )
    finder = FolderFinder(
        gateway=project.gateway,
        retry=retry,
        source=source,
        known=project.known_folders(source),
        notify=notice_and_log(log),
    )
    finder.refuse_gone()
    waiting: dict[str, Any] = {"notify": notice_and_log(log), "stop": stop, "longest_wait": project.longest_wait}
    with nullcontext() if adopted is None else hold_lease(project.store, source.name, clock=utc_now, **waiting) as held:
        report = compare(
            store=project.store,
            source=source.name,
            gateway=project.gateway,
            retry=retry,
            target_folder=finder.find(),
            clock=utc_now,
            adoption=None if adopted is None or held is None else Adoption(utc_now, held.check, adopted),
            progress=_Stages(source.name),
        )
    for result in adopted or ():
        current_listener().chunk_concluded(source.name, result)
    found = ", ".join(f"{count:,} {finding}" for finding, count in report.findings.items() if count) or "no findings"
    current_listener().audited(report)
    log(f"audit {report.audit_id}: {found} in {counted(report.units, 'unit')} and {counted(report.items, 'item')}")
    return report


class _Stages:
    """Turns the audit's progress into stages of the run."""

    def __init__(self, source: str) -> None:
        self._source, self._stage = source, ""

    def __call__(self, stage: str, done: int) -> None:
        if stage != self._stage:
            self._stage = stage
            current_listener().stage_started(self._source, f"audit: {stage}", None)
        current_listener().advanced(done)
