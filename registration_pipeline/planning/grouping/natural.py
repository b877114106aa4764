"""The order of objects in a unit, as text: a sort compares bytes and needs to know neither numbers nor rules.

What does not belong here: which objects are in a unit (``rules.py``), and sorting.
"""

from __future__ import annotations

import re
from typing import Final

_DIGITS: Final = re.compile("[0-9]+")
_PER_DIGIT: Final = 9
"""The length of a number is written in digits of which each but the last is a 9, so that longer ones sort behind."""
_LENGTHS: Final = tuple("9" * (length // _PER_DIGIT) + str(length % _PER_DIGIT) for length in range(4097))


def natural(text: str) -> str:
    """Return text that sorts bytewise as the given one does naturally: ``2.png`` before ``10.png``.

    Every run of ASCII digits is compared as a number, of any length; leading zeros do not count. Digits of other scripts are
    characters as all others, which are compared by code point. Texts that differ in leading zeros alone give the same.
    """
    return _DIGITS.sub(_comparable, text)


def comparable_number(digits: str) -> str:
    """Return text that sorts bytewise as a number does.

    Args:
        digits: ASCII digits, one or more; leading zeros do not count.
    """
    significant = digits.lstrip("0")
    length = len(significant)
    if length < len(_LENGTHS):
        return _LENGTHS[length] + significant
    return "9" * (length // _PER_DIGIT) + str(length % _PER_DIGIT) + significant


def _comparable(run: re.Match[str]) -> str:
    return comparable_number(run[0])
