"""Numbers with their nouns: one unit, two units. Only that belongs here."""

from typing import Final

_PLURALS: Final = {"inventory": "inventories"}


def counted(count: int, noun: str) -> str:
    """Return a number and its noun, e.g. ``1 unit`` or ``2,000 units``.

    Args:
        count: how many.
        noun: in the singular; only its last word changes.
    """
    before, space, last = noun.rpartition(" ")
    return f"{count:,} {noun if count == 1 else before + space + _PLURALS.get(last, f'{last}s')}"
