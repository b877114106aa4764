"""The stage that reads one kind of facts of a loaded source: the whole, or a key range of it.

What does not belong here: whether there is anything to read, and what of (``headers.py``, ``media.py``), and reading
(``facts/reading``).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from registration_pipeline.facts.reading.reading import ObjectReading, Reading, ReadingProgress

if TYPE_CHECKING:
    import pyarrow as pa

    from registration_pipeline.facts.reader import ObjectReader
    from registration_pipeline.facts.reading.spec import FactKind
    from registration_pipeline.inventory.key_ranges.reading import KeyBounds
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore


@dataclass(frozen=True, slots=True)
class ToRead:
    """What there is to read.

    Args:
        kind: of facts.
        candidates: gives the objects, see ``ObjectReading.read``.
        notes: what the set of facts is to say of itself.
        always: make a set also if no object needs it and there was none before.
    """

    kind: "FactKind[Any]"
    candidates: "Callable[[], Iterator[pa.RecordBatch]]"
    notes: dict[str, Any]
    always: bool = True


class SourceFacts(ABC):
    """One kind of facts of one source.

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

    @abstractmethod
    def _to_read(self, bounds: "KeyBounds | None", *, again: bool) -> ToRead | None:
        """Return what the next plan needs of the latest inventory and is not known; None: there is nothing to read."""

    def read(self, progress: Callable[[ReadingProgress], None] | None = None, *, again: bool = False) -> Reading | None:
        """Read what planning the latest inventory needs and is not known; None: there is nothing to read.

        Args:
            progress: called with how far it is.
            again: also if it was read for this inventory; what could not be read is tried once more.

        Raises:
            UsageError: there is no inventory.
            ConfigurationError: a library that reads it is not installed.
            HaltError: the store can't be read.
            StateError: the state can't be read or written.
        """
        found = self._to_read(None, again=again)
        if found is None:
            return None
        return self._reading(found, progress).read(found.candidates, found.notes, always=found.always)

    def read_part(
        self, bounds: "KeyBounds", progress: Callable[[ReadingProgress], None] | None = None, *, again: bool = False
    ) -> ReadingProgress | None:
        """Read what ``read`` would read of a key range, and keep it for that; None: there is nothing to read.

        Args:
            bounds: of the range.
            progress: called with how far it is.
            again: as ``read``.

        Raises:
            HaltError: as ``read``.
        """
        found = self._to_read(bounds, again=again)
        return None if found is None else self._reading(found, progress).read_part(found.candidates)

    def _reading(self, found: ToRead, progress: Callable[[ReadingProgress], None] | None) -> ObjectReading[Any]:
        return ObjectReading(
            kind=found.kind,
            store=self._store,
            source=self._source.name,
            reader=self._reader(),
            clock=self._clock,
            threads=self._source.storage.concurrency,
            progress=progress,
        )
