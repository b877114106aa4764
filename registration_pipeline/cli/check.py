"""The ``check`` command: a preflight over the chosen sources. The checks themselves are in ``orchestration.preflight``."""

from collections.abc import Sequence
from pathlib import Path

from registration_pipeline.cli.output import print_findings, print_json, say
from registration_pipeline.cli.session import DONE, open_project
from registration_pipeline.orchestration.preflight import Finding, run_checks


def check_sources(config: Path | None, names: Sequence[str], *, as_json: bool) -> int:
    """Check everything that a sync needs and return the exit status of the worst problem."""
    project = open_project(config)
    findings: list[Finding] = []
    for source in project.chosen(names):
        for finding in run_checks(project, source):
            findings.append(finding)
            if not as_json:
                print_findings([finding])
    errors = [finding.error for finding in findings if finding.error is not None]
    if as_json:
        checks = [{"source": f.source, "what": f.what, "ok": f.error is None, "detail": f.detail} for f in findings]
        print_json({"ok": not errors, "checks": checks})
    else:
        say("Ready to sync." if not errors else f"{len(errors)} of {len(findings)} checks failed.")
    return max((error.exit_status for error in errors), default=DONE)
