"""Reads the sidecars of an inventory into a set of facts.

What does not belong here: finding them (``search.py``), and what becomes of the values (``facts/metadata``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.facts.reading.reading import ObjectReading
from registration_pipeline.facts.sidecars.kind import sidecar_kind
from registration_pipeline.facts.sidecars.search import find_sidecars

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from registration_pipeline.facts.reader import ObjectReader
    from registration_pipeline.facts.reading.reading import ReadingProgress
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.settings.metadata import MetadataEntry
    from registration_pipeline.state.store import StateStore


def read_sidecars(
    *,
    store: StateStore,
    source: str,
    inventory: Inventory,
    entry: MetadataEntry,
    reader: ObjectReader,
    clock: Callable[[], datetime],
    threads: int = 16,
    progress: Callable[[ReadingProgress], None] | None = None,
    notes: Mapping[str, object] | None = None,
) -> FactSet:
    """Read the sidecars that are not known yet, and commit what is known of all objects that have one.

    An object without a sidecar has no row. One whose sidecar can't be read for a reason that passes has a row with the problem
    ``waiting``.

    Args:
        store: the state.
        source: its name.
        inventory: of the source.
        entry: with ``sidecar``.
        reader: of the source's objects.
        clock: gives the aware time.
        threads: that read at once.
        progress: called with how far it is.
        notes: what the set is to say of itself besides ``inventory_id`` and ``listing_digest``, in JSON's types.

    Raises:
        ServiceUnavailableError: the store gave no usable replies, to several objects in a row. What was read is kept.
        HaltError: no object can be read: bad credentials, no such bucket.
        StateError: the state can't be read or written, or the temporary folder has no room.
    """
    suffix = entry.sidecar
    assert suffix is not None
    reading = ObjectReading(
        kind=sidecar_kind(entry),
        store=store,
        source=source,
        reader=reader,
        clock=clock,
        threads=threads,
        progress=progress,
    )
    own = {"inventory_id": inventory.inventory_id, "listing_digest": inventory.digest}
    facts = reading.read(lambda: find_sidecars(store, inventory, suffix), {**(notes or {}), **own}).facts
    assert facts is not None  # ``always``
    return facts
