"""Ranges of objects and headers of DICOM files in four stores that others wrote, and in a folder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import ObjectReadError
from registration_pipeline.facts.reader import StoredObject
from registration_pipeline.facts.sets import read_facts
from registration_pipeline.inventory.inventory import read_inventory, take_inventory
from registration_pipeline.planning.plan import plan_source
from registration_pipeline.project.clients.listers import make_lister
from registration_pipeline.project.clients.readers import make_reader
from registration_pipeline.project.facts.headers import SourceHeaders
from registration_pipeline.project.project import utc_now
from registration_pipeline.settings import SourceSettings, StorageSettings
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.dicom_files import image, uid, with_pixels, with_private_block, written

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from registration_pipeline.facts.reader import ObjectReader
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline_tests.stores.hostile_stores import Bucket, Store

pytestmark = pytest.mark.slow

SERIES = ((1, 1), (1, 2), (1, 3), (2, 4), (2, 5))
FILES = 300
PIXELS = 550_000
MOST_BYTES = 64 << 10


class Folder:
    """A directory as a bucket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, key: str, content: bytes = b"x") -> None:
        (self._path / key).write_bytes(content)

    def delete(self, key: str) -> None:
        (self._path / key).unlink()


def source_of(store: Store, bucket: str, **more: Any) -> SourceSettings:
    storage = StorageSettings(endpoint_url=store.endpoint_url, region="us-east-1")
    values = {"name": "clinic", "uri": store.uri.format(bucket=bucket), "storage": storage, **more}
    return SourceSettings.model_validate(values)


RULES = {"groups": [{"match": "**", "as": "dicom_series", "by": "headers"}]}


def fill(bucket: Bucket | Folder) -> None:
    """Put 2 studies of 5 series with 300 files into one folder, in turn, some without a suffix, two of them bad."""
    content: dict[str, bytes] = {}
    for number in range(FILES - 2):
        study, series = SERIES[number % 5]
        name = f"scan {number:04d}" + ("" if number % 11 == 0 else ".dcm")
        data = with_pixels(image(study, series, number), PIXELS)
        content[name] = written(with_private_block(data, 90_000) if number % 7 == 0 else data)
    content["scan 9998.dcm"] = written(image())[:420]
    content["scan 9999.dcm"] = written(with_pixels(image(SeriesInstanceUID=None), PIXELS))
    put_all(bucket, content)


def put_all(bucket: Bucket | Folder, content: Mapping[str, bytes]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: bucket.put(*one), content.items()))


def listed(source: SourceSettings, state: LocalStateStore) -> Inventory:
    return take_inventory(lister=make_lister(source), store=state, source="clinic", clock=utc_now)


def rows_of(state: LocalStateStore, facts: FactSet | None) -> dict[str, dict[str, Any]]:
    assert facts is not None
    return {row["key"]: row for batch in read_facts(state, facts) for row in batch.to_pylist()}


def check_series(source: SourceSettings, state: LocalStateStore, bucket: Bucket | Folder) -> None:
    fill(bucket)
    listed(source, state)
    headers = SourceHeaders(state, source, lambda: make_reader(source), utc_now)
    first = headers.read()
    assert first is not None
    rows = rows_of(state, first.facts)

    assert len(rows) == first.progress.read == FILES
    assert first.progress.problems == {"invalid_header": 2}
    assert {row["series"]: row["study"] for row in rows.values() if row["series"]} == {
        uid(study, series): uid(study) for study, series in SERIES
    }
    assert "ends within its header" in rows["scan 9998.dcm"]["message"]
    assert "lacks SeriesInstanceUID" in rows["scan 9999.dcm"]["message"]
    large = [row["bytes_read"] for row in rows.values() if row["size"] >= 500_000]
    assert len(large) == FILES - 1
    assert max(large) < MOST_BYTES
    print(
        f"\n{source.uri}: {first.progress}; bytes per file of {PIXELS:,} and more: {min(large):,} to {max(large):,}, "
        f"{sum(large) // len(large):,} on average"
    )

    listed(source, state)
    second = headers.read(again=True)
    assert second is not None
    assert (second.progress.read, second.progress.bytes, second.progress.requests) == (0, 0, 0)
    assert rows_of(state, second.facts) == rows

    plan = plan_source(store=state, source=source, clock=utc_now)
    assert [(chunk.kind.value, chunk.units, chunk.objects) for chunk in plan.chunks] == [("dicom_series", 5, FILES - 2)]
    assert plan.wave.counts.rejected_by_reason == {"invalid_header": 2}
    assert headers.read() is None


def test_two_studies_are_read_with_few_bytes_and_never_again(store: Store, tmp_path: Path) -> None:
    if store.name == "swift":
        pytest.skip("the three kinds of API are enough: each takes a while to be filled with 160 MB")
    name, bucket = store.bucket()

    check_series(source_of(store, name, **RULES), LocalStateStore(tmp_path), bucket)


def test_two_studies_in_a_folder_are_read_with_few_bytes_and_never_again(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    source = SourceSettings.model_validate({"name": "clinic", "uri": f"file://{tmp_path}/scans", **RULES})

    check_series(source, LocalStateStore(tmp_path / "state"), Folder(tmp_path / "scans"))


def objects_of(source: SourceSettings, folder: Path) -> dict[str, StoredObject]:
    state = LocalStateStore(folder)
    batches = read_inventory(state, listed(source, state))
    return {item.key: item for batch in batches for item in StoredObject.of(batch)}


def test_every_key_that_a_store_holds_is_read_under_exactly_that_key(store: Store, tmp_path: Path) -> None:
    name, bucket = store.bucket()
    # The emulator of GCS gives names that differ in their last slashes the same content.
    keys = [key for key in store.held if store.name != "gcs" or not key.endswith("/")]
    content = {key: f"{number}: {key}".encode() for number, key in enumerate(keys)}
    put_all(bucket, content)
    source = source_of(store, name)
    reader = make_reader(source)
    found = objects_of(source, tmp_path)

    assert {key: reader.read(item, 0, 10_000) for key, item in found.items()} == content


def check_ranges(reader: ObjectReader, item: StoredObject, content: bytes) -> None:
    assert reader.read(item, 0, 10) == content[:10]
    assert reader.read(item, 500, 1000) == content[500:1500]
    assert reader.read(item, len(content) - 3, 50) == content[-3:]
    assert reader.read(item, 0, len(content) + 5) == content


def test_ranges_are_exact_and_another_version_of_an_object_is_not_read(store: Store, tmp_path: Path) -> None:
    name, bucket = store.bucket()
    content = bytes(range(256)) * 40
    for key in ("stays", "changes", "grows", "goes"):
        bucket.put(key, content)
    source = source_of(store, name)
    reader = make_reader(source)
    found = objects_of(source, tmp_path)
    # The emulator of GCS knows no conditions: there only the size shows that it is another one.
    bucket.put("changes", content[::-1] if store.name != "gcs" else content[1:])
    bucket.put("grows", content * 2)
    bucket.delete("goes")

    check_ranges(reader, found["stays"], content)
    for key, said in (("changes", "has changed"), ("grows", "has changed"), ("goes", "gone")):
        with pytest.raises(ObjectReadError, match=said) as raised:
            reader.read(found[key], 0, 10)
        assert key in str(raised.value)
        assert not raised.value.is_refused


def test_what_was_listed_without_an_etag_is_compared_by_its_size(store: Store, tmp_path: Path) -> None:
    name, bucket = store.bucket()
    bucket.put("a", b"0123456789")
    source = source_of(store, name)
    item = objects_of(source, tmp_path)["a"]
    bare = StoredObject(key="a", size=item.size, last_modified=item.last_modified - timedelta(hours=1))
    reader = make_reader(source)

    assert reader.read(bare, 2, 3) == b"234"
    bucket.put("a", b"0123456789 and more")
    with pytest.raises(ObjectReadError, match="has changed"):
        reader.read(bare, 2, 3)
