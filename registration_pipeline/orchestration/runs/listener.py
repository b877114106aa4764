"""Who watches a run that goes on in this process: the command line's progress bars, or no one.

Dagster carries events to its own log; this carries progress and the one error that ended a run to the command that started it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

import dagster as dg

from registration_pipeline.errors import RegistrationPipelineError
from registration_pipeline.foreign_text import kept_cause, masked, printable
from registration_pipeline.tracing import fail_run

if TYPE_CHECKING:
    from registration_pipeline.audit.report import AuditReport
    from registration_pipeline.submission.result import ChunkResult
    from registration_pipeline.tracking.status import SourceStatus


class RunListener(Protocol):
    """Called with what happens while it happens; must return quickly."""

    def stage_started(self, source: str, stage: str, total: int | None, *, unit: str = "chunk") -> None:
        """Say that a stage begins; ``total`` counts ``unit``s, None when unknown."""

    def advanced(self, done: int, detail: str = "") -> None:
        """Say how far the stage is, in all, and perhaps in words."""

    def chunk_concluded(self, source: str, result: "ChunkResult") -> None:
        """Say that a chunk has its verdict."""

    def counted(self, status: "SourceStatus") -> None:
        """Say how many objects of the source are in each state at the end of the run."""

    def audited(self, report: "AuditReport") -> None:
        """Give the report of an audit that has ended."""

    def notice(self, text: str) -> None:
        """Say something that a person should know now."""

    def stopped(self, error: RegistrationPipelineError) -> None:
        """Say which error ended the run."""


class SilentListener:
    """No one watches: the run's own log has everything."""

    def stage_started(self, source: str, stage: str, total: int | None, *, unit: str = "chunk") -> None:
        """See ``RunListener``."""

    def advanced(self, done: int, detail: str = "") -> None:
        """See ``RunListener``."""

    def chunk_concluded(self, source: str, result: "ChunkResult") -> None:
        """See ``RunListener``."""

    def counted(self, status: "SourceStatus") -> None:
        """See ``RunListener``."""

    def audited(self, report: "AuditReport") -> None:
        """See ``RunListener``."""

    def notice(self, text: str) -> None:
        """See ``RunListener``."""

    def stopped(self, error: RegistrationPipelineError) -> None:
        """See ``RunListener``."""


_LISTENER: ContextVar[RunListener] = ContextVar("listener", default=SilentListener())  # noqa: B039 - it has no state


def current_listener() -> RunListener:
    """Return who watches."""
    return _LISTENER.get()


def notice_and_log(log: Callable[[str], None]) -> Callable[[str], None]:
    """Return a callback that gives a sentence to the listener and to the run's own log."""
    listener = current_listener()

    def notify(text: str) -> None:
        listener.notice(text)
        log(printable(text))  # Dagster's logs reach terminals, too

    return notify


@contextmanager
def listening(listener: RunListener) -> Iterator[None]:
    """Let ``listener`` watch the runs inside the block."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@contextmanager
def errors_as_failures() -> Iterator[None]:
    """Turn our errors into a Dagster failure that says what to do and is not retried by Dagster.

    What else is raised is a bug, and Dagster keeps its text and those of its causes: secrets of others in them are masked.
    """
    try:
        yield
    except RegistrationPipelineError as error:
        current_listener().stopped(error)
        fail_run(error)
        raise dg.Failure(
            description=printable(masked(str(error))),
            metadata={"error": type(error).__name__, "exit_status": error.exit_status},
            allow_retries=False,
        ) from kept_cause(error)
    except Exception as error:
        if kept_cause(error) is not None:
            raise
        text = f"{type(error).__name__}: {masked(str(error))}"
        raise RuntimeError(text).with_traceback(error.__traceback__) from None
