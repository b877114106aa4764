"""A start that may have happened: what is known of it, and when a refusal that anyone could have written is believed.

What does not belong here: waiting for quiet (``settle.py``), and the acts that follow (``chunk.py``). The
rule is decision 025.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.errors import HaltError, PayloadTooLargeError, PermanentError, ThrottledError

if TYPE_CHECKING:
    from registration_pipeline.tracking.journal.states import ChunkProgress, ChunkState

MOST_IN_A_ROW = 6
"""Starts of one chunk in doubt, one after the other, until the run halts."""

_CONFIRMATIONS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """One start of one chunk or part that may have happened.

    Args:
        attempt: of the chunk; with ``state`` it shows whether another process knows more by now.
        state: of the chunk.
        known_items: UUIDs of the chunk's items that were there before this start.
        refusal: what the reply means if Encord itself gave it.
        in_a_row: starts of this chunk in doubt one after the other, with this one.
        refused_in_a_row: how many of them were refused for a reason that lies outside the manifest.
    """

    attempt: int
    state: ChunkState
    known_items: frozenset[str] = frozenset()
    refusal: Exception | None = None
    in_a_row: int = 1
    refused_in_a_row: int = 0

    @property
    def concerns_all(self) -> bool:
        """Return whether other chunks would meet the same: key, permission, place or pace, as against the manifest."""
        return isinstance(self.refusal, HaltError | ThrottledError)

    def believes(self, items: frozenset[str]) -> Exception | None:
        """Return the refusal, if it is believed now that the folder was quiet and holds these items of the chunk.

        Nothing may have come of the start. One that would halt the run must have come twice: a gateway can be wrong for a
        moment. Being throttled is no verdict: the start is repeated.
        """
        if not items <= self.known_items:
            return None
        if isinstance(self.refusal, PermanentError | PayloadTooLargeError):
            return self.refusal
        is_confirmed = isinstance(self.refusal, HaltError) and self.refused_in_a_row >= _CONFIRMATIONS
        return self.refusal if is_confirmed else None


def next_doubt(
    before: Doubt | None, progress: ChunkProgress, *, known_items: frozenset[str], refusal: Exception | None
) -> Doubt:
    """Return the doubt about a chunk's newest start.

    Args:
        before: the one about its start before this one, if that was in doubt, too.
        progress: of the chunk now.
        known_items: see ``Doubt``.
        refusal: see ``Doubt``.
    """
    in_a_row, refused_in_a_row = (before.in_a_row, before.refused_in_a_row) if before else (0, 0)
    return Doubt(
        attempt=progress.attempt,
        state=progress.state,
        known_items=known_items,
        refusal=refusal,
        in_a_row=in_a_row + 1,
        refused_in_a_row=refused_in_a_row + 1 if isinstance(refusal, HaltError) else 0,
    )
