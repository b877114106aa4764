"""What can happen to a source that people should know of, as values.

What does not belong here: whether it is new (``rules.py``), and what is said of it (``document.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from registration_pipeline.tracking.failures.files import FailureRow

_LONGEST_TROUBLE: Final = 300
_CHANGING: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|0x[0-9a-f]+|[0-9]+(?:[.,:][0-9]+)*", re.IGNORECASE)
"""What differs from night to night in the text of the same error: ids, addresses in memory, numbers and times."""


class IncidentKind(StrEnum):
    """What happened. The values are those of ``kind`` in messages, but for ``ENDED``, which becomes one of two others."""

    ENDED = "ended"
    """A run came to its end: it becomes ``FAILED``, ``RECOVERED`` or no message."""
    FAILED = "failed"
    HALTED = "halted"
    KILLED = "killed"
    MISSED = "missed"
    STALE = "stale"
    RECOVERED = "recovered"
    TEST = "test"
    """A person tries the channels."""


ABOUT_LISTING: Final = frozenset({IncidentKind.MISSED, IncidentKind.STALE})
"""Troubles that only a run that listed the bucket ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that happened to a source.

    Args:
        source: its name.
        kind: ``ENDED``, ``HALTED``, ``KILLED``, ``MISSED`` or ``STALE``.
        at: when; aware.
        run_id: the run, if there is one. A run leads to one message at most.
        run_url: where a browser shows it.
        error: what ended it, for ``HALTED`` and ``KILLED``; secrets are masked by the caller or before.
        due_at: when the run was due, for ``MISSED``.
        last_sync_at: when the source was synced last, for ``STALE``; None: never.
        counts: gives objects by state at the end, as ``SourceStatus.as_json`` names them; asked once there is a message.
        failures: gives every row that is not registered, in the same order each time; for ``ENDED``. None: it is not known.
        failure_log: gives where the failures are listed, a path or a URL, for the first new one of them; asked likewise.
        report: gives where the report of the source is, a path or a URL; asked likewise.
        has_listed: whether the run listed the bucket. One that only submits does not end a missed night.
    """

    source: str
    kind: IncidentKind
    at: datetime
    run_id: str | None = None
    run_url: str | None = None
    error: str | None = None
    due_at: datetime | None = None
    last_sync_at: datetime | None = None
    counts: Callable[[], Mapping[str, Any]] | None = None
    failures: Callable[[], Iterable[FailureRow]] | None = None
    failure_log: Callable[[FailureRow | None], str | None] | None = None
    report: Callable[[], str | None] | None = None
    has_listed: bool = True

    @property
    def trouble(self) -> str:
        """What makes this the same trouble as that of another night: the kind, and the error without its numbers."""
        return f"{self.kind.value}:{_CHANGING.sub('#', self.error or '')[:_LONGEST_TROUBLE]}"


def kind_of(trouble: str) -> IncidentKind:
    """Return the kind of a trouble."""
    return IncidentKind(trouble.partition(":")[0])
