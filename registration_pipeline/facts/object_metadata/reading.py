"""Reads the metadata and tags of objects into a set of facts.

What does not belong here: which objects need them (``planning``), and what becomes of the values (``facts/metadata``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.facts.object_metadata.kind import object_metadata_kind
from registration_pipeline.facts.reading.reading import ObjectReading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    import pyarrow as pa

    from registration_pipeline.facts.reader import ObjectReader
    from registration_pipeline.facts.reading.reading import ReadingProgress
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.settings.metadata import MetadataEntry
    from registration_pipeline.state.store import StateStore


def read_object_metadata(
    *,
    store: StateStore,
    source: str,
    candidates: Callable[[], Iterable[pa.RecordBatch]],
    entry: MetadataEntry,
    reader: ObjectReader,
    clock: Callable[[], datetime],
    threads: int = 16,
    progress: Callable[[ReadingProgress], None] | None = None,
    notes: Mapping[str, object] | None = None,
) -> FactSet:
    """Read what is not known yet of the metadata and tags of objects, and commit it together with what is.

    One request per object, and another one where it has tags. What was read holds for the object's ETag and time; tags that
    are changed later change neither, and are not noticed. An object that can't be read for a reason that passes gets no row.

    Args:
        store: the state.
        source: its name.
        candidates: gives the objects: rows of ``INVENTORY_SCHEMA``, sorted by key, each key once; may be asked for twice.
        entry: with ``object_metadata``.
        reader: of the objects.
        clock: gives the aware time.
        threads: that ask at once.
        progress: called with how far it is.
        notes: what the set is to say of itself, in JSON's types.

    Raises:
        ServiceUnavailableError: the store gave no usable replies, to several objects in a row. What was read is kept.
        HaltError: no object can be read: bad credentials, no such bucket.
        StateError: the state can't be read or written.
    """
    reading = ObjectReading(
        kind=object_metadata_kind(entry),
        store=store,
        source=source,
        reader=reader,
        clock=clock,
        threads=threads,
        progress=progress,
    )
    facts = reading.read(candidates, notes or {}).facts
    assert facts is not None  # ``always``
    return facts
