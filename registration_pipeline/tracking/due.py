"""Which chunks a command or a run means: those that are due, those that failed, or those that were named.

Only choosing belongs here; where a chunk stands comes from ``status.py``.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from registration_pipeline.errors import UsageError
from registration_pipeline.tracking.states import ChunkState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.tracking.status import ChunkStatus

FAILED_STATES = frozenset({ChunkState.PARTIALLY_FAILED, ChunkState.FAILED})


def due_chunks(statuses: Mapping[str, ChunkStatus]) -> list[PlannedChunk]:
    """Return the chunks that have no verdict yet, or whose newest attempt was not concluded."""
    return [status.chunk for status in statuses.values() if not status.progress.state.is_concluded]


def failed_chunks(statuses: Mapping[str, ChunkStatus]) -> list[PlannedChunk]:
    """Return the concluded chunks that have objects which are not registered."""
    return [status.chunk for status in statuses.values() if status.progress.state in FAILED_STATES]


def named_chunks(source: str, statuses: Mapping[str, ChunkStatus], chunk_ids: Sequence[str]) -> list[PlannedChunk]:
    """Return the chunks of these ids.

    Raises:
        UsageError: an id that was never planned.
    """
    for chunk_id in chunk_ids:
        if chunk_id not in statuses:
            near = difflib.get_close_matches(chunk_id, statuses, n=1)
            meant = f" Did you mean {near[0]}?" if near else " `registration-pipeline plan` makes chunks."
            raise UsageError(f"Source {source!r} has no chunk {chunk_id!r}.{meant}")
    return [statuses[chunk_id].chunk for chunk_id in dict.fromkeys(chunk_ids)]
