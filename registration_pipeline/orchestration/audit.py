"""The audit in Dagster: a job that the command runs, and an asset check that can be executed by itself.

What belongs here is opening what an audit needs and showing what it found; comparing is in ``audit/audit.py``.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from registration_pipeline.orchestration import metadata, names
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.resources import load_source
from registration_pipeline.orchestration.runs.listener import errors_as_failures
from registration_pipeline.orchestration.stages import CheckReport, registration_event
from registration_pipeline.settings import SourceSettings
from registration_pipeline.stages.auditing import audit_source

if TYPE_CHECKING:
    from registration_pipeline.audit.report import AuditReport
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.result import ChunkResult

AUDIT_OP = "run_audit"


class AuditOptions(dg.Config):
    """What an audit may change."""

    adopt: bool = False
    """Adopt what is in Encord and not registered according to the ledger. Nothing is sent."""


def build_audit_job(source: SourceSettings, own: SourceNames) -> dg.JobDefinition:
    """Return the job that compares a source's bucket, ledger and Encord folder."""

    @dg.op(name=f"{own.ident}_{AUDIT_OP}", out=dg.Out(dg.Nothing), required_resource_keys={own.resource})
    def run_audit(
        context: dg.OpExecutionContext, config: AuditOptions
    ) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
        adopted: list[ChunkResult] = []
        with errors_as_failures():
            loaded = load_source(context, own)
            report = audit_source(*loaded, context.log.info, adopted=adopted if config.adopt else None)
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
        required_resource_keys={own.resource},
        description="Bucket, ledger and Encord agree. Lists the whole folder: execute it by itself.",
    )
    def audit_clean(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        # Dagster plans an asset's checks into every run that materializes it. There this one is skipped, because chunks are
        # reported as events and not as outputs; a test checks that.
        with errors_as_failures():
            loaded, settings = load_source(context, own)
            return audit_check(loaded.store, own, audit_source(loaded, settings, context.log.info)).as_result()

    return audit_clean


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
