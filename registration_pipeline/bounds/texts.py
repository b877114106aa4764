"""The lengths that texts of others are kept at.

What does not belong here: what the texts say, and which of them are secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

FULL_TEXT: Final = 100_000
"""Characters of an error text in the outcomes, the one place that keeps it whole."""

SHORT_TEXT: Final = 1_000
"""Characters of an error text everywhere else: journal, failure log, status, Dagster and messages."""

MOST_READ: Final = 4 * FULL_TEXT
"""Characters of a foreign text that are read at all, before anything else is done with it."""

_SHARE_OF_THE_BEGINNING: Final = 0.7


def shortened(text: str, most: int = SHORT_TEXT) -> str:
    """Return the text, or its beginning and end with the number of characters that are left out between them.

    Args:
        text: any text.
        most: characters of the result, at most; at least 60.
    """
    if len(text) <= most:
        return text
    # As if all of it were left out, so that the note is never longer than the room for it.
    note = f" … ({len(text):,} characters left out) … "
    room = most - len(note)
    begin = int(room * _SHARE_OF_THE_BEGINNING)
    end = room - begin
    note = f" … ({len(text) - room:,} characters left out) … "
    return f"{text[:begin]}{note}{text[len(text) - end :]}"


def shortened_again(texts: Sequence[str | None]) -> list[str | None]:
    """Return the texts with each long one whole only where it comes first: rows of one unit, or of one error, share theirs."""
    seen: set[str] = set()
    kept: list[str | None] = []
    for text in texts:
        if text is not None and len(text) > SHORT_TEXT:
            kept.append(shortened(text) if text in seen else text)
            seen.add(text)
        else:
            kept.append(text)
    return kept


class TextBudget:
    """What all long texts of one reply may be together; those that no longer fit are shortened.

    Args:
        characters: of the long ones.
    """

    def __init__(self, characters: int = 10_000_000) -> None:
        self._left = characters

    def take(self, text: str) -> str:
        """Return the text, whole if there is room for it."""
        if len(text) <= SHORT_TEXT:
            return text
        if len(text) > self._left:
            return shortened(text)
        self._left -= len(text)
        return text
