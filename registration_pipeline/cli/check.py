"""The ``check`` command: a preflight over the chosen sources. The checks themselves are in ``project/preflight.py``."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from registration_pipeline.cli.output import print_findings, print_json, say
from registration_pipeline.cli.session import DONE, open_project
from registration_pipeline.counted import counted
from registration_pipeline.orchestration.celery.preflight import AskedServices
from registration_pipeline.orchestration.preflight import run_all_checks
from registration_pipeline.project.preflight import SAME_FOR_ALL, Finding


def check_sources(config: Path | None, names: Sequence[str], *, as_json: bool) -> int:
    """Check everything that a sync needs and return the exit status of the worst problem."""
    project = open_project(config)
    findings: list[Finding] = []
    lines: list[Finding] = []
    sources = project.chosen(names)
    shown = set[tuple[str, str]]()
    asked: AskedServices = {}
    for source in sources:
        for finding in run_all_checks(project, source, asked):
            findings.append(finding)
            said = (finding.what, finding.detail)
            if as_json or said in shown:
                continue
            is_of_all = finding.what in SAME_FOR_ALL and len(sources) > 1
            if is_of_all:
                shown.add(said)  # once, not for every source
            lines.append(replace(finding, source="") if is_of_all else finding)
            print_findings(lines[-1:])
    errors = [finding.error for finding in findings if finding.error is not None and finding.was_checked]
    if as_json:
        checks = [
            {
                "source": one.source,
                "what": one.what,
                "ok": one.error is None if one.was_checked else None,
                "detail": one.detail,
                "remark": one.is_remark,
            }
            for one in findings
        ]
        print_json({"ok": not errors, "checks": checks})
    else:
        say(_summary(lines))
    return max((error.exit_status for error in errors), default=DONE)


def _summary(lines: Sequence[Finding]) -> str:
    """Return the last line; its numbers are those of the lines above it."""
    failed = sum(one.error is not None and one.was_checked for one in lines)
    left_out = sum(not one.was_checked for one in lines)
    remarks = sum(one.is_remark for one in lines)
    parts = [f"{failed} of {counted(len(lines), 'check')} failed" if failed else "Ready to sync"]
    if left_out:
        parts.append(f"{left_out} not checked")
    if remarks:
        parts.append(counted(remarks, "remark"))
    return f"{', '.join(parts)}."
