"""Whether a set of facts about objects is up to date: the same for media and for what entries of ``metadata`` read of objects.

What does not belong here: headers, which only some objects of a source need (``headers.py``).
"""

from typing import TYPE_CHECKING, Any

from registration_pipeline.facts.metadata.metadata_set import set_notes
from registration_pipeline.facts.reading.spec import WAITING

if TYPE_CHECKING:
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.settings import SourceSettings

_SAME = ("listing_digest", "settings_digest", "submit_as")


def facts_notes(source: "SourceSettings", inventory: "Inventory", history: "PlanHistory") -> dict[str, Any]:
    """Return what a set of facts about objects says of how it was made."""
    notes = set_notes(source, inventory, (), history.number)
    return {name: notes[name] for name in ("inventory_id", "listing_digest", "settings_digest", "planned")} | {
        "submit_as": source.submit_as.value
    }


def is_current(facts: "FactSet", notes: dict[str, Any]) -> bool:
    """Return whether what a set says of objects is all that reading them now could say.

    Args:
        facts: the set that is there.
        notes: ``facts_notes`` of one that would be made now.
    """
    known: Any = facts.notes
    if any(known.get(name) != notes[name] for name in _SAME) or int(known.get("planned", 0)) > notes["planned"]:
        return False
    if known.get("inventory_id") == notes["inventory_id"]:
        return True
    problems = known.get("problems", {})
    retried = sum(count for reason, count in problems.items() if reason == WAITING or reason.endswith("_unreadable"))
    return not (retried or known.get("counts", {}).get("waiting"))
