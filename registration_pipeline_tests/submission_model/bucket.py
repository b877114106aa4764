"""What a plan should make of a bucket, and what the status should count, by dictionaries.

What does not belong here: what happens to the objects (``world.py``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass
class Bucket:
    """Which objects are where, decided object by object; those of a directory below ``rig`` all together."""

    tags: dict[str, str] = field(default_factory=dict)
    """ETag at planning, of every key that was ever planned."""
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the planned inventory holds."""
    undecided: Counter[str] = field(default_factory=Counter)
    seen: set[str] = field(default_factory=set)
    """What happened, for statistics."""

    def plan(self, objects: dict[str, dict[str, Any]]) -> None:
        """Decide about an inventory."""
        self.listed = {key: dict(facts) for key, facts in objects.items()}
        self.undecided = Counter()
        fates = {key: self._fate(key, facts) for key, facts in self.listed.items() if key not in self.tags}
        groups = {key: key.rpartition("/")[0] for key in fates if "/rig/" in key}
        planned = {key.rpartition("/")[0] for key in self.tags}
        bad = {group for key, group in groups.items() if fates[key] != "new"}
        self.seen.update({"plan: a late member"} if planned & set(groups.values()) else ())
        self.seen.update({"plan: a bad member"} if bad else ())
        for key, fate in fates.items():
            is_kept_out = groups.get(key) in planned | bad
            if fate == "new" and not is_kept_out:
                self.tags[key] = self.listed[key]["e_tag"]
            else:
                self.undecided["rejected" if is_kept_out else fate] += 1

    @staticmethod
    def _fate(key: str, facts: dict[str, Any]) -> str:
        if "/skip/" in key:
            return "excluded"
        return "new" if facts["size"] and key.endswith((".jpg", ".mp4")) else "rejected"

    def unit_counts(
        self, units: Collection[frozenset[str]], registered: set[str], failed: set[str], *, repaired: set[str]
    ) -> dict[str, int]:
        """Return what the status should say of units; see ``counts``."""
        there = [unit for unit in units if unit & self.listed.keys()]
        done = [unit for unit in units if unit <= registered]
        return {
            "registered": sum(unit <= registered for unit in there),
            "pending": sum(not unit & (registered | failed) for unit in there),
            "failed": sum(unit <= failed for unit in there),
            "changed": sum(any(self._is_changed(key) for key in unit - repaired) for unit in done),
            "deleted": sum(not unit <= self.listed.keys() for unit in done),
        }

    def _is_changed(self, key: str) -> bool:
        return key in self.listed and self.listed[key]["e_tag"] != self.tags[key]

    def counts(self, registered: set[str], failed: set[str], *, repaired: set[str]) -> dict[str, int]:
        """Return what the status should say if these repaired objects are in Encord as they are in the bucket."""
        planned = set(self.tags) & set(self.listed)
        return {
            "objects": len(self.listed),
            "excluded": self.undecided["excluded"],
            "rejected": self.undecided["rejected"],
            "registered": len(planned & registered),
            "pending": len(planned - registered - failed),
            "failed": len(planned & failed),
            "changed": sum(map(self._is_changed, registered - repaired)),
            "deleted": len(registered - set(self.listed)),
        }
