"""The audit in Dagster: a job that the command runs, and an asset check that can be executed by itself.

What belongs here is opening what an audit needs and showing what it found; comparing is in ``audit/audit.py``.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import dagster as dg

from registration_pipeline.orchestration import metadata, names
from registration_pipeline.orchestration.hosted import hosted
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.resources import load_source
from registration_pipeline.orchestration.runs.listener import current_listener, errors_as_failures, notice_and_log
from registration_pipeline.orchestration.stages import CheckReport, registration_event
from registration_pipeline.project.project import Project, utc_now
from registration_pipeline.settings import SourceSettings, encord_domain

if TYPE_CHECKING:
    from registration_pipeline.audit.report import AuditReport
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.result import ChunkResult

AUDIT_OP = "run_audit"

Log = Callable[[str], None]


class AuditOptions(dg.Config):
    """What an audit may change."""

    adopt: bool = False
    """Adopt what is in Encord and not registered according to the ledger. Nothing is sent."""


def build_audit_job(source: SourceSettings, own: SourceNames) -> dg.JobDefinition:
    """Return the job that compares a source's bucket, ledger and Encord folder."""

    @dg.op(name=f"{own.ident}_{AUDIT_OP}", out=dg.Out(dg.Nothing), required_resource_keys=own.resources)
    @hosted(own, "audit")
    def run_audit(
        context: dg.OpExecutionContext, config: AuditOptions
    ) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
        adopted: list[ChunkResult] = []
        with errors_as_failures():
            loaded = load_source(context, own)
            report = audit_stage(*loaded, context.log.info, adopted=adopted if config.adopt else None)
        yield from (registration_event(loaded[0].store, own, result) for result in adopted)
        check: Any = audit_check(
            loaded[0].store, own, report
        ).as_event()  # Dagster takes it, and its annotation does not
        context.log_event(check)

    @dg.job(
        name=own.audit_job,
        tags={names.SOURCE_TAG: source.name},
        description=f"{source.uri}, the ledger and the Encord folder compared. Sends nothing.",
        executor_def=dg.in_process_executor,
    )
    def audit() -> None:
        run_audit()

    return audit


def build_audit_check(own: SourceNames) -> dg.AssetChecksDefinition:
    """Return the asset check that audits a source, only when it is executed by itself."""

    @dg.asset_check(
        asset=own.registration,
        name=names.AUDIT_CLEAN,
        required_resource_keys=own.resources,
        description="Bucket, ledger and Encord agree. Lists the whole folder: execute it by itself.",
    )
    def audit_clean(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        # Dagster plans an asset's checks into every run that materializes it. There this one is skipped, because chunks are
        # reported as events and not as outputs; a test checks that.
        with errors_as_failures():
            loaded, settings = load_source(context, own)
            return audit_check(loaded.store, own, audit_stage(loaded, settings, context.log.info)).as_result()

    return audit_clean


def audit_stage(
    project: Project, source: SourceSettings, log: Log, *, adopted: "list[ChunkResult] | None" = None
) -> "AuditReport":
    """Compare a source's bucket, ledger and Encord folder.

    Args:
        project: where the source belongs.
        source: what to compare.
        log: called with what was found.
        adopted: takes the chunks that were taken over, and allows that; None: nothing is taken over.
    """
    from registration_pipeline.audit.adoption import Adoption
    from registration_pipeline.audit.audit import audit_source
    from registration_pipeline.state.lease import hold_lease
    from registration_pipeline.submission.calls.pace import shared_pace
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.known_folders import FolderFinder

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
    lease = (
        nullcontext()
        if adopted is None
        else hold_lease(project.store, source.name, clock=utc_now, notify=notice_and_log(log), stop=stop)
    )
    with lease as held:
        report = audit_source(
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
    log(f"audit {report.audit_id}: {found} in {report.units:,} units and {report.items:,} items")
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


def audit_check(store: "StateStore", own: SourceNames, report: "AuditReport") -> CheckReport:
    """Return an audit as the result of the check, with what to do about each finding."""
    from registration_pipeline.audit.rows import AuditFinding

    rows = [
        {
            "finding": finding.value,
            "count": report.findings[finding.value],
            "means": finding.means,
            "what to do": finding.to_do.format(source=report.source),
        }
        for finding in AuditFinding
    ]
    numbers = (
        *("units", "objects", "registered_units", "registered_objects", "items", "under_way"),
        *("adopted_units", "adopted_reordered", "partly_present", "not_looked_up", "opened", "not_opened"),
    )
    shown: dict[str, Any] = {
        "audit": report.audit_id,
        "inventory": report.inventory_id,
        "seconds": round((report.finished_at - report.started_at).total_seconds(), 3),
        **{name: getattr(report, name) for name in numbers},
        "findings": metadata.table(rows, ("finding", "count", "means", "what to do")),
        "sample": metadata.table(
            [row._asdict() for row in report.sample], ("finding", "key", "unit_id", "objects", "item_uuid", "detail")
        ),
        "parquet": metadata.link(store, report.parquet.name),
        "csv": metadata.link(store, report.csv),
    }
    return CheckReport(names.AUDIT_CLEAN, own.registration, passed=report.is_clean, metadata=shown)
