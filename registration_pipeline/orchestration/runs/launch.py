"""Runs a source's job in this process, as a run that the UI shows like any other.

Not ``execute_in_process``: its runs belong to no code location, so the UI can't re-execute them
(docs/decisions/004-dagster-shell.md).
"""

import gc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from registration_pipeline.errors import LeaseBusyError
from registration_pipeline.orchestration.names import CODE_LOCATION, DEFINITIONS_MODULE
from registration_pipeline.orchestration.private_dagster import (
    IJob,
    InMemoryJob,
    LoadableTargetOrigin,
    ManagedGrpcPythonEnvCodeLocationOrigin,
    ModuleCodePointer,
    ReconstructableJob,
    ReconstructableRepository,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
    execute_run_iterator,
    make_new_run_id,
)
from registration_pipeline.orchestration.runs.interrupted import InterruptibleRun, interruptible
from registration_pipeline.orchestration.runs.pool_waits import while_pool_is_waited_for
from registration_pipeline.orchestration.runs.processes import worker_tag
from registration_pipeline.orchestration.runs.waits import run_of_a_command

# The run's own log keeps everything; the terminal belongs to the command.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_INTERRUPTED = "DagsterExecutionInterruptedError"


class RunCrashedError(Exception):
    """A bug: a step ended with an exception that is not ours. The second argument is the traceback inside the run."""


def run_job(
    instance: dg.DagsterInstance,
    job_name: str,
    run_config: Mapping[str, Any] | None = None,
    *,
    longest_wait: float | None = None,
) -> bool:
    """Execute a job of the code location here and return whether it succeeded.

    A run that ends because of our own errors, or because chunks failed, is passed to the listener and returns False.

    Args:
        instance: Dagster's.
        job_name: of the code location.
        run_config: None: that of the job.
        longest_wait: seconds that it may wait for its turn; None: until it comes.

    Raises:
        KeyboardInterrupt: the run was interrupted; it is canceled and its slot is free.
        LeaseBusyError: it has waited for a slot of its pool for ``longest_wait``; it is canceled.
        RunCrashedError: something unforeseen went wrong inside the run.
    """
    job = _reconstructable(job_name)
    definition = job.get_definition()
    run_id = make_new_run_id()
    with interruptible(instance, run_id) as interruptible_run:
        run = instance.create_run_for_job(
            run_id=run_id,
            job_def=definition,
            run_config={**(run_config or _preset(definition)), **_QUIET},
            tags={**definition.run_tags, **worker_tag(run_id)},
            remote_job_origin=remote_origin(job_name),
            job_code_origin=job.get_python_origin(),
        )
        # Not ``execute_run``, which keeps every event until the end: two and their tables for each chunk.
        events = execute_run_iterator(_here(job, definition), run, instance)
        watched = while_pool_is_waited_for(events, instance, run_id, longest_wait)
        with run_of_a_command(longest_wait):
            try:
                found = list(_errors(watched, instance, interruptible_run))
            except LeaseBusyError as busy:
                interruptible_run.mark(instance, str(busy))  # before Dagster decides how the run ends
                events.close()  # type: ignore[attr-defined]  # it is a generator
                raise
            _raise_unforeseen(found, run_id)
    ended = instance.get_run_by_id(run_id)
    return ended is not None and ended.is_success


def _errors(
    events: Iterator[dg.DagsterEvent], instance: dg.DagsterInstance, run: InterruptibleRun
) -> Iterator[tuple[dg.DagsterEvent, Any]]:
    """Execute the run and yield its events that have an error, each with that."""
    for event in events:
        error = getattr(event.event_specific_data, "error", None)
        if error is None:
            continue
        if error.cls_name == _INTERRUPTED:
            run.mark(instance)  # at the step's event, before Dagster decides how the run ends
        yield event, error


def _raise_unforeseen(found: list[tuple[dg.DagsterEvent, Any]], run_id: str) -> None:
    """Dagster keeps every exception of a step to itself; give back the two kinds that a command must not pass over."""
    for event, error in found:
        if error.cls_name == _INTERRUPTED:
            # Dagster keeps the interruption in a cycle with the step, whose generator may wait at a ``yield`` with threads of
            # the submission below it: they end when it is closed, and else never.
            gc.collect()
            raise KeyboardInterrupt
        if event.is_step_failure and event.step_failure_data.user_failure_data is None:
            cause = error
            while cause.cause is not None:
                cause = cause.cause
            raise RunCrashedError(f"{cause.message.strip()} (run {run_id})", "".join(cause.stack))
    has_failed_step = any(event.is_step_failure for event, _ in found)
    for event, error in found:
        if event.event_type is dg.DagsterEventType.RUN_FAILURE and not has_failed_step:
            # The run itself could not be executed, for example because the database was locked: nothing else says so.
            raise RunCrashedError(f"{error.message.strip()} (run {run_id})", "".join(error.stack))


def _preset(definition: dg.JobDefinition) -> Mapping[str, Any]:
    return definition.run_config or {}


def _here(job: ReconstructableJob, definition: dg.JobDefinition) -> IJob:
    """Return the job with its steps in this process, whatever ``executor`` says: a command's listener hears of no others."""
    if definition.executor_def is dg.in_process_executor:
        return job
    return InMemoryJob(definition.with_executor_def(dg.in_process_executor))


def _reconstructable(job_name: str) -> ReconstructableJob:
    pointer = ModuleCodePointer(DEFINITIONS_MODULE, "defs", str(Path.cwd()))
    return ReconstructableRepository(pointer, executable_path=None, entry_point=None).get_reconstructable_job(job_name)


def remote_origin(job_name: str) -> RemoteJobOrigin:
    """Return where the UI finds a job of the code location again."""
    location = ManagedGrpcPythonEnvCodeLocationOrigin(
        LoadableTargetOrigin(module_name=DEFINITIONS_MODULE, working_directory=str(Path.cwd())),
        location_name=CODE_LOCATION,
    )
    repository = RemoteRepositoryOrigin(code_location_origin=location, repository_name="__repository__")
    return RemoteJobOrigin(repository_origin=repository, job_name=job_name)
