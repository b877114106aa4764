from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.inventory.inventory import take_inventory
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.limits import ManifestLimits
from registration_pipeline.manifest.files import ensure_manifest
from registration_pipeline.planning.plan import plan_source
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.local import LocalStateStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline.planning.wave import PlannedChunk

NOW = datetime(2026, 11, 21, 2, tzinfo=UTC)


class ThreeImages:
    requests = 1
    description = "three images"

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        rows = [{"key": f"raw/{name}.jpg", "size": 1, "last_modified": NOW} for name in "abc"]
        yield pa.RecordBatch.from_pylist(rows, schema=INVENTORY_SCHEMA)


@pytest.fixture
def store(tmp_path: Path) -> LocalStateStore:
    return LocalStateStore(tmp_path)


@pytest.fixture
def chunk(store: LocalStateStore) -> PlannedChunk:
    source = SourceSettings.model_validate(
        {
            "name": "cams",
            "uri": "s3://bucket/raw/",
            "storage": {"region": "eu-west-2"},
            "encord": {"integration": "aws"},
        }
    )
    take_inventory(lister=ThreeImages(), store=store, source="cams", clock=lambda: NOW)
    return plan_source(store=store, source=source, clock=lambda: NOW).chunks[0]


def test_a_manifest_is_kept_under_its_chunks_name(store: LocalStateStore, chunk: PlannedChunk) -> None:
    manifest = ensure_manifest(store, "cams", chunk)
    data = store.read("cams/manifests/20261121T020000Z-images-000001.json")

    assert manifest.name == "cams/manifests/20261121T020000Z-images-000001.json"
    assert manifest.sha256 == hashlib.sha256(data).hexdigest()
    assert manifest.bytes == len(data)
    assert manifest.violations == ()
    assert data.count(b'"objectUrl"') == 3


def test_making_a_manifest_twice_changes_nothing(store: LocalStateStore, chunk: PlannedChunk) -> None:
    assert ensure_manifest(store, "cams", chunk) == ensure_manifest(store, "cams", chunk)


def test_a_manifest_that_was_deleted_comes_back_byte_for_byte(store: LocalStateStore, chunk: PlannedChunk) -> None:
    name = ensure_manifest(store, "cams", chunk).name
    before = store.read(name)
    store.delete(name)
    ensure_manifest(store, "cams", chunk)

    assert store.read(name) == before


def test_a_manifest_that_someone_changed_is_not_believed(store: LocalStateStore, chunk: PlannedChunk) -> None:
    name = ensure_manifest(store, "cams", chunk).name
    changed = store.read(name).replace(b"raw/a", b"raw/x")
    store.delete(name)
    store.create(name, changed)

    with pytest.raises(StateCorruptError, match="is not what chunk 20261121T020000Z-images-000001 was planned as"):
        ensure_manifest(store, "cams", chunk)
    assert store.read(name) == changed


def test_a_chunk_whose_plan_is_damaged_gets_no_manifest(store: LocalStateStore, chunk: PlannedChunk) -> None:
    with pytest.raises(StateCorruptError):
        ensure_manifest(store, "cams", replace(chunk, units=4, objects=4))
    assert list(store.names("cams/manifests/")) == []


def test_a_manifest_is_checked_against_the_limits_of_the_plan_that_was_bought(
    store: LocalStateStore, chunk: PlannedChunk
) -> None:
    made = ensure_manifest(store, "cams", chunk, limits=ManifestLimits(entries=2, bytes=10_000))

    assert [str(violation) for violation in made.violations] == [
        "manifest has 3 items; Encord accepts 2: lower chunk_size"
    ]
    assert ensure_manifest(store, "cams", chunk).violations == ()
