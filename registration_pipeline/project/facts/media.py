"""The stage that probes media, for a loaded source: whether there is anything to read, and reading it.

What does not belong here: which objects are probed (``planning/fact_needs.py``) and probing (``facts/media``).
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from registration_pipeline.errors import UsageError
from registration_pipeline.facts.media.kind import media_kind
from registration_pipeline.facts.media.schema import MEDIA, MEDIA_SCHEMA
from registration_pipeline.facts.reading.reading import ObjectReading, Reading, ReadingProgress
from registration_pipeline.facts.reading.spec import latest_reading
from registration_pipeline.inventory.inventory import latest_inventory
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.fact_needs import objects_to_probe
from registration_pipeline.planning.history import load_history
from registration_pipeline.planning.kinds import KindFinder
from registration_pipeline.planning.rejected_rows import values_of
from registration_pipeline.project.facts.current import facts_notes, is_current

if TYPE_CHECKING:
    import pyarrow as pa

    from registration_pipeline.facts.reader import ObjectReader
    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.inventory.key_ranges.reading import KeyBounds
    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore


class SourceMedia:
    """The media metadata of one source.

    Args:
        store: the state.
        source: its settings.
        reader: makes the reader of its objects; called only if there is something to read.
        clock: gives the aware time.
    """

    def __init__(
        self,
        store: "StateStore",
        source: "SourceSettings",
        reader: "Callable[[], ObjectReader]",
        clock: Callable[[], datetime],
    ) -> None:
        self._store, self._source, self._reader, self._clock = store, source, reader, clock

    def read(self, progress: Callable[[ReadingProgress], None] | None = None, *, again: bool = False) -> Reading | None:
        """Probe the objects that the next plan needs and that are not known; None: there is nothing to read.

        Args:
            progress: called with how far it is.
            again: also if they were probed for this inventory; what could not be read is tried once more.

        Raises:
            UsageError: there is no inventory.
            ConfigurationError: a library that probes media is not installed.
            HaltError: the store can't be read.
            StateError: the state can't be read or written.
        """
        asked = self._asked(progress, again=again)
        return asked[0].read(asked[1], asked[2]) if asked else None

    def read_part(
        self, bounds: "KeyBounds", progress: Callable[[ReadingProgress], None] | None = None, *, again: bool = False
    ) -> ReadingProgress | None:
        """Probe what ``read`` would probe of a key range, and keep it for that; None: there is nothing to read.

        Args:
            bounds: of the range.
            progress: called with how far it is.
            again: as ``read``.

        Raises:
            HaltError: as ``read``.
        """
        asked = self._asked(progress, again=again, bounds=bounds)
        return asked[0].read_part(asked[1]) if asked else None

    def _asked(
        self, progress: Callable[[ReadingProgress], None] | None, *, again: bool, bounds: "KeyBounds | None" = None
    ) -> "tuple[ObjectReading[Any], _Candidates, dict[str, Any]] | None":
        """Return what probes, what of, and what is noted of it; None: there is nothing to read."""
        name = self._source.name
        inventory = latest_inventory(self._store, name)
        if inventory is None:
            raise UsageError(f"Source {name} has no inventory: run `registration-pipeline inventory {name}` first")
        history = load_history(self._store, name)
        notes = facts_notes(self._source, inventory, history)
        before = latest_reading(self._store, name, MEDIA, MEDIA_SCHEMA)
        if before is not None and not again and is_current(before, notes):
            return None
        candidates = _Candidates(self._store, self._source, inventory, history, bounds)
        reading = ObjectReading(
            kind=media_kind(candidates.kind_of),
            store=self._store,
            source=name,
            reader=self._reader(),
            clock=self._clock,
            threads=self._source.storage.concurrency,
            progress=progress,
        )
        return reading, candidates, notes


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
