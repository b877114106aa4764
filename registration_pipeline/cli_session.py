"""What every command does around its own work: the configuration, running jobs, and the exit status.

Options and help texts are in ``cli.py``; what is printed is in ``cli_output.py``.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registration_pipeline.cli_output import notice
from registration_pipeline.errors import RegistrationPipelineError
from registration_pipeline.orchestration.project import Project

if TYPE_CHECKING:
    from registration_pipeline.tracking.status import SourceStatus

DONE = 0
DONE_WITH_FAILURES = 3
HALTED = 4


def open_project(config: Path | None) -> Project:
    """Load the configuration, and let the code location of this process see the same file."""
    project = Project.load(config)
    os.environ["REGISTRATION_CONFIG"] = str(project.settings.path)
    return project


def run_jobs(
    project: Project, jobs: Sequence[tuple[str, Mapping[str, Any] | None]], *, quiet: bool
) -> list[RegistrationPipelineError]:
    """Run jobs one after the other and return the errors that ended any of them.

    A source that halts does not keep the next one from its turn.
    """
    from registration_pipeline.cli_progress import TerminalListener
    from registration_pipeline.orchestration.instance import open_instance
    from registration_pipeline.orchestration.launch import run_job
    from registration_pipeline.orchestration.listener import listening
    from registration_pipeline.orchestration.stale_runs import clearing_stale_runs

    errors: list[RegistrationPipelineError] = []
    with open_instance(project.settings, project.environ) as instance, clearing_stale_runs(instance) as cleared:
        for one in cleared:
            notice(f"cleared run {one.run_id} of {one.job_name}: {one.why}; its chunks are resumed")
        for job_name, run_config in jobs:
            with TerminalListener(quiet=quiet) as listener, listening(listener):
                run_job(instance, job_name, run_config)
            if listener.error is not None:
                errors.append(listener.error)
    return errors


def exit_status(statuses: Sequence["SourceStatus"], errors: Sequence[RegistrationPipelineError]) -> int:
    """Say what became of a run: the worst error, else whether anything is not registered."""
    for error in errors:
        notice(f"Error: {error}")
    if errors:
        return max(error.exit_status for error in errors)
    return DONE_WITH_FAILURES if any(status.failed or status.rejected for status in statuses) else DONE
