"""The lengths that texts of others are kept at.

What does not belong here: what the texts say, and which of them are secret.
"""

from __future__ import annotations

from typing import Final

FULL_TEXT: Final = 100_000
"""Characters of an error text in the outcomes, the one place that keeps it whole."""

SHORT_TEXT: Final = 1_000
"""Characters of an error text everywhere else: journal, failure log, status, Dagster and messages."""

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
