"""The ``check`` command: a preflight over the chosen sources. The checks themselves are in ``project/preflight.py``."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from registration_pipeline.cli.output import print_findings, print_json, say
from registration_pipeline.cli.session import DONE, open_project
from registration_pipeline.counted import counted
from registration_pipeline.orchestration.preflight import run_all_checks
from registration_pipeline.project.preflight import SAME_FOR_ALL, Finding


def check_sources(config: Path | None, names: Sequence[str], *, as_json: bool) -> int:
    """Check everything that a sync needs and return the exit status of the worst problem."""
    project = open_project(config)
    findings: list[Finding] = []
    sources = project.chosen(names)
    shown = set[tuple[str, str]]()
    for source in sources:
        for finding in run_all_checks(project, source):
            findings.append(finding)
            said = (finding.what, finding.detail)
            if as_json or said in shown:
                continue
            is_of_all = finding.what in SAME_FOR_ALL and len(sources) > 1
            if is_of_all:
                shown.add(said)  # once, not for every source
            print_findings([replace(finding, source="") if is_of_all else finding])
    checked = [finding for finding in findings if finding.was_checked]
    errors = [finding.error for finding in checked if finding.error is not None]
    if as_json:
        checks = [
            {
                "source": one.source,
                "what": one.what,
                "ok": one.error is None if one.was_checked else None,
                "detail": one.detail,
            }
            for one in findings
        ]
        print_json({"ok": not errors, "checks": checks})
    else:
        say("Ready to sync." if not errors else f"{len(errors)} of {counted(len(checked), 'check')} failed.")
    return max((error.exit_status for error in errors), default=DONE)
