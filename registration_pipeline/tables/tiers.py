"""When sorted files of growing age are merged into one, so that they stay few and no row is copied often.

What does not belong here: merging them (``sorted_merge.py``) and what they hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def runs_to_merge(rows: Sequence[int], *, small: int) -> int:
    """Return how many of the last runs become one; 1 or less: none do.

    A run is merged with all behind it if together they are small, or if those behind it have more than half its rows: so it
    grows by half at least, and there are no more runs than doublings from ``small`` on.

    Args:
        rows: of each run, the oldest first.
        small: this many rows may be copied every time.
    """
    count, total = min(len(rows), 1), sum(rows[-1:])
    while count < len(rows):
        older = rows[-count - 1]
        if older >= 2 * total and older + total > small:
            break
        count, total = count + 1, total + older
    return count
