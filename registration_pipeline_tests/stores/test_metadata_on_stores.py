"""Sidecars, metadata and tags of objects in four stores that others wrote, and sidecars in a folder."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from registration_pipeline.errors import ObjectReadError
from registration_pipeline.facts.object_metadata.reading import read_object_metadata
from registration_pipeline.facts.reader import ObjectDescription
from registration_pipeline.facts.sidecars.reading import read_sidecars
from registration_pipeline.inventory.inventory import read_inventory
from registration_pipeline.project.clients.readers import make_reader
from registration_pipeline.project.project import utc_now
from registration_pipeline.settings import SourceSettings
from registration_pipeline.settings.metadata import MetadataEntry
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.stores.test_headers_on_stores import (
    Folder,
    listed,
    objects_of,
    put_all,
    rows_of,
    source_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.facts.reading.reading import ReadingProgress
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline_tests.stores.hostile_stores import Bucket, Store

pytestmark = pytest.mark.slow

SUFFIX: Final = ".metadata.json"
OBJECTS: Final = 100
METADATA: Final = {"site": "west", "camera_number": "7"}
TAGS: Final = {"team": "blue", "a b": "c/d"}
SIDECAR: Final = MetadataEntry(sidecar=SUFFIX)
DESCRIPTION: Final = MetadataEntry(object_metadata=True, prefix="store.")
FAST_STORES: Final = ["moto", "azurite", "gcs_emulator"]
"""The three kinds of API: the fourth store speaks S3, too, and is filled with 10 objects a second."""
HAS_TAGS: Final = {"moto": True, "azurite": True, "gcs": False, "swift": False}


def sidecars_of(source: SourceSettings, state: LocalStateStore) -> tuple[FactSet, ReadingProgress]:
    said: list[ReadingProgress] = []
    facts = read_sidecars(
        store=state,
        source="clinic",
        inventory=listed(source, state),
        entry=SIDECAR,
        reader=make_reader(source),
        clock=utc_now,
        progress=said.append,
    )
    return facts, said[-1]


def check_sidecars(source: SourceSettings, state: LocalStateStore, bucket: Bucket | Folder) -> None:
    """Put 100 objects, of which every second has a sidecar, one of them bad; read, change some, and read again."""
    keys = [f"cam {number:04d} é.png" for number in range(OBJECTS)]
    texts = {key: json.dumps({"number": number, "key": key}) for number, key in enumerate(keys) if number % 2 == 0}
    bad = keys[4]
    put_all(bucket, dict.fromkeys(keys, b"x"))
    put_all(bucket, {key + SUFFIX: text.encode() for key, text in texts.items()})
    put_all(bucket, {bad + SUFFIX: b'{"number": 1, "number": 2}', "of nothing" + SUFFIX: b"{}"})
    facts, progress = sidecars_of(source, state)
    rows = rows_of(state, facts)

    assert [*rows] == [*texts]
    assert {key: json.loads(row["values"]) for key, row in rows.items() if key != bad} == {
        key: json.loads(text) for key, text in texts.items() if key != bad
    }
    assert (rows[bad]["problem"], rows[bad]["values"]) == ("invalid_metadata", None)
    sizes = sum(len(text.encode()) for key, text in texts.items() if key != bad) + 26
    assert (progress.read, progress.requests, progress.bytes) == (OBJECTS // 2, OBJECTS // 2, sizes)
    print(f"\n{source.uri}: sidecars: {progress}")

    put_all(bucket, {keys[0] + SUFFIX: b'{"number": "another one"}'})
    bucket.delete(keys[2] + SUFFIX)
    facts, progress = sidecars_of(source, state)
    rows = rows_of(state, facts)
    assert (progress.read, progress.requests, progress.cached) == (1, 1, OBJECTS // 2 - 2)
    assert rows[keys[0]]["values"] == '{"number":"another one"}'
    assert keys[2] not in rows


@pytest.mark.parametrize("store", FAST_STORES, indirect=True)
def test_sidecars_of_a_store_are_read_once_each(store: Store, tmp_path: Path) -> None:
    name, bucket = store.bucket()

    check_sidecars(source_of(store, name), LocalStateStore(tmp_path), bucket)


def test_sidecars_in_a_folder_are_read_once_each(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    source = SourceSettings.model_validate({"name": "clinic", "uri": f"file://{tmp_path}/bucket"})

    check_sidecars(source, LocalStateStore(tmp_path / "state"), Folder(tmp_path / "bucket"))


def described_of(source: SourceSettings, state: LocalStateStore) -> tuple[dict[str, Any], ReadingProgress]:
    inventory, said = listed(source, state), list[Any]()
    facts = read_object_metadata(
        store=state,
        source="clinic",
        candidates=lambda: read_inventory(state, inventory),
        entry=DESCRIPTION,
        reader=make_reader(source),
        clock=utc_now,
        progress=said.append,
    )
    values = {key: row["values"] and json.loads(row["values"]) for key, row in rows_of(state, facts).items()}
    return values, said[-1]


def test_metadata_and_tags_are_read_once_per_version(store: Store, tmp_path: Path) -> None:
    name, bucket = store.bucket()
    source, state = source_of(store, name), LocalStateStore(tmp_path)
    tags = TAGS if HAS_TAGS[store.name] else {}
    for number in range(30):
        bucket.put_described(f"{number:04d} é.png", {**METADATA, "n": str(number)}, tags if number % 3 == 0 else {})
    bucket.put("plain.png")
    values, progress = described_of(source, state)

    expected: dict[str, Any] = {
        f"{number:04d} é.png": {
            f"store.{key}": text
            for key, text in {**METADATA, "n": str(number), **(tags if number % 3 == 0 else {})}.items()
        }
        for number in range(30)
    }
    assert values == {**expected, "plain.png": None}
    assert progress.problems == {}
    print(f"\n{source.uri}: object metadata: {progress}")
    assert (
        progress.requests
        == {"gcs": 31, "azurite": 41, "moto": progress.requests, "swift": progress.requests}[store.name]
    )
    assert 31 <= progress.requests <= 62

    time.sleep(1.1)  # the content is the same, and so is its ETag; S3 counts seconds
    bucket.put_described("0003 é.png", {"n": "another one"}, {})
    values, progress = described_of(source, state)
    assert values["0003 é.png"] == {"store.n": "another one"}
    assert (progress.read, progress.cached) == (1, 30)


def test_another_version_than_the_listed_one_is_not_described(store: Store, tmp_path: Path) -> None:
    name, bucket = store.bucket()
    for key in ("changes", "goes", "stays"):
        bucket.put_described(key, METADATA, {})
    source = source_of(store, name)
    reader, found = make_reader(source), objects_of(source, tmp_path)
    bucket.put("changes", b"some other bytes")
    bucket.delete("goes")

    assert reader.describe(found["stays"]) == ObjectDescription(metadata=METADATA)
    for key, said in (("changes", "has changed"), ("goes", "gone")):
        with pytest.raises(ObjectReadError, match=said) as raised:
            reader.describe(found[key])
        assert not raised.value.is_refused


@pytest.mark.parametrize("store", FAST_STORES, indirect=True)
def test_every_key_that_a_store_holds_is_described_under_exactly_that_key(store: Store, tmp_path: Path) -> None:
    name, bucket = store.bucket()
    # The emulator of GCS gives names that differ in their last slashes the same content.
    keys = [key for key in store.held if store.name != "gcs" or not key.endswith("/")]
    for number, key in enumerate(keys):
        bucket.put_described(key, {"n": str(number)}, {})
    source = source_of(store, name)
    reader, found = make_reader(source), objects_of(source, tmp_path)

    assert {key: reader.describe(item).metadata["n"] for key, item in found.items()} == {
        key: str(number) for number, key in enumerate(keys)
    }
