"""The audit in Dagster: an asset of its own whose check is the verdict, and the job that materializes it.

What belongs here is opening what an audit needs and showing what it found; comparing is in ``audit/audit.py``.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from registration_pipeline.orchestration import metadata, names
from registration_pipeline.orchestration.chunk_checks import chunk_checks
from registration_pipeline.orchestration.hosted import hosted
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.resources import load_source
from registration_pipeline.orchestration.runs.listener import errors_as_failures
from registration_pipeline.orchestration.stages import CheckReport, registration_event
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings
from registration_pipeline.stages.auditing import audit_source

if TYPE_CHECKING:
    from registration_pipeline.audit.report import AuditReport
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.result import ChunkResult

AUDIT_OP = "run_audit"

_NUMBERS = (
    *("units", "objects", "registered_units", "registered_objects", "items", "under_way"),
    *("adopted_units", "adopted_reordered", "partly_present", "not_looked_up", "opened", "not_opened"),
)
"""What is shown of an audit's report, besides its findings."""

_SAMPLE = ("finding", "key", "unit_id", "objects", "item_uuid", "detail")
_SHOWN = ("seconds", *_NUMBERS, "findings", "parquet", "csv")
"""What the asset shows of its check; findings only if there are any."""


class AuditOptions(dg.Config):
    """What an audit may change."""

    adopt: bool = Field(
        default=False,
        description="Adopt what is in Encord and not registered according to the ledger. Nothing is sent to Encord.",
    )


def build_audit_asset(own: SourceNames) -> dg.AssetsDefinition:
    """Return the asset that is the last audit of a source; its check is the verdict.

    The check is of an asset of its own, because Dagster plans the checks of an asset into every run that materializes it: as
    one of ``registration`` it would be shown as failed or skipped by runs that audit nothing.
    """
    check = dg.AssetCheckSpec(
        names.AUDIT_CLEAN,
        asset=own.audit,
        description=f"Bucket, ledger and Encord agree, as the last audit found them. Execute is grey because the asset "
        f"`audit` carries this check: materialize the asset, or run the job {own.audit_job}.",
    )

    @dg.multi_asset(
        name=f"{own.ident}_{AUDIT_OP}",
        description=own.specs["audit"].description,
        specs=[own.specs["audit"]],
        check_specs=[check],
        required_resource_keys=own.resources,
        op_tags=own.op_tags,
    )
    @hosted(own, "audit")
    def audit(context: dg.AssetExecutionContext, config: AuditOptions) -> dg.MaterializeResult:
        adopted: list[ChunkResult] = []
        with errors_as_failures():
            project, source = load_source(context, own)
            report = audit_source(project, source, context.log.info, adopted=adopted if config.adopt else None)
            for event in adoption_events(project, source, own, adopted, context.instance):
                context.log_event(event)
        found = audit_check(project.store, own, report)
        shown = {name: found.metadata[name] for name in _SHOWN if name in found.metadata}
        return dg.MaterializeResult(asset_key=own.audit, metadata=shown, check_results=[found.as_result()])

    return audit


def build_audit_job(own: SourceNames, tags: dict[str, str]) -> Any:
    """Return the job that the command ``audit`` runs."""
    return dg.define_asset_job(
        own.audit_job,
        selection=[own.audit],
        config={"ops": {f"{own.ident}_{AUDIT_OP}": {"config": AuditOptions().model_dump()}}},
        tags=tags,
        executor_def=dg.in_process_executor,
        description="The source's bucket, the ledger and the Encord folder compared. Sends nothing.",
    )


def adoption_events(
    project: Project,
    source: SourceSettings,
    own: SourceNames,
    adopted: "list[ChunkResult]",
    instance: dg.DagsterInstance,
) -> Iterator[Any]:
    """Yield what shows adopted chunks as registered, and the check of the chunks as it is then; nothing if there is none."""
    for result in adopted:
        yield registration_event(project.store, own, result)
    if adopted:
        yield from (check.as_event(instance) for check in chunk_checks(project, source, own, None))


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
        if report.findings[finding.value]  # an order to delete something is shown only where there is something
    ]
    shown: dict[str, Any] = {
        "audit": report.audit_id,
        "inventory": report.inventory_id,
        "seconds": round((report.finished_at - report.started_at).total_seconds(), 3),
        **{name: getattr(report, name) for name in _NUMBERS},
        **({"findings": metadata.table(rows, ("finding", "count", "means", "what to do"))} if rows else {}),
        **({"sample": metadata.table([row._asdict() for row in report.sample], _SAMPLE)} if report.sample else {}),
        "parquet": metadata.link(store, report.parquet.name),
        "csv": metadata.link(store, report.csv),
    }
    counts = ", ".join(f"{count:,} {finding}" for finding, count in report.findings.items() if count)
    said = f"Found: {counts}." if counts else "No findings."
    return CheckReport(names.AUDIT_CLEAN, own.audit, passed=report.is_clean, metadata=shown, description=said)
