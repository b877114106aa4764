"""A folder of DICOM files as a source, with a state beside it; nothing is read but through the real lister and reader."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.facts.headers.kind import HEADER_KIND
from registration_pipeline.facts.readers.local import LocalReader
from registration_pipeline.facts.reading.reading import ObjectReading, Reading
from registration_pipeline.facts.sets import read_facts
from registration_pipeline.inventory.inventory import read_inventory, take_inventory
from registration_pipeline.inventory.local import LocalLister
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.dicom_files import image, written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from registration_pipeline.facts.reader import ObjectDescription, StoredObject
    from registration_pipeline.inventory.inventory import Inventory

START = datetime(2026, 11, 21, 2, tzinfo=UTC)


class WatchedReader:
    """A real reader of files that notes what is read and may be told to fail."""

    def __init__(self, root: Path, fail: Mapping[str, Exception] | Callable[[str], None] | None = None) -> None:
        self._reader = LocalReader(root)
        self._fail = fail or {}
        self._lock = threading.Lock()
        self.keys: list[str] = []

    permission = description_permission = "read permission"

    @property
    def requests(self) -> int:
        return self._reader.requests

    @property
    def description(self) -> str:
        return self._reader.description

    def read(self, item: StoredObject, start: int, length: int) -> bytes:
        self._watch(item)
        return self._reader.read(item, start, length)

    def describe(self, item: StoredObject) -> ObjectDescription:
        self._watch(item)
        return self._reader.describe(item)

    def _watch(self, item: StoredObject) -> None:
        with self._lock:
            self.keys.append(item.key)
        if callable(self._fail):
            self._fail(item.key)
        elif item.key in self._fail:
            raise self._fail[item.key]


@dataclass
class Clinic:
    """A bucket with scans, as a folder, and its state."""

    bucket: Path
    store: LocalStateStore
    moment: datetime = START
    notes: dict[str, object] = field(default_factory=dict)

    def put(self, name: str, content: bytes | None = None, **values: Any) -> None:
        path = self.bucket / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(written(image(**values)) if content is None else content)

    def clock(self) -> datetime:
        return self.moment

    def listed(self) -> Inventory:
        self.moment += timedelta(hours=1)
        lister = LocalLister(self.bucket, source="clinic")
        return take_inventory(lister=lister, store=self.store, source="clinic", clock=self.clock)

    def read(self, inventory: Inventory | None = None, reader: WatchedReader | None = None, **options: Any) -> Reading:
        """Read the headers of all objects of an inventory; of a new one by default."""
        inventory = inventory or self.listed()
        reading = ObjectReading(
            kind=HEADER_KIND,
            store=self.store,
            source="clinic",
            reader=reader or WatchedReader(self.bucket),
            clock=self.clock,
            threads=4,
            **options,
        )
        return reading.read(lambda: read_inventory(self.store, inventory), self.notes)

    def rows(self, reading: Reading) -> dict[str, dict[str, Any]]:
        """Return the rows of a set by key, in their order."""
        assert reading.facts is not None
        found = [row for batch in read_facts(self.store, reading.facts) for row in batch.to_pylist()]
        return {row.pop("key"): row for row in found}


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    return Clinic(bucket, LocalStateStore(tmp_path / "state"))
