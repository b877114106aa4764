"""How far a call of ``Pipeline`` is, for a callback of its user. Only passing it on belongs here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from registration_pipeline.project.listener import SilentListener

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.submission.result import ChunkResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a stage is.

    Args:
        source: its name.
        stage: ``inventory``, ``headers``, ``media``, ``metadata``, ``plan``, ``registration``, ``upserts``, ``dataset``,
            ``failure log``, or ``audit: …``.
        done: how many of ``total`` are done; 0 when the stage begins.
        total: of the stage, in ``unit``; None: it is not known. Of an inventory it is the number of the one before.
        unit: what is counted: ``chunk``, ``unit``, ``expected object``.
        detail: the same in words, e.g. objects and requests per second; may be empty.
        failed_chunk: the id of a chunk with failures that has its verdict now; else None.
    """

    source: str
    stage: str
    done: int = 0
    total: int | None = None
    unit: str = "chunk"
    detail: str = ""
    failed_chunk: str | None = None


class ProgressListener(SilentListener):
    """Passes the progress of stages on to a callback.

    Args:
        report: takes it; must return quickly. An exception of it ends the call.
    """

    def __init__(self, report: Callable[[Progress], None]) -> None:
        self._report = report
        self._now = Progress(source="", stage="")

    def stage_started(self, source: str, stage: str, total: int | None, *, unit: str = "chunk") -> None:
        """See ``RunListener``."""
        self._now = Progress(source=source, stage=stage, total=total, unit=unit)
        self._report(self._now)

    def advanced(self, done: int, detail: str = "") -> None:
        """See ``RunListener``."""
        self._now = replace(self._now, done=done, detail=detail)
        self._report(self._now)

    def chunk_concluded(self, source: str, result: ChunkResult) -> None:  # noqa: ARG002 - the protocol's signature
        """See ``RunListener``."""
        if result.has_failures:
            self._report(replace(self._now, failed_chunk=result.chunk.chunk_id))
