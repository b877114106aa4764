"""The counts of a plan: where every object of the inventory went.

What does not belong here: counting (``planning_run.py``) and what is registered (``tracking``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCounts:
    """Where every object of the inventory went: ``objects == excluded + rejected + held + known + new``.

    Args:
        objects: all of the inventory.
        excluded: a rule of the user's keeps them out.
        rejected: Encord would not take them.
        held: younger than ``min_age_seconds``, or waiting with their unit; a later plan decides.
        held_units: units of those; an object whose unit is not known yet counts as one. 0 in waves of earlier versions, in
            which every unit was one object.
        known: in a chunk of an earlier wave.
        new: in a chunk of this wave.
        changed: of the known ones, those that are not what was planned any more.
        deleted: planned once and not in the inventory; not among ``objects``.
        changed_units: units with at least one object that changed; 0 in waves of earlier versions.
        deleted_units: units with at least one object that is gone; 0 in waves of earlier versions.
        rejected_by_reason: ``RejectionReason`` -> objects.
        rejected_suffixes: suffix -> objects of no known type, as ``SuffixCounts`` has them; members of units are not among
            them, as their type is known. None in waves of earlier versions.
        excluded_by_rule: rule -> objects.
    """

    objects: int = 0
    excluded: int = 0
    rejected: int = 0
    held: int = 0
    held_units: int = 0
    known: int = 0
    new: int = 0
    changed: int = 0
    deleted: int = 0
    changed_units: int = 0
    deleted_units: int = 0
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    rejected_suffixes: Mapping[str, int] = field(default_factory=dict)
    excluded_by_rule: Mapping[str, int] = field(default_factory=dict)
