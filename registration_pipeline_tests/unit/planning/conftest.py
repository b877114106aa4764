"""A bucket in memory that is inventoried and planned for real, into a state on disk."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pytest

from registration_pipeline.inventory.inventory import Inventory, take_inventory
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.planning.plan import Plan, plan_source
from registration_pipeline.planning.wave import load_waves
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.state.parquet import read_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registration_pipeline.state.store import StateStore

START = datetime(2026, 11, 21, 2, tzinfo=UTC)


class ListedObjects:
    """An ``ObjectLister`` over a dictionary."""

    requests = 1
    description = "a dictionary"

    def __init__(self, objects: dict[str, dict[str, Any]]) -> None:
        self._objects = objects

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        rows = [{"key": key, **facts} for key, facts in sorted(self._objects.items())]
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=INVENTORY_SCHEMA)


class Bucket:
    """A bucket whose state lies in ``root``; time does not move until ``wait``."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.root = root
        self.store = LocalStateStore(root)
        self.now = START
        self.objects: dict[str, dict[str, Any]] = {}
        self.configure(**options)

    def configure(self, **options: Any) -> None:
        base = {"name": "cams", "uri": "s3://bucket/raw/", "storage": {"region": "eu-west-2"}}
        self.source = SourceSettings.model_validate(base | {"encord": {"integration": "aws"}} | options)

    def put(self, *keys: str, **facts: Any) -> None:
        for key in keys:
            default = {"size": 10, "last_modified": self.now, "e_tag": f"tag-of-{key}"}
            self.objects[key] = default | facts

    def delete(self, *keys: str) -> None:
        for key in keys:
            del self.objects[key]

    def clock(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def inventory(self) -> Inventory:
        self.wait(1)
        lister = ListedObjects(self.objects)
        return take_inventory(lister=lister, store=self.store, source=self.source.name, clock=self.clock)

    def plan(self, *, store: StateStore | None = None, **options: Any) -> Plan:
        return plan_source(store=store or self.store, source=self.source, clock=self.clock, **options)

    def sync(self) -> Plan:
        return self.plan(inventory=self.inventory())

    def planned_rows(self) -> list[dict[str, Any]]:
        """Return every row of every committed wave."""
        waves = load_waves(self.store, self.source.name)
        return [row for wave in waves for batch in read_parts(self.store, wave.parts) for row in batch.to_pylist()]

    def members(self) -> dict[str, list[str]]:
        """Return the keys of each chunk."""
        members: dict[str, list[str]] = {}
        for row in self.planned_rows():
            members.setdefault(row["chunk_id"], []).append(row["key"])
        return members

    def files(self, folder: str = "") -> dict[str, bytes]:
        prefix = f"{self.source.name}/{folder}"
        return {name: self.store.read(name) for name in self.store.names(prefix)}


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(tmp_path)


class NewBucket(Protocol):
    """Makes buckets; the options are settings of the source."""

    def __call__(self, **options: Any) -> Bucket: ...


@pytest.fixture(scope="session")
def new_bucket(tmp_path_factory: pytest.TempPathFactory) -> NewBucket:
    """Make buckets, for tests that need a fresh one for every example."""
    root = tmp_path_factory.mktemp("buckets")

    def make(**options: Any) -> Bucket:
        return Bucket(Path(tempfile.mkdtemp(dir=root)), **options)

    return make


class Filled(Protocol):
    """Makes a bucket that a function filled, with the inventory that the function returned."""

    def __call__(self, fill: Callable[[Bucket], Inventory]) -> tuple[Bucket, Inventory]: ...


@pytest.fixture(scope="session")
def filled(new_bucket: NewBucket) -> Filled:
    """Let a function fill a bucket once, and make copies of it: the plan before a crash takes longer than the crash."""
    made: dict[Callable[[Bucket], Inventory], tuple[Bucket, Inventory]] = {}

    def copy(fill: Callable[[Bucket], Inventory]) -> tuple[Bucket, Inventory]:
        if fill not in made:
            first = new_bucket()
            made[fill] = first, fill(first)
        first, inventory = made[fill]
        bucket = new_bucket()
        shutil.copytree(first.root, bucket.root, dirs_exist_ok=True)
        bucket.source, bucket.now, bucket.objects = first.source, first.now, dict(first.objects)
        return bucket, inventory

    return copy
