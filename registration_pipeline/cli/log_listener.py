"""A run as log lines on standard error (``--log-format json``): stages, verdicts of chunks, notices, and how far it is.

What does not belong here: the form of a line (``modes.py``), and the errors that end a command (``errors.py``).
"""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from registration_pipeline.cli.modes import log_line
from registration_pipeline.cli.progress import TerminalListener
from registration_pipeline.counted import counted

if TYPE_CHECKING:
    from registration_pipeline.submission.result import ChunkResult

_SECONDS_BETWEEN = 10.0


class LogListener(TerminalListener):
    """Writes a line for everything that happens, and one for progress every ten seconds.

    Args:
        monotonic: seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(quiet=True)
        self._monotonic = monotonic
        self._source: str | None = None
        self._stage: str | None = None
        self._total: int | None = None
        self._unit = "chunk"
        self._said_at = monotonic()

    def stage_started(self, source: str, stage: str, total: int | None, *, unit: str = "chunk") -> None:
        """See ``RunListener``."""
        self._source, self._stage, self._total, self._unit = source, stage, total, unit
        self._said_at = self._monotonic()
        of = f", {counted(total, unit)}" if total is not None else ""
        self._line(f"{stage} started{of}", done=0)

    def advanced(self, done: int, detail: str = "") -> None:
        """See ``RunListener``."""
        if self._monotonic() - self._said_at < _SECONDS_BETWEEN:
            return
        self._said_at = self._monotonic()
        self._line(detail or f"{self._stage}: {counted(done, self._unit)}", done=done)

    def chunk_concluded(self, source: str, result: "ChunkResult") -> None:
        """See ``RunListener``."""
        if not result.is_new:
            return
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(result.reasons.items()))
        failed = f", {counted(result.failed_units, 'unit')} failed ({reasons})" if result.has_failures else ""
        self._line(
            f"chunk {result.chunk.chunk_id}: {counted(result.registered_units, 'unit')} registered{failed}",
            "warning" if result.has_failures else "info",
            source=source,
            chunk=result.chunk.chunk_id,
            attempt=result.attempt,
            job_id=result.job_id,
        )

    def notice(self, text: str, level: str | None = None) -> None:
        """See ``RunListener``."""
        self._line(text, level)

    def _line(self, message: str, level: str | None = None, **fields: object) -> None:
        known = {"source": self._source, "stage": self._stage, "total": self._total}
        sys.stderr.write(log_line(message, level, **(known | fields)))
