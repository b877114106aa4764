"""Adds up what a person should know of the members of a plan: rules that miss, units that wait, units with something odd.

What does not belong here: the verdicts (``judge.py``), and what is odd about a single unit (``oddities.py``).

Whatever concerns many objects or units is one line with their number and the first of them, and comes before the lines about
single units, of which there may be more than are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registration_pipeline.counted import counted
from registration_pipeline.planning.grouping.judge import Wait
from registration_pipeline.planning.warnings import Noted, PlanWarnings, WarningList

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Container, Iterable, Mapping, Sequence

    from registration_pipeline.planning.grouping.rules import GroupRules
    from registration_pipeline.planning.grouping.summary import UnitSummary
    from registration_pipeline.settings.units import GroupRule

_MOST_GLOBS: Final = 3
"""Globs of a rule that a warning shows."""


class GroupingNotes:
    """Takes what happens to members while they are planned.

    Args:
        source: its name.
        rules: its rules.
    """

    def __init__(self, source: str, rules: GroupRules) -> None:
        self._source, self._rules, self._own = source, rules.rules, len(rules.digests())
        self._about_units = WarningList()
        self._missed, self._few = dict[int, Noted](), dict[int, Noted]()
        self._young, self._short, self._outside, self._astray = Noted(), Noted(), Noted(), Noted()

    def add_missed(self, missed: Mapping[int, Noted]) -> None:
        """Take rule -> the images of a batch that its globs match and its expression does not."""
        for rule, noted in missed.items():
            self._missed.setdefault(rule, Noted()).add(noted.first, noted.count)

    def add_outside(self, outside: Noted) -> None:
        """Take the objects of a batch that are planned in another form than that of today's rules."""
        self._outside.add(outside.first, outside.count)

    def add_astray(self, keys: Sequence[str]) -> None:
        """Take the rejected objects of a batch that may belong to any series."""
        for key in keys:
            self._astray.add(key)

    def add_held(self, unit: UnitSummary, title: str, wait: Wait | None) -> None:
        """Take a unit that waits."""
        if wait is Wait.YOUNG:
            self._young.add(repr(title))
        elif wait is Wait.FEW:
            expected = self._rules[unit.rule].expect_objects or 0
            self._few.setdefault(unit.rule, Noted()).add(f"{title!r}, which has {unit.objects:,} of {expected:,}")

    def add_single_image(self, title: str) -> None:
        """Take a planned image sequence of one image."""
        self._short.add(repr(title))

    def add_about_unit(self, lines: Iterable[str]) -> None:
        """Take what is odd about a planned unit."""
        for line in lines:
            self._about_units.add(line)

    def result(self, unused: Container[int], waiting: Counter[int]) -> PlanWarnings:
        """Return the warnings of the plan.

        Args:
            unused: the source's own rules that never took an object.
            waiting: rule -> objects whose header is not known.
        """
        found = WarningList()
        for index in range(self._own):
            if index in unused:
                found.add(self._unused(index))
            if index in self._missed:
                found.add(self._misses(index, self._missed[index]))
        for line in (*self._of_planned(), *self._of_waiting(waiting)):
            found.add(line)
        return found.followed_by(self._about_units)

    def _named(self, index: int) -> str:
        return f"groups[{index}] of source {self._source} (match {_shown(self._rules[index])})"

    def _unused(self, index: int) -> str:
        return (
            f"{self._named(index)} takes no object: nothing that its globs match is of its kind and fits its `by`, or an "
            "earlier rule takes it. Correct the rule, or remove it"
        )

    def _misses(self, index: int, noted: Noted) -> str:
        its = "its name does" if noted.count == 1 else "their names do"
        return (
            f"{self._named(index)} leaves out {counted(noted.count, 'image')} that its globs match, as {its} not match its "
            f"expression in `by`; the first is {noted.first!r}. An image outside a unit is registered by itself and can't be "
            "grouped later: correct `by` or `match` before it is planned"
        )

    def _of_planned(self) -> Iterable[str]:
        if self._short.count:
            yield (
                f"{counted(self._short.count, 'image sequence')} of a single image: the first is {self._short.first}. Check "
                "whether the named groups in `by` hold what differs from frame to frame; that belongs into the named group "
                "`frame`"
            )
        if self._outside.count:
            are = "is" if self._outside.count == 1 else "are"
            yield (
                f"{counted(self._outside.count, 'object')} that the rules of today would take {are} planned in another form: "
                f"the first is {self._outside.first!r}. What is planned stays as it is; new objects of the same units are "
                "rejected as late_member"
            )

        if self._astray.count:
            yield (
                f"Rejected objects whose DICOM series is not known: {self._astray.count:,}, the first is "
                f"{self._astray.first!r}. Series are planned without them, and what is planned stays as it is: correct or "
                "exclude them before"
            )

    def _of_waiting(self, waiting: Counter[int]) -> Iterable[str]:
        for index, noted in sorted(self._few.items()):
            wait = "unit waits" if noted.count == 1 else "units wait"
            yield (
                f"{self._named(index)}: {noted.count:,} {wait} for more objects (`expect_objects`); the first is "
                f"{noted.first}. Write the missing objects, or correct `expect_objects`: until then no object of such a unit "
                "is registered"
            )
        if self._young.count:
            wait = "unit waits as its" if self._young.count == 1 else "units wait as their"
            yield (
                f"{self._young.count:,} {wait} youngest object is younger than `complete_after_seconds`, or else "
                f"`min_age_seconds`: the first is {self._young.first}. A later sync plans what is old enough by then"
            )
        if waiting:
            yield self._without_headers(waiting)

    def _without_headers(self, waiting: Counter[int]) -> str:
        objects = waiting.total()
        verb, its = ("waits", "its header") if objects == 1 else ("wait", "their headers")
        named = [f"groups[{index}]" for index in sorted(waiting) if index < self._own]
        # The built-in rule has no place in the file.
        named += ["the built-in rule"] if any(index >= self._own for index in waiting) else []
        of_rules = f" ({' and '.join(named)})" if self._own else ""
        return (
            f"{counted(objects, 'object')}{of_rules} {verb} for {its} to be read, because only the header says which DICOM "
            f"series an object belongs to. Until then every DICOM series that is found by headers waits, too: it may not be "
            f"whole. Run `registration-pipeline probe {self._source}`, then plan again"
        )


def _shown(rule: GroupRule) -> str:
    globs = ", ".join(map(repr, rule.match[:_MOST_GLOBS]))
    return f"{globs}, …" if len(rule.match) > _MOST_GLOBS else globs
