"""Which chunks a view may leave out because they are finished for long; the state keeps all of them.

Only this rule belongs here. What is done with a view is the shell's (``orchestration/partitions.py``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from registration_pipeline.tracking.journal.states import ChunkState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from registration_pipeline.tracking.status import ChunkStatus


def archived_chunks(statuses: Mapping[str, ChunkStatus], *, keep_days: int | None, now: datetime) -> frozenset[str]:
    """Return the chunks all of whose objects are registered, by a verdict that is older than ``keep_days``.

    A chunk that is sent again is not among them from the moment at which that is intended.

    Args:
        statuses: every chunk of the source.
        keep_days: the source's ``keep_partitions_days``; None: all are kept.
        now: aware.
    """
    if keep_days is None:
        return frozenset()
    oldest = now - timedelta(days=keep_days)
    return frozenset(chunk_id for chunk_id, status in statuses.items() if _finished_before(status, oldest))


def _finished_before(status: ChunkStatus, oldest: datetime) -> bool:
    progress = status.progress
    return progress.state is ChunkState.SUCCEEDED and progress.verdict is not None and progress.verdict.at < oldest
