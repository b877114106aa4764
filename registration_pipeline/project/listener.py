"""Who watches the stages that go on in this process: progress bars, a callback of ``Pipeline``, or no one.

What does not belong here: what a stage does, and what Dagster keeps of a run.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from registration_pipeline.errors import RegistrationPipelineError
from registration_pipeline.foreign_text import printable

if TYPE_CHECKING:
    from registration_pipeline.audit.report import AuditReport
    from registration_pipeline.facts.reading.reading import ReadingProgress
    from registration_pipeline.inventory.progress import ListingProgress
    from registration_pipeline.submission.result import ChunkResult
    from registration_pipeline.tracking.status import SourceStatus


Log = Callable[[str], None]
"""Takes a line for the log of a run."""

_LOG_SECONDS = 30.0


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

    def notice(self, text: str, level: str | None = None) -> None:
        """Say something that a person should know now; the level is that of a log line: ``info`` unless it is given."""

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

    def notice(self, text: str, level: str | None = None) -> None:
        """See ``RunListener``."""

    def stopped(self, error: RegistrationPipelineError) -> None:
        """See ``RunListener``."""


_LISTENER: ContextVar[RunListener] = ContextVar("listener", default=SilentListener())  # noqa: B039 - it has no state


def current_listener() -> RunListener:
    """Return who watches."""
    return _LISTENER.get()


def notice_and_log(log: Callable[[str], None], level: str | None = None) -> Callable[[str], None]:
    """Return a callback that gives a sentence to the listener, with a level, and to the run's own log."""
    listener = current_listener()

    def notify(text: str) -> None:
        listener.notice(text, level)
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


class ProgressReporter:
    """Reports how far a listing, or the reading of facts, is to the listener, and to the run's log now and then.

    Args:
        log: takes a line.
        monotonic: seconds that never go back.
    """

    def __init__(self, log: Log, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log, self._monotonic = log, monotonic
        self._logged = monotonic()

    def __call__(self, progress: "ListingProgress | ReadingProgress") -> None:
        """Take what it says of itself."""
        current_listener().advanced(progress.objects, str(progress))
        if self._monotonic() - self._logged >= _LOG_SECONDS:
            self._logged = self._monotonic()
            self._log(str(progress))
