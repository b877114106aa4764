"""The stage that reads headers, for a loaded source: whether there is anything to read, and what.

What does not belong here: which objects need their header (``planning/header_needs.py``) and reading one (``facts/headers``).
"""

from typing import TYPE_CHECKING, Any

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.facts.headers.dicom import missing_library
from registration_pipeline.facts.headers.kind import HEADER_KIND
from registration_pipeline.facts.headers.schema import UNREADABLE, latest_headers
from registration_pipeline.inventory.inventory import require_inventory
from registration_pipeline.planning.decision import digest_rules
from registration_pipeline.planning.header_needs import holds_dicom, needs_digest, objects_without_header
from registration_pipeline.planning.history import load_history
from registration_pipeline.planning.object_facts import PlanFacts
from registration_pipeline.project.facts.source_facts import SourceFacts, ToRead
from registration_pipeline.settings.units import asks_for_headers
from registration_pipeline.state.ahead import both

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.inventory.key_ranges.reading import KeyBounds
    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore


class SourceHeaders(SourceFacts):
    """The headers of one source; arguments are those of ``SourceFacts``."""

    def _to_read(self, bounds: "KeyBounds | None", *, again: bool) -> ToRead | None:
        store, name = self._store, self._source.name
        inventory, (history, previous) = both(
            store,
            lambda: require_inventory(store, self._source),
            lambda: both(store, lambda: load_history(store, name), lambda: latest_headers(store, name)),
        )
        if not (again or self._may_lack(inventory, history, previous)):
            return None
        if previous is None and not holds_dicom(self._store, self._source, inventory):
            return None
        notes = {
            "inventory_id": inventory.inventory_id,
            "listing_digest": inventory.digest,
            "needs_digest": needs_digest(self._source),
            "planned": history.number,
        }
        candidates = _Candidates(self._store, self._source, inventory, bounds)
        return ToRead(HEADER_KIND, candidates, notes, always=asks_for_headers(self._source.groups))

    def _may_lack(self, inventory: "Inventory", history: "PlanHistory", previous: "FactSet | None") -> bool:
        """Return False if the headers of all objects of the inventory are known for certain."""
        if previous is None:
            # Then whatever was planned under these rules needed none.
            wave = history.latest
            return (
                wave is None
                or wave.listing_digest != inventory.digest
                or wave.rules_digest
                != digest_rules(self._source, PlanFacts.of(self._store, self._source, has_headers=False))
            )
        notes: Any = previous.notes
        # With a plan that lost waves, objects are unplanned again whose headers have dropped out of the set.
        if notes.get("needs_digest") != needs_digest(self._source) or int(notes.get("planned", 0)) > history.number:
            return True
        if notes.get("inventory_id") == inventory.inventory_id:
            return False
        unread = notes.get("problems", {}).get(UNREADABLE.value, 0) or notes.get("counts", {}).get("waiting", 0)
        return bool(unread) or notes.get("listing_digest") != inventory.digest


class _Candidates:
    """The objects that need their header; the second time without what may be damaged of the first."""

    def __init__(
        self, store: "StateStore", source: "SourceSettings", inventory: "Inventory", bounds: "KeyBounds | None"
    ) -> None:
        self._store, self._source, self._inventory, self._bounds = store, source, inventory, bounds
        self._is_trusted = True

    def __call__(self) -> "Iterator[pa.RecordBatch]":
        history = load_history(self._store, self._source.name, is_trusted=self._is_trusted)
        self._is_trusted = False
        for batch in objects_without_header(self._store, self._source, self._inventory, history, self._bounds):
            require_library(self._source)  # only now: without objects that need it, it may be missing
            yield batch


def require_library(source: "SourceSettings") -> None:
    """Refuse to read headers without the library that does.

    Raises:
        ConfigurationError: it is not installed.
    """
    if (remedy := missing_library()) is not None:
        raise ConfigurationError(
            "DICOM objects are grouped by their headers, and pydicom, which reads them, is not installed; install it with "
            f"`{remedy}`, or write a rule that groups them by directory or by an expression, or exclude them",
            key=f"sources.{source.name}.groups",
        )
