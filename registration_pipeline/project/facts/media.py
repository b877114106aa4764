"""The stage that probes media, for a loaded source: whether there is anything to read, and what.

What does not belong here: which objects are probed (``planning/fact_needs.py``) and probing one (``facts/media``).
"""

from typing import TYPE_CHECKING

from registration_pipeline.facts.media.kind import media_kind
from registration_pipeline.facts.media.schema import MEDIA, MEDIA_SCHEMA
from registration_pipeline.facts.reading.spec import latest_reading
from registration_pipeline.inventory.inventory import require_inventory
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.fact_needs import objects_to_probe
from registration_pipeline.planning.history import load_history
from registration_pipeline.planning.kinds import KindFinder
from registration_pipeline.planning.rejected_rows import values_of
from registration_pipeline.project.facts.current import facts_notes, is_current
from registration_pipeline.project.facts.source_facts import SourceFacts, ToRead

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.inventory.key_ranges.reading import KeyBounds
    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore


class SourceMedia(SourceFacts):
    """The media metadata of one source; arguments are those of ``SourceFacts``."""

    def _to_read(self, bounds: "KeyBounds | None", *, again: bool) -> ToRead | None:
        name = self._source.name
        inventory = require_inventory(self._store, self._source)
        history = load_history(self._store, name)
        notes = facts_notes(self._source, inventory, history)
        before = latest_reading(self._store, name, MEDIA, MEDIA_SCHEMA)
        if before is not None and not again and is_current(before, notes):
            return None
        candidates = _Candidates(self._store, self._source, inventory, history, bounds)
        return ToRead(media_kind(candidates.kind_of), candidates, notes)


class _Candidates:
    """The objects to probe, and what they are. Only one batch is remembered: the next one is asked for after it."""

    def __init__(
        self,
        store: "StateStore",
        source: "SourceSettings",
        inventory: "Inventory",
        history: "PlanHistory",
        bounds: "KeyBounds | None",
    ) -> None:
        self._store, self._source, self._inventory, self._history = store, source, inventory, history
        self._bounds = bounds
        self._find_kinds = KindFinder(source.kinds, source.location.below_prefix).kinds
        self._kinds: dict[str, MediaKind] = {}

    def __call__(self) -> "Iterator[pa.RecordBatch]":
        for batch in objects_to_probe(self._store, self._source, self._inventory, self._history, self._bounds):
            keys: list[str] = batch.column("key").to_pylist()
            kinds = self._find_kinds(keys, values_of(batch, "content_type"))
            # What has no kind by its name and is needed all the same is taken by a rule that asks for DICOM headers.
            self._kinds = {key: kind or MediaKind.DICOM_SERIES for key, kind in zip(keys, kinds, strict=True)}
            yield batch

    def kind_of(self, key: str) -> MediaKind | None:
        return self._kinds.get(key)
