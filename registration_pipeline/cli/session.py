"""What every command does around its own work: the configuration, running jobs, and the exit status.

Options and help texts are in ``cli/declarations/``; what is printed is in ``cli/output.py``.
"""

import gc
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from registration_pipeline.cli.errors import print_error
from registration_pipeline.cli.failure_output import not_linked, not_registered
from registration_pipeline.cli.interrupt import at_forced_end, at_interrupt
from registration_pipeline.cli.modes import MODES
from registration_pipeline.cli.output import notice
from registration_pipeline.counted import counted
from registration_pipeline.errors import LeaseBusyError, RegistrationPipelineError, UsageError
from registration_pipeline.project.project import Project
from registration_pipeline.state.version import require_layout

if TYPE_CHECKING:
    from registration_pipeline.audit.report import AuditReport
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.tracking.status import SourceStatus

DONE = 0
DONE_WITH_FAILURES = 3
HALTED = 4


def open_project(config: Path | None) -> Project:
    """Load the configuration, and let the code location of this process see the same file."""
    project = Project.load(config)
    os.environ["REGISTRATION_CONFIG"] = str(project.settings.path)
    return project


def open_sources(config: Path | None, names: Sequence[str]) -> "tuple[Project, list[SourceSettings]]":
    """Load the configuration and return the named sources, or all, each with a state that this version can read.

    Raises:
        UsageError: a source is not in the configuration, or its state was written by another version.
        StateError: the state can't be read.
    """
    project = open_project(config)
    sources = project.chosen(names)
    for source in sources:
        require_layout(project.store, source.name)
    return project, sources


def open_source(config: Path | None, name: str) -> "tuple[Project, SourceSettings]":
    """Load the configuration and return one source, as ``open_sources`` does."""
    project, (source,) = open_sources(config, [name])
    MODES.source = source.name
    return project, source


def refuse_in_state(project: Project, out: Path, *, is_folder: bool = False) -> None:
    """Refuse to write a file, or into a folder, where the state is: it could replace what was registered.

    Raises:
        UsageError: ``out`` is in the folder of the state, by whatever path.
    """
    root = Path(project.store.uri)
    if "://" in project.store.uri or not root.is_dir():
        return
    itself = (out.resolve(),) if is_folder else ()
    for folder in (*itself, *out.resolve().parents, *out.parent.resolve().parents, out.parent.resolve()):
        if folder.is_dir() and folder.samefile(root):
            raise UsageError(
                f"--out {out} is in the state, {root}, whose files nothing else may change. Name "
                f"{'another folder' if is_folder else 'a file in another folder'}."
            )


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job to run for a source."""

    source: str
    job_name: str
    run_config: Mapping[str, Any] | None = None


class JobResults(NamedTuple):
    """The results of jobs.

    Args:
        errors: the sources whose run was ended by an error, each with its error.
        statuses: the counts of objects, by source, for the runs that came to their end.
        audits: the reports of those that were audits, by source.
    """

    errors: "list[tuple[str, RegistrationPipelineError]]"
    statuses: "dict[str, SourceStatus]"
    audits: "dict[str, AuditReport]"


def run_jobs(
    project: Project, jobs: Sequence[JobRequest], *, quiet: bool, longest_wait: float | None = None
) -> JobResults:
    """Run jobs one after the other. A source that halts does not keep the next one from its turn.

    Args:
        project: the configuration.
        jobs: which.
        quiet: no progress is shown.
        longest_wait: seconds that each waits while another process submits its source; None: until it is its turn.
    """
    from registration_pipeline.cli.log_listener import LogListener
    from registration_pipeline.cli.progress import TerminalListener
    from registration_pipeline.orchestration.alerts.command import reporting_failed_runs
    from registration_pipeline.orchestration.runs.instance import open_instance
    from registration_pipeline.orchestration.runs.interrupted import end_by_force, record_interruption
    from registration_pipeline.orchestration.runs.launch import run_job
    from registration_pipeline.orchestration.runs.stale_runs import clearing_stale_runs
    from registration_pipeline.project.listener import listening

    results = JobResults([], {}, {})
    # The libraries stay for good: frozen, they are not visited by the garbage collector, which then takes half a second
    # of a quiet night's sync instead of one of its eight. Once, because what is frozen is never freed: garbage of earlier
    # runs must be.
    if not gc.get_freeze_count():
        gc.freeze()
    with (
        at_interrupt(record_interruption),
        at_forced_end(end_by_force),
        open_instance(project.settings, project.environ) as instance,
    ):
        for job in jobs:
            with (
                LogListener() if MODES.is_log_json else TerminalListener(quiet=quiet) as listener,
                listening(listener),
                clearing_stale_runs(instance, listener.notice),
                reporting_failed_runs(project, instance, partial(listener.notice, level="warning")),
            ):
                try:
                    run_job(instance, job.job_name, job.run_config, longest_wait=longest_wait)
                except LeaseBusyError as busy:
                    listener.stopped(busy)
            if listener.error is not None:
                results.errors.append((job.source, listener.error))
            if listener.status is not None:
                results.statuses[job.source] = listener.status
            if listener.audit is not None:
                results.audits[job.source] = listener.audit
    return results


def exit_status(statuses: Sequence["SourceStatus"], errors: Sequence[tuple[str, RegistrationPipelineError]]) -> int:
    """Say what became of a run and return the status for it: the worst error, else whether anything is not registered."""
    bad = [status for status in statuses if status.failed or status.unaccepted_rejected]
    unsent = [status for status in statuses if status.upserts is not None and status.upserts.failed]
    unlinked = [status for status in statuses if status.dataset is not None and status.dataset.failed]
    if bad:
        count = not_registered(sum(status.failed + status.unaccepted_rejected for status in bad))
        names = " ".join(status.source for status in bad)
        notice(f"{count}: `registration-pipeline failures {names}` says which and why.", "warning")
    for status in unsent:
        assert status.upserts is not None
        notice(
            f"New metadata of {counted(status.upserts.failed, 'registered unit')} did not get to Encord: "
            f"`registration-pipeline failures {status.source}` says which and why.",
            "warning",
            source=status.source,
        )
    if unlinked:
        count = not_linked(sum(status.dataset.failed for status in unlinked if status.dataset is not None))
        names = " ".join(status.source for status in unlinked)
        notice(f"{count}: `registration-pipeline failures {names}` says which and why.", "warning")
    contradictory = report_disagreements(statuses)
    for source, error in errors:
        notice(f"Error: {source}: {error}", source=source)
    if errors:
        if not statuses:  # else the document has them
            source, error = errors[0]
            print_error(error, str(error), error.exit_status, source=source)
        return max(error.exit_status for _, error in errors)
    if contradictory:
        return HALTED
    return DONE_WITH_FAILURES if bad or unsent or unlinked else DONE


def report_disagreements(statuses: Iterable["SourceStatus"]) -> bool:
    """Say of each source whose numbers can't be right what does not agree; return whether there is any."""
    bad = [status for status in statuses if status.disagreements]
    for status in bad:
        said = " ".join(status.disagreements)
        notice(
            f"Error: the state of source {status.source} does not add up. {said} Its numbers are not reliable: "
            f"`registration-pipeline state {status.source} --verify` lists what is damaged or missing. Restore that from a "
            "backup.",
            source=status.source,
        )
    return bool(bad)
