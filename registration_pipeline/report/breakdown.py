"""Counts the rows of a failure log by reason and by folder of the bucket, while they pass by on their way elsewhere.

Memory is bounded: a bucket may have a folder for each object. What does not belong here: which rows there are
(``tracking/failures``).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from registration_pipeline.objects import remedy_of
from registration_pipeline.report.data import FailureFigures, PrefixFigures, ReasonFigures
from registration_pipeline.tracking.failures.files import FailureTally

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from registration_pipeline.tracking.failures.files import FailureRow

WORST: Final = 10
"""Prefixes that a report shows."""

FIRST: Final = 10
"""Rows that a report shows."""

_DEPTH: Final = 3
"""Folders within one another that are tried, until one level has more than one folder with failures."""

_MOST_PREFIXES: Final = 20_000
"""Folders of a level that are counted at once: some ten megabytes."""


class FailureBreakdown:
    """Counts rows; ask ``figures`` when they have passed.

    Args:
        below_prefix: gives the path of a key below the source's own prefix.
        accepted: reasons of rejections that need no action.
        most_prefixes: folders of a level that are counted at once; beyond, the rare half is forgotten.
    """

    def __init__(
        self,
        below_prefix: Callable[[str], str] = str,
        accepted: Collection[str] = (),
        *,
        most_prefixes: int = _MOST_PREFIXES,
    ) -> None:
        self.tally = FailureTally(FIRST)
        """Counts by reason, and the first rows."""
        self._below_prefix, self._accepted = below_prefix, frozenset(accepted)
        self._rows, self._objects = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        self._levels = [_Level(most_prefixes) for _ in range(_DEPTH)]

    def watch(self, rows: Iterable[FailureRow]) -> Iterator[FailureRow]:
        """Pass the rows on."""
        for row in self.tally.watch(rows):
            self._rows[row.stage, row.reason] += 1
            self._objects[row.stage, row.reason] += row.objects
            self._place(row)
            yield row

    def _place(self, row: FailureRow) -> None:
        folders = self._below_prefix(row.key).split("/", _DEPTH)[:-1]
        for depth, level in enumerate(self._levels, start=1):
            level.add("".join(f"{folder}/" for folder in folders[:depth]), row)

    def figures(self) -> FailureFigures:
        """Return what was counted so far."""
        level = next((level for level in self._levels if len(level.rows) > 1), self._levels[0])
        return FailureFigures(
            rows=self.tally.rows,
            objects=self.tally.objects,
            reasons=tuple(
                ReasonFigures(
                    stage=stage,
                    reason=reason,
                    remedy=remedy_of(reason),
                    rows=self._rows[stage, reason],
                    objects=objects,
                    is_accepted=reason in self._accepted,
                )
                for (stage, reason), objects in sorted(self._objects.items(), key=lambda item: (-item[1], item[0]))
            ),
            prefixes=level.worst(),
            more_prefixes=max(0, len(level.rows) - WORST),
            is_exact=level.is_exact,
            first=tuple(self.tally.sample),
        )


class _Level:
    """Counts of the folders of one level."""

    def __init__(self, most: int) -> None:
        self._most, self.is_exact = most, True
        self.rows, self._objects = Counter[str](), Counter[str]()
        self._reasons: dict[str, Counter[str]] = {}

    def add(self, prefix: str, row: FailureRow) -> None:
        """Count a row."""
        if prefix not in self.rows and len(self.rows) >= self._most:
            self._forget()
        self.rows[prefix] += 1
        self._objects[prefix] += row.objects
        self._reasons.setdefault(prefix, Counter())[row.reason] += 1

    def worst(self) -> tuple[PrefixFigures, ...]:
        """Return the folders with the most objects, the most first."""
        ranked = sorted(self._objects.items(), key=lambda item: (-item[1], item[0]))[:WORST]
        return tuple(
            PrefixFigures(
                prefix=prefix,
                rows=self.rows[prefix],
                objects=objects,
                reason=min(self._reasons[prefix].items(), key=lambda item: (-item[1], item[0]))[0],
            )
            for prefix, objects in ranked
        )

    def _forget(self) -> None:
        """Forget the half with the fewest objects. Those that stay may be counted too low from now on, never too high."""
        self.is_exact = False
        kept = [prefix for prefix, _ in self._objects.most_common(self._most // 2)]
        self.rows = Counter({prefix: self.rows[prefix] for prefix in kept})
        self._objects = Counter({prefix: self._objects[prefix] for prefix in kept})
        self._reasons = {prefix: self._reasons[prefix] for prefix in kept}
