"""The ``report`` command: the state of sources as a page, or its figures as JSON. Options are in ``cli/declarations``."""

from collections.abc import Sequence
from pathlib import Path

from registration_pipeline.cli.commands import replaced
from registration_pipeline.cli.output import notice, print_json
from registration_pipeline.cli.session import DONE, HALTED, open_sources, refuse_in_state, report_disagreements
from registration_pipeline.counted import counted
from registration_pipeline.errors import UsageError
from registration_pipeline.report.files import page_bytes
from registration_pipeline.report.gather import gather_report

_SUFFIXES = (".html", ".htm")


def report_sources(config: Path | None, names: Sequence[str], *, out: Path | None, as_json: bool) -> int:
    """Write the page, print its figures, or both."""
    if out is None and not as_json:
        raise UsageError("report needs --out FILE.html, the page to write, or --json, which prints its figures.")
    if out is not None and out.suffix not in _SUFFIXES:
        raise UsageError(f"--out {out}: the name must end in {' or '.join(_SUFFIXES)}.")
    project, sources = open_sources(config, names)
    if out is not None:
        refuse_in_state(project, out)
    report = gather_report(project, sources)
    if out is not None:
        with replaced(out) as beside:
            beside.write_bytes(page_bytes(report))
        notice(f"report of {counted(len(report.sources), 'source')} written to {out}")
    if as_json:
        print_json(report.as_json())
    return HALTED if report_disagreements(source.status for source in report.sources) else DONE
