"""The ``audit`` command: runs the job, then shows what it found. Comparing is in ``audit/audit.py``."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from registration_pipeline.audit.report import AuditReport, write_findings
from registration_pipeline.audit.rows import AuditFinding
from registration_pipeline.cli.commands import check_out
from registration_pipeline.cli.output import notice, print_json, say, stdout
from registration_pipeline.cli.session import (
    DONE,
    DONE_WITH_FAILURES,
    JobRequest,
    exit_status,
    open_source,
    refuse_in_state,
    run_jobs,
)
from registration_pipeline.counted import counted
from registration_pipeline.errors import UsageError
from registration_pipeline.foreign_text import printable
from registration_pipeline.orchestration.audit import AUDIT_OP
from registration_pipeline.orchestration.names import SourceNames

if TYPE_CHECKING:
    from registration_pipeline.state.store import StateStore


def audit_source(config: Path | None, name: str, *, adopt: bool, out: Path | None, as_json: bool) -> int:
    """Compare a source's bucket, ledger and Encord folder, and show what differs."""
    if out is not None:
        check_out(out)
    project, source = open_source(config, name)
    if out is not None:
        refuse_in_state(project, out)
    own = SourceNames(source.name)
    run_config = {"ops": {f"{own.ident}_{AUDIT_OP}": {"config": {"adopt": adopt}}}}
    errors, _, audits = run_jobs(project, [JobRequest(source.name, own.audit_job, run_config)], quiet=as_json)
    if errors:
        return exit_status([], errors)
    report = audits[source.name]
    if out is not None:
        _write(project.store, report, out)
    print_json(_document(project.store, report)) if as_json else _print(project.store, report)
    return DONE if report.is_clean else DONE_WITH_FAILURES


def _write(store: "StateStore", report: AuditReport, out: Path) -> None:
    try:
        write_findings(store, report, out)
    except OSError as error:
        raise UsageError(
            f"--out {out} can't be written: {error.strerror}. Name a file in a folder that exists."
        ) from error
    notice(f"{sum(report.findings.values()):,} findings written to {out}")


def _document(store: "StateStore", report: AuditReport) -> dict[str, object]:
    files = {"parquet": store.location(report.parquet.name), "csv": store.location(report.csv)}
    return {**report.to_json(), "is_clean": report.is_clean, **files}


def _print(store: "StateStore", report: AuditReport) -> None:
    seconds = (report.finished_at - report.started_at).total_seconds()
    folders = "1 folder" if len(report.folders) == 1 else f"{len(report.folders)} folders"
    say(
        f"{report.source}: {counted(report.units, 'planned unit')} ({counted(report.objects, 'object')}), "
        f"{report.registered_units:,} of them registered; "
        f"{counted(report.items, 'item')} in {folders} of Encord; inventory {report.inventory_id}; {seconds:.1f} s"
    )
    stdout().print(_counts(report))
    for line in (*_advice(report), *_remarks(report)):
        say(escape(line))
    if report.sample:
        say("\nThe first of each:")
        for line in _sample(report):
            say(escape(line))
        say(f"All of them: {escape(store.location(report.csv))}, and the same as Parquet; --out FILE writes a copy.")


def _counts(report: AuditReport) -> Table:
    table = Table()
    table.add_column("finding")
    table.add_column("count", justify="right")
    table.add_column("means", overflow="fold")
    for finding in AuditFinding:
        table.add_row(finding.value, f"{report.findings[finding.value]:,}", finding.means)
    return table


def _advice(report: AuditReport) -> list[str]:
    """Return what to do about each finding that occurred; not in the table, which would break the commands in it."""
    occurred = (finding for finding in AuditFinding if report.findings[finding.value])
    return [f"{finding.value}: {finding.to_do.format(source=report.source)}" for finding in occurred]


def _remarks(report: AuditReport) -> list[str]:
    said = {
        f"adopted {counted(report.adopted_units, 'unit')} of {counted(report.adopted_chunks, 'chunk')}; nothing was sent.": (
            report.adopted_chunks
        ),
        f"{report.adopted_reordered:,} of them hold the objects of their unit in another order than planned.": (
            report.adopted_reordered
        ),
        f"not counted as findings: {counted(report.under_way, 'item')} of chunks that are being submitted.": report.under_way,
        f"only partly in Encord: {counted(report.partly_present, 'chunk')}. Sending the rest is safe: `registration-pipeline "
        f"submit {report.source}` registers it.": report.partly_present,
        f"{report.not_looked_up:,} of the missing were not searched for elsewhere: the limit of look-ups was reached.": (
            report.not_looked_up
        ),
        f"not asked what they consist of: {counted(report.not_opened, 'item')} without a URL, because the limit of such "
        "requests was reached. Audit again after moving what is not of this source to another folder.": report.not_opened,
    }
    return [text for text, count in said.items() if count]


def _sample(report: AuditReport) -> list[str]:
    """Return two lines a finding: a key and three ids of 36 characters don't fit into the columns of a table."""
    lines = []
    for row in report.sample:
        ids = ", ".join(
            f"{name} {value}"
            for name, value in (("unit", row.unit_id), ("chunk", row.chunk_id), ("item", row.item_uuid))
            if value
        )
        objects = f" (unit of {row.objects:,} objects)" if row.objects and row.objects > 1 else ""
        values = (
            f"{row.finding} {row.key or row.object_url or 'an item without a URL'}{objects}",
            f"    {ids}" + (f": {row.detail}" if row.detail else ""),
        )
        lines += [printable(value).replace("\n", "\\n") for value in values]
    return lines
