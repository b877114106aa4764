"""From our errors to Dagster's failures; who watches a run in this process is in ``project/listener.py``."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from registration_pipeline.errors import LeaseBusyError, RegistrationPipelineError
from registration_pipeline.foreign_text import kept_cause, masked, printable
from registration_pipeline.orchestration.runs.waits import is_launched
from registration_pipeline.project.listener import current_listener
from registration_pipeline.tracing import fail_run


@contextmanager
def errors_as_failures(*, hands_on: bool = False) -> Iterator[None]:
    """Turn our errors into a Dagster failure that says what to do and is not retried by Dagster.

    What else is raised is a bug, and Dagster keeps its text and those of its causes: secrets of others in them are masked.

    Args:
        hands_on: the caller hands on a launched run that has waited too long for another process, so that is not a failure.
    """
    try:
        yield
    except RegistrationPipelineError as error:
        if hands_on and isinstance(error, LeaseBusyError) and is_launched():
            raise
        raise stopping_failure(error) from kept_cause(error)
    except Exception as error:
        if kept_cause(error) is not None:
            raise
        text = f"{type(error).__name__}: {masked(str(error))}"
        raise RuntimeError(text).with_traceback(error.__traceback__) from None


def stopping_failure(error: RegistrationPipelineError) -> dg.Failure:
    """Return the failure of a run that an error of ours stops, and let who watches the run know of it."""
    current_listener().stopped(error)
    fail_run(error)
    failure = dg.Failure(
        description=printable(masked(str(error))),
        metadata={"error": type(error).__name__, "exit_status": error.exit_status},
        allow_retries=False,
    )
    failure.__cause__ = kept_cause(error)  # also where it is raised later
    return failure
