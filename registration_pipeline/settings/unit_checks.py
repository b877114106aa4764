"""Rules of ``kinds`` and ``groups`` that contradict each other, or that no object can meet.

What does not belong here: what is wrong with one rule by itself (``units.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registration_pipeline.limits import MAX_SEQUENCE_IMAGES
from registration_pipeline.settings.units import Grouping, GroupKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registration_pipeline.settings.models import SourceSettings
    from registration_pipeline.settings.units import GroupRule
    from registration_pipeline.settings.yaml_source import Location

_EVERYTHING: Final = frozenset({"**", "*", "/**", "**/*"})
_ONLY_REVERSES: Final = "matches nothing: a pattern with ! takes away from those before it; put one without ! first"


def unit_problems(source: SourceSettings) -> Iterator[tuple[Location, str]]:
    """Yield what is wrong with the rules of a source as a whole, with places relative to it."""
    yield from _kind_problems(source)
    yield from _group_problems(source)


def _kind_problems(source: SourceSettings) -> Iterator[tuple[Location, str]]:
    for index, rule in enumerate(source.kinds):
        if rule.match.startswith("!"):
            yield (
                ("kinds", index, "match"),
                "matches nothing: ! has no meaning in a single pattern; put the others first",
            )
            continue
        first = _first_that_covers([(other.match,) for other in source.kinds[:index]], (rule.match,))
        if first is not None:
            text = (
                f"decides nothing: kinds[{first}] matches the same objects first; change one of the two, or remove it"
            )
            yield ("kinds", index, "match"), text


def _group_problems(source: SourceSettings) -> Iterator[tuple[Location, str]]:
    for index, rule in enumerate(source.groups):
        if all(pattern.startswith("!") for pattern in rule.match):
            yield ("groups", index, "match"), _ONLY_REVERSES
            continue
        rivals = [other.match if _takes_all_kinds_of(other, rule) else () for other in source.groups[:index]]
        first = _first_that_covers(rivals, rule.match)
        if first is not None:
            text = f"takes nothing: groups[{first}] matches the same objects first; change one of the two, or remove it"
            yield ("groups", index, "match"), text
        if rule.kind is GroupKind.IMAGE_SEQUENCE and (rule.expect_objects or 0) > MAX_SEQUENCE_IMAGES:
            yield ("groups", index, "expect_objects"), f"must be {MAX_SEQUENCE_IMAGES} or less for a sequence"


def _takes_all_kinds_of(other: GroupRule, rule: GroupRule) -> bool:
    """Return whether a rule takes every kind of object that another one takes."""
    is_dicom, other_is_dicom = (each.kind is GroupKind.DICOM_SERIES for each in (rule, other))
    # By headers objects without a known kind are taken, too.
    takes_unknown, other_takes_unknown = (each.grouping is Grouping.HEADERS for each in (rule, other))
    return is_dicom is other_is_dicom and (other_takes_unknown or not takes_unknown)


def _first_that_covers(earlier: Sequence[Sequence[str]], patterns: Sequence[str]) -> int | None:
    """Return the first of some lists of patterns that certainly matches all that others match."""
    for index, those in enumerate(earlier):
        has_reversed = any(pattern.startswith("!") for pattern in those)
        is_same = tuple(those) == tuple(patterns)
        if is_same or (not has_reversed and (_EVERYTHING & set(those) or set(patterns) <= set(those))):
            return index
    return None
