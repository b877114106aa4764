"""Reads headers or sidecars of a folder until one object, and waits there to be killed.

``reading_child.py BUCKET STATE KEY headers|sidecars``
"""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registration_pipeline.facts.headers.kind import HEADER_KIND
from registration_pipeline.facts.readers.local import LocalReader
from registration_pipeline.facts.reading.reading import ObjectReading
from registration_pipeline.facts.sidecars.kind import sidecar_kind
from registration_pipeline.facts.sidecars.search import find_sidecars
from registration_pipeline.inventory.inventory import latest_inventory, read_inventory
from registration_pipeline.settings.metadata import MetadataEntry
from registration_pipeline.state.local import LocalStateStore

if TYPE_CHECKING:
    from registration_pipeline.facts.reader import StoredObject
    from registration_pipeline.facts.reading.spec import FactKind


class StoppingReader(LocalReader):
    """Does not come back from reading one object."""

    def __init__(self, root: Path, last: str) -> None:
        super().__init__(root)
        self._last = last

    def read(self, item: StoredObject, start: int, length: int) -> bytes:
        if item.key == self._last:
            print("there", flush=True)
            threading.Event().wait()
        return super().read(item, start, length)


def main(bucket: str, state: str, last: str, what: str) -> None:
    store = LocalStateStore(Path(state))
    inventory = latest_inventory(store, "clinic")
    assert inventory is not None
    kind: FactKind[Any] = HEADER_KIND if what == "headers" else sidecar_kind(MetadataEntry(sidecar=".json"))
    reading = ObjectReading(
        kind=kind,
        store=store,
        source="clinic",
        reader=StoppingReader(Path(bucket), last),
        clock=lambda: datetime.now(UTC),
        threads=4,
        range_objects=10,
        part_objects=20,
    )
    if what == "headers":
        reading.read(lambda: read_inventory(store, inventory), {})
    else:
        reading.read(lambda: find_sidecars(store, inventory, ".json"), {})


if __name__ == "__main__":
    main(*sys.argv[1:])
