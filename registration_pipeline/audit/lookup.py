"""Finds the folders of items that the ledger names and no listed folder shows: asked of Encord in bulk, within a limit.

What does not belong here: what an answer means (``match.py``).

Encord refuses a whole batch when one item of it does not exist, and does not say which. So each batch is asked for once, and
only then the refused ones are halved, as long as the limit allows: batches that were moved together cost one request each,
however many items next to them were deleted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from registration_pipeline.audit.rows import Doubt

LOOKUP_BATCH: Final = 1_000
"""Items per request: what the SDK's bulk calls are documented for."""


@dataclass(frozen=True, slots=True)
class LookupResult:
    """What was found out about one recorded item.

    Args:
        folder: where it is; None: it does not exist, may not be seen, or was not looked up.
    """

    doubt: Doubt
    folder: str | None = None
    was_looked_up: bool = True


@dataclass(slots=True)
class Lookup:
    """Looks up items by their UUIDs.

    Args:
        ask: returns the folder of every item, or None when one of them does not exist or may not be seen.
        requests: how many may still be made.
        batch: items per request.
    """

    ask: Callable[[Sequence[str]], dict[str, str] | None]
    requests: int
    batch: int = LOOKUP_BATCH
    _refused: set[int] = field(default_factory=set)

    def look_up(self, doubts: Callable[[], Iterator[Doubt]]) -> Iterator[LookupResult]:
        """Yield what was found out about each doubt; ``doubts`` is read twice and never held as a whole."""
        for number, batch in enumerate(self._batches(doubts())):
            if not self.requests:
                yield from (LookupResult(doubt, was_looked_up=False) for doubt in batch)
                continue
            folders = self._ask(batch)
            if folders is None:
                self._refused.add(number)
            else:
                yield from _found(batch, folders)
        for number, batch in enumerate(self._batches(doubts())):
            if number in self._refused:
                yield from self._halve(batch)

    def _halve(self, batch: list[Doubt]) -> Iterator[LookupResult]:
        """Take a refused batch apart, large pieces first."""
        queue = deque(_pieces(batch))
        while queue:
            piece = queue.popleft()
            if not self.requests:
                yield from (LookupResult(doubt, was_looked_up=False) for doubt in piece)
                continue
            folders = self._ask(piece)
            if folders is not None:
                yield from _found(piece, folders)
            elif len(piece) == 1:
                yield self._confirm(piece[0])
            else:
                queue.extend(_pieces(piece))

    def _confirm(self, doubt: Doubt) -> LookupResult:
        """Ask for a single item once more: one refusal of a gateway in between must not make it missing."""
        if not self.requests:
            return LookupResult(doubt, was_looked_up=False)
        folders = self._ask([doubt])
        return LookupResult(doubt, folders.get(doubt.item_uuid) if folders else None)

    def _ask(self, piece: Sequence[Doubt]) -> dict[str, str] | None:
        self.requests -= 1
        return self.ask([doubt.item_uuid for doubt in piece])

    def _batches(self, doubts: Iterator[Doubt]) -> Iterator[list[Doubt]]:
        while batch := list(islice(doubts, self.batch)):
            yield batch


def _pieces(batch: list[Doubt]) -> list[list[Doubt]]:
    middle = (len(batch) + 1) // 2
    return [piece for piece in (batch[:middle], batch[middle:]) if piece]


def _found(batch: Sequence[Doubt], folders: dict[str, str]) -> Iterator[LookupResult]:
    return (LookupResult(doubt, folders.get(doubt.item_uuid)) for doubt in batch)
