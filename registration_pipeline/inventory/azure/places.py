"""Azure's order of names as an order of texts: a name's place is the name with its UTF-16 code units for characters.

Python compares texts by code points, and a code unit is one here: characters beyond U+FFFF are two, which come before U+E000.
So ranges can be listed and split by places, whatever the names. What does not belong here: turning Azure's order into that of
an inventory (``order.py``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from registration_pipeline.inventory.ranges.key_space import KeySpace

if TYPE_CHECKING:
    import pyarrow as pa

_WIDE = re.compile("[\U00010000-\U0010ffff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_UNPAIRED = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|[\U00010000-\U0010ffff]")
_BEYOND_UNITS = re.compile("[\U00010000-\U0010ffff]")
_SURROGATES, _TRAILING, _BITS = 0xD800, 0xDC00, 10
_WIDE_BYTE = re.compile(b"[\xf0-\xf4]")
_OTHER_ORDER = re.compile("[\ud800-\U0010ffff]")

BEYOND = "\U0010ffff"
"""As a place: after all names that begin with what is before it."""


def place_of(key: str) -> str:
    """Return a key's place in Azure's order."""
    return key if key.isascii() else _WIDE.sub(_pair_of, key)


def key_at(place: str) -> str:
    """Return the key of a place, in which surrogates are paired."""
    return place if place.isascii() else _PAIR.sub(_character_of, place)


def askable(place: str) -> str:
    """Return the place of a name near a text that may not be one: without half a character, and with no unit that is none."""
    if place.isascii():
        return place
    place = _BEYOND_UNITS.sub("\uffff", place)
    found = _UNPAIRED.search(place)
    return place if found is None else place[: found.start()]


def same_in_both(key: str) -> str:
    """Return a beginning of a key, or of a place, that is at the same place among all keys in UTF-16 and in UTF-8."""
    found = _OTHER_ORDER.search(key)
    return key if found is None else key[: found.start()]


def has_wide(batch: pa.RecordBatch) -> bool:
    """Return whether a key has a character beyond U+FFFF; without any, both orders are the same."""
    _, _, data = batch.column("key").buffers()
    return data is not None and _WIDE_BYTE.search(memoryview(data)) is not None


class UnitKeySpace(KeySpace):
    """A ``KeySpace`` of places, whose guesses are places of keys."""

    def middle(self, low: str, high: str | None, *, in_folder: bool = False) -> str | None:
        """See ``KeySpace.middle``; a guess ends before half a character."""
        guess = super().middle(low, high, in_folder=in_folder)
        if guess is None or (found := _UNPAIRED.search(guess)) is None:
            return guess
        guess = guess[: found.start()]
        return guess if low < guess and (high is None or guess < high) else None


def _pair_of(found: re.Match[str]) -> str:
    offset = ord(found[0]) - 0x10000
    return chr(_SURROGATES + (offset >> _BITS)) + chr(_TRAILING + (offset & ((1 << _BITS) - 1)))


def _character_of(found: re.Match[str]) -> str:
    first, second = map(ord, found[0])
    return chr(0x10000 + ((first - _SURROGATES) << _BITS) + second - _TRAILING)
