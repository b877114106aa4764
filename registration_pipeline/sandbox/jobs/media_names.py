"""Which names of media metadata are read in the JSON form. Encord's pages print both casings and do not say.

What does not belong here: the names themselves, and checking their values (``manifests.py``).
"""

from __future__ import annotations

from enum import StrEnum


class MediaNames(StrEnum):
    """Which spelling is read; names in another are ignored without a word."""

    ANY = "any"
    """Both."""
    CAMEL = "camel"
    """camelCase: ``fileSize``."""
    SNAKE = "snake"
    """snake_case: ``file_size``."""
    NONE = "none"
    """None: the blocks of the JSON form are not read at all."""

    def reads(self, name: str) -> bool:
        """Return whether a name is read; one without a casing, as ``width``, is in both spellings."""
        if self is MediaNames.CAMEL:
            return "_" not in name
        if self is MediaNames.SNAKE:
            return name == name.lower()
        return self is MediaNames.ANY
