"""Where each chunk stood when this process last folded its journal, so that the stages of a run do not all read it again.

Entries are never changed, so a chunk with the same entries stands where it stood: the state is listed every time, and only
what is new is read. What does not belong here: reading and folding (``journal.py``, ``states.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.journal.states import ChunkProgress


class FoldedChunk(NamedTuple):
    """A chunk's journal, folded.

    Args:
        names: the base names of its entries.
        progress: what they come to.
        summary: the name of the summary that holds just these entries; None: no summary did.
    """

    names: tuple[str, ...]
    progress: ChunkProgress
    summary: str | None

    def is_in(self, summary: str | None) -> bool:
        """Tell whether it was read from this summary."""
        return self.summary is not None and self.summary == summary


_FOLDED: WeakKeyDictionary[StateStore, dict[str, dict[str, FoldedChunk]]] = WeakKeyDictionary()


def folded_chunks(store: StateStore, source: str) -> dict[str, FoldedChunk]:
    """Return what is remembered of a source, by chunk id, as long as ``store`` lives. The caller keeps it up to date."""
    return _FOLDED.setdefault(store, {}).setdefault(source, {})
