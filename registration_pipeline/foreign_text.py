"""Texts that others wrote: object names, replies of Encord and of stores, errors of libraries.

What belongs here: masking the secrets in them before they are kept or shown, and spelling out what a terminal would obey.
What does not belong here: what the texts mean, and how long they may be.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text with control characters spelled out: keys are opaque, and a terminal would obey them.

    Among them are DEL, the second set of controls (U+0080 to U+009F) and the marks that turn the direction of text.
    Line ends stay.
    """
    return "".join(
        char if char == "\n" or char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
