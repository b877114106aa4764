"""What every command does around its own work: the configuration, running jobs, and the exit status.

Options and help texts are in ``cli/app.py``; what is printed is in ``cli/output.py``.
"""

import gc
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registration_pipeline.cli.output import not_registered, notice
from registration_pipeline.errors import RegistrationPipelineError
from registration_pipeline.project.project import Project

if TYPE_CHECKING:
    from registration_pipeline.tracking.status import SourceStatus

DONE = 0
DONE_WITH_FAILURES = 3


def open_project(config: Path | None) -> Project:
    """Load the configuration, and let the code location of this process see the same file."""
    project = Project.load(config)
    os.environ["REGISTRATION_CONFIG"] = str(project.settings.path)
    return project


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job to run for a source."""

    source: str
    job_name: str
    run_config: Mapping[str, Any] | None = None


def run_jobs(
    project: Project, jobs: Sequence[JobRequest], *, quiet: bool
) -> list[tuple[str, RegistrationPipelineError]]:
    """Run jobs one after the other and return the sources whose run was ended by an error, each with its error.

    A source that halts does not keep the next one from its turn.
    """
    from registration_pipeline.cli.progress import TerminalListener
    from registration_pipeline.orchestration.runs.instance import open_instance
    from registration_pipeline.orchestration.runs.launch import run_job
    from registration_pipeline.orchestration.runs.listener import listening
    from registration_pipeline.orchestration.runs.stale_runs import clearing_stale_runs

    errors: list[tuple[str, RegistrationPipelineError]] = []
    # The libraries stay for good: without looking at them each time, the garbage collector takes half a second of a quiet
    # night's sync and not one of its eight. Once, because what is frozen is never freed: garbage of earlier runs must be.
    if not gc.get_freeze_count():
        gc.freeze()
    with open_instance(project.settings, project.environ) as instance:
        for job in jobs:
            with (
                TerminalListener(quiet=quiet) as listener,
                listening(listener),
                clearing_stale_runs(instance, listener.notice),
            ):
                run_job(instance, job.job_name, job.run_config)
            if listener.error is not None:
                errors.append((job.source, listener.error))
    return errors


def exit_status(statuses: Sequence["SourceStatus"], errors: Sequence[tuple[str, RegistrationPipelineError]]) -> int:
    """Say what became of a run and return the status for it: the worst error, else whether anything is not registered."""
    bad = [status for status in statuses if status.failed or status.rejected]
    if bad:
        count = not_registered(sum(status.failed + status.rejected for status in bad))
        names = " ".join(status.source for status in bad)
        notice(f"{count}: `registration-pipeline failures {names}` says which and why.")
    for source, error in errors:
        notice(f"Error: {source}: {error}" if len(statuses) > 1 else f"Error: {error}")
    if errors:
        return max(error.exit_status for _, error in errors)
    return DONE_WITH_FAILURES if bad else DONE
