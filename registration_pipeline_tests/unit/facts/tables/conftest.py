"""A folder with registration.yaml's tables, read into a state in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import MemoryStore

from registration_pipeline.facts.sets import read_facts
from registration_pipeline.facts.tables.reading import read_table
from registration_pipeline.inventory.inventory import Inventory, take_inventory
from registration_pipeline.inventory.schema import inventory_batch
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.bucket import BucketStateStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.state.store import StateStore


class NoPlaces:
    """No bucket is asked for by tables on disk."""

    def lister(self, source: SourceSettings) -> Any:
        raise AssertionError(source.uri)

    def reader(self, source: SourceSettings) -> Any:
        raise AssertionError(source.uri)


class Listed:
    """Lists keys."""

    requests, description = 1, "a list"

    def __init__(self, keys: list[str]) -> None:
        self._keys = sorted(keys, key=str.encode)

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        for start in range(0, len(self._keys), 3):
            keys = self._keys[start : start + 3]
            yield inventory_batch(keys=keys, sizes=[1] * len(keys), last_modified=[0] * len(keys))


@dataclass
class Tables:
    """A folder of tables beside a source, and its state."""

    folder: Path
    source_options: dict[str, Any] = field(default_factory=dict)
    store: StateStore = field(default_factory=lambda: BucketStateStore(MemoryStore(), "memory:///"))
    now: datetime = datetime(2026, 11, 21, 2, tzinfo=UTC)
    inventory: Inventory | None = None

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def write(self, name: str, content: bytes | str | pa.Table | list[dict[str, Any]]) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        elif isinstance(content, list):
            path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def source(self, **entry: Any) -> SourceSettings:
        values = {
            "name": "fleet",
            "uri": "s3://fleet-bucket/raw/cam",
            "storage": {"region": "eu-west-2"},
            "metadata": [{"key": "key", **entry}],
        }
        return SourceSettings.model_validate(values | self.source_options)

    def listed(self, *keys: str) -> None:
        self.inventory = take_inventory(lister=Listed(list(keys)), store=self.store, source="fleet", clock=self.clock)

    def read(self, table: str, *, run_bytes: int = 1 << 20, **entry: Any) -> FactSet:
        source = self.source(table=table, **entry)
        return read_table(
            store=self.store,
            source=source,
            index=0,
            entry=source.metadata[0],
            base_folder=self.folder,
            places=NoPlaces(),
            inventory=self.inventory,
            clock=self.clock,
            run_bytes=run_bytes,
        )

    def rows(self, facts: FactSet) -> dict[str, dict[str, Any]]:
        found = [row for batch in read_facts(self.store, facts) for row in batch.to_pylist()]
        assert [row["key"] for row in found] == sorted({row["key"] for row in found}, key=str.encode)
        return {row["key"]: row for row in found}

    def values(self, table: str, **entry: Any) -> dict[str, Any]:
        """Return the values of each object, or the message of its problem."""
        return {
            key: row["message"] if row["problem"] else row["values"] and json.loads(row["values"])
            for key, row in self.rows(self.read(table, **entry)).items()
        }


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path / "config")


@pytest.fixture(scope="session")
def new_tables(tmp_path_factory: pytest.TempPathFactory) -> type[Tables]:
    """Make tables; new ones for every example of a property."""
    return Tables
