"""The command ``sync --dry-run``: what a sync would do, source by source. Finding that out is in ``stages/dry_run.py``."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape

from registration_pipeline.cli.error_values import error_values
from registration_pipeline.cli.log_listener import LogListener
from registration_pipeline.cli.modes import MODES
from registration_pipeline.cli.output import print_json, say
from registration_pipeline.cli.progress import TerminalListener
from registration_pipeline.cli.session import DONE, exit_status, open_sources
from registration_pipeline.counted import counted
from registration_pipeline.errors import RegistrationPipelineError
from registration_pipeline.foreign_text import printable
from registration_pipeline.project.listener import listening
from registration_pipeline.stages.dry_run import Amount, DryRun, dry_run


def try_sync(config: Path | None, names: Sequence[str], *, as_json: bool) -> int:
    """Say what a sync would do, and change nothing; a source that can't be tried does not keep the next one from it."""
    project, sources = open_sources(config, names)
    runs: list[DryRun] = []
    errors: list[tuple[str, RegistrationPipelineError]] = []
    for source in sources:
        with (
            LogListener() if MODES.is_log_json else TerminalListener(quiet=as_json) as listener,
            listening(listener),
        ):
            try:
                runs.append(dry_run(project, source))
            except RegistrationPipelineError as error:
                listener.stopped(error)
                errors.append((source.name, error))
    if as_json:
        print_json(_document(runs, errors))
    for run in () if as_json else runs:
        for line in _lines(run):
            say(escape(line))
    return exit_status([], errors) if errors else DONE


def _document(runs: Sequence[DryRun], errors: Sequence[tuple[str, RegistrationPipelineError]]) -> dict[str, Any]:
    document: dict[str, Any] = {"dry_run": True, "sources": {run.source: _values(run) for run in runs}}
    if errors:
        document["errors"] = [error_values(error, source=source) for source, error in errors]
    return document


def _values(run: DryRun) -> dict[str, Any]:
    values = asdict(run)
    del values["source"]
    return values


def _lines(run: DryRun) -> list[str]:
    counts = run.counts
    rejected = ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.rejected_by_reason.items()))
    lines = [
        f"{run.source}: a sync would register {_text(run.registered)}. Nothing was changed.",
        (
            f"  {counted(counts.objects, 'object')} in the bucket: {counts.known:,} planned before, {counts.new:,} new, "
            f"{counts.excluded:,} excluded, {counts.rejected:,} rejected{f' ({rejected})' if rejected else ''}, "
            f"{counts.held:,} held for a later sync"
        ),
        f"  new chunks: {_text(run.planned)}",
        f"  chunks with failures that would be tried again: {run.retried.chunks:,}",
        *_left(run),
    ]
    if run.upserts is not None:
        lines.append(f"  changed metadata that would be sent: {_text(run.upserts)}")
    if run.links is not None:
        lines.append(
            f"  dataset: {counted(run.links, 'registered unit')} and those that are registered now would be linked"
        )
    return [*lines, *(f"  warning: {printable(warning)}" for warning in run.warnings)]


def _left(run: DryRun) -> list[str]:
    """Say why chunks with failures are not tried again, and how they are all the same."""
    permanent, lines = run.left.chunks - run.exhausted, []
    command = f"`registration-pipeline submit {run.source} --failed"
    if permanent:
        lines.append(
            f"  {counted(permanent, 'chunk')} with failures that last: not tried again while the failed objects are "
            f"unchanged; {command}` tries all the same"
        )
    if run.exhausted:
        lines.append(
            f"  {counted(run.exhausted, 'chunk')} with failures, tried as often as max_attempts allows: not tried again while "
            f"the failed objects are unchanged; {command} --force` tries all the same"
        )
    return (
        [*lines, f"  `registration-pipeline failures {run.source}` says which objects failed and why"] if lines else []
    )


def _text(amount: Amount) -> str:
    if not amount.chunks:
        return "nothing"
    units = "" if amount.units == amount.objects else f" ({counted(amount.units, 'unit')})"
    return f"{counted(amount.objects, 'object')}{units} in {counted(amount.chunks, 'chunk')}"
