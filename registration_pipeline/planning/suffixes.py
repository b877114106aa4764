"""Counts objects by suffix, for those that no rule and no table gives a kind: a wrong rule shows at once.

What does not belong here: which suffix an object has (``kinds.py``).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from registration_pipeline.planning.kinds import suffix_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REST: Final = "…"
"""Stands for all suffixes that are not kept."""

_MOST_KEPT: Final = 50
_MOST_COUNTED: Final = 1_000
"""Different suffixes in memory; later ones join the rest. Names with a number behind a dot may give millions."""
_MOST_CHARACTERS: Final = 16
"""A longer one is the end of a sentence with a dot in it rather than a suffix."""


class SuffixCounts:
    """Objects by suffix, in bounded memory; the same for the same objects in the same order."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, keys: Iterable[str]) -> None:
        """Count objects by the suffixes of their keys."""
        counts = self._counts
        for suffix, objects in Counter(map(suffix_of, keys)).items():
            is_kept = suffix in counts or (len(counts) < _MOST_COUNTED and len(suffix) <= _MOST_CHARACTERS)
            counts[suffix if is_kept else REST] += objects

    def result(self) -> Mapping[str, int]:
        """Return suffix -> objects, the most frequent first: at most 50, and all others as ``…``.

        A key without suffix counts as ``""``.
        """
        ranked = sorted(self._counts.items(), key=lambda item: (item[0] == REST, -item[1], item[0]))
        kept = [item for item in ranked[:_MOST_KEPT] if item[0] != REST]
        rest = self._counts.total() - sum(objects for _, objects in kept)
        return dict(kept) | ({REST: rest} if rest else {})
