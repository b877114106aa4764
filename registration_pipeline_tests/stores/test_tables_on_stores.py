"""Tables in buckets of stores that others wrote give what the same files give on disk."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registration_pipeline.errors import ConfigurationError, HaltError, NotFoundError
from registration_pipeline.facts.sets import read_facts
from registration_pipeline.facts.tables.files import TableFiles
from registration_pipeline.facts.tables.reading import read_table
from registration_pipeline.project.clients.tables import ClientPlaces
from registration_pipeline.project.project import utc_now
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.stores.processes import AZURITE_ACCOUNT, AZURITE_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline_tests.stores.hostile_stores import Bucket, Store

pytestmark = pytest.mark.slow

ROWS = 4_000


def parquet_of(keys: list[str], seed: int) -> bytes:
    """Return a file of some 9 MB: more than what is copied at the same time of a bucket."""
    draw = random.Random(seed)
    numbers = [[draw.random() for _ in range(600)] for _ in keys]
    target = io.BytesIO()
    table = pa.table({"image": keys, "clip": pa.array(numbers, pa.list_(pa.float32())), "n": list(range(len(keys)))})
    pq.write_table(table, target)
    return target.getvalue()


FILES = {
    "tables/é 1%41/labels-1.parquet": parquet_of([f"raw/{row}.jpg" for row in range(ROWS)], 1),
    "tables/é 1%41/labels-2.parquet": parquet_of([f"raw/{row}.jpg" for row in range(ROWS - 1, ROWS + 9)], 2),
    "tables/é 1%41/labels-2.parquet.bak": b"not a table",
    "tables/é 1%41/x/labels-3.parquet": b"not a table",
}
PATTERN = "tables/é 1%41/labels-*.parquet"


def fill(bucket: Bucket) -> None:
    for key, content in FILES.items():
        bucket.put(key, content)


def source_of(uri: str, table: str, **storage: Any) -> SourceSettings:
    entry = {"table": table, "key": "image", "prefix": "t."}
    values = {"name": "fleet", "uri": uri, "storage": {"region": "us-east-1", **storage}, "metadata": [entry]}
    return SourceSettings.model_validate(values)


def read(source: SourceSettings, folder: Path) -> FactSet:
    return read_table(
        store=LocalStateStore(folder / "state"),
        source=source,
        index=0,
        entry=source.metadata[0],
        base_folder=folder,
        places=ClientPlaces(),
        inventory=None,
        clock=utc_now,
    )


def rows_of(facts: FactSet, folder: Path) -> list[dict[str, Any]]:
    return [row for batch in read_facts(LocalStateStore(folder / "state"), facts) for row in batch.to_pylist()]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the files give on disk."""
    folder = tmp_path_factory.mktemp("disk")
    for key, content in FILES.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    rows = rows_of(read(source_of("s3://bucket/raw/", PATTERN), folder), folder)
    assert len(rows) == ROWS + 9
    assert sum(row["values"] is not None and row["values"].startswith('{"t.clip":[') for row in rows) == ROWS + 8
    (twice,) = [row["message"] for row in rows if row["problem"]]
    assert f"row {ROWS:,} of tables/é 1%41/labels-1.parquet and row 1 of tables/é 1%41/labels-2.parquet" in twice
    return rows


def test_a_pattern_in_the_bucket_of_the_source_gives_what_the_files_give_on_disk(
    store: Store, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    name, bucket = store.bucket()
    fill(bucket)
    place = store.uri.format(bucket=name)
    source = source_of(f"{place}raw/", place + PATTERN, endpoint_url=store.endpoint_url)
    first = read(source, tmp_path)

    for row, other in zip(rows_of(first, tmp_path), expected, strict=True):
        assert (row["key"], row["values"], row["problem"]) == (other["key"], other["values"], other["problem"])
    assert [file["name"] for file in first.notes["files"]] == [place + key for key in list(FILES)[:2]]
    assert [file["size"] for file in first.notes["files"]] == [len(FILES[key]) for key in list(FILES)[:2]]

    assert read(source, tmp_path) == first
    bucket.put("tables/é 1%41/labels-2.parquet", parquet_of(["raw/new.jpg"], 3))
    second = read(source, tmp_path)
    assert second.facts_id > first.facts_id
    assert {row["key"] for row in rows_of(second, tmp_path)} == {
        *(f"raw/{row}.jpg" for row in range(ROWS)),
        "raw/new.jpg",
    }


def test_one_file_is_read_though_others_begin_with_its_name(store: Store, tmp_path: Path) -> None:
    name, bucket = store.bucket()
    for suffix in ("", ".bak", "/x"):
        if suffix != "/x" or store.name != "gcs":  # the emulator keeps folders
            bucket.put(f"t.csv{suffix}", b"image,x\na,1\n" if not suffix else b"other")
    place = store.uri.format(bucket=name)
    facts = read(source_of(f"{place}raw/", f"{place}t.csv", endpoint_url=store.endpoint_url), tmp_path)

    assert [(row["key"], row["values"]) for row in rows_of(facts, tmp_path)] == [("a", '{"t.x":"1"}')]


def test_what_is_not_there_is_refused_by_the_name_of_the_entry(store: Store, tmp_path: Path) -> None:
    name, bucket = store.bucket()
    bucket.put("t.csv.bak", b"image\n")
    place = store.uri.format(bucket=name)
    for table, said in (("t.csv", "there is no such file"), ("*.csv", "no file matches it")):
        with pytest.raises(ConfigurationError, match=said) as raised:
            read(source_of(place, place + table, endpoint_url=store.endpoint_url), tmp_path)
        assert raised.value.key == "sources.fleet.metadata[0].table"

    elsewhere = store.uri.format(bucket="not-there-at-all")
    with pytest.raises((NotFoundError, ConfigurationError)) as missing:
        read(source_of(place, f"{elsewhere}t.csv", endpoint_url=store.endpoint_url), tmp_path)
    assert "metadata[0].table" in str(missing.value)
    assert "sources.fleet.uri" not in str(missing.value)


def test_a_file_that_changes_between_listing_and_reading_halts(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, bucket = store.bucket()
    bucket.put("t.csv", b"image,x\na,1\n")
    place = store.uri.format(bucket=name)
    found = TableFiles.find

    def find_and_change(files: TableFiles) -> Any:
        listed = found(files)
        bucket.put("t.csv", b"image,x\na,12345\n")
        return listed

    monkeypatch.setattr(TableFiles, "find", find_and_change)
    with pytest.raises(HaltError, match=r"A table of `sources\.fleet\.metadata\[0\]\.table` can't be read: .* changed"):
        read(source_of(place, f"{place}t.csv", endpoint_url=store.endpoint_url), tmp_path)


def own_chain(store: Store) -> dict[str, str]:
    """Return what leads the provider's default chain to the emulator."""
    return {
        "moto": {"AWS_ENDPOINT_URL_S3": store.endpoint_url},
        "swift": {"AWS_ENDPOINT_URL_S3": store.endpoint_url},
        "gcs": {"STORAGE_EMULATOR_HOST": store.endpoint_url},
        "azurite": {
            "AZURE_STORAGE_CONNECTION_STRING": f"AccountName={AZURITE_ACCOUNT};AccountKey={AZURITE_KEY};"
            f"BlobEndpoint={store.endpoint_url}"
        },
    }[store.name]


def test_a_table_in_another_store_than_the_source_is_read_with_the_providers_own_chain(
    store: Store, tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    for variable, value in own_chain(store).items():
        clean_environment.setenv(variable, value)
    name, bucket = store.bucket()
    bucket.put("t.csv", b"image,x\na,1\n")
    (tmp_path / "media").mkdir()
    source = SourceSettings.model_validate(
        {
            "name": "fleet",
            "uri": f"file://{tmp_path}/media",
            "metadata": [{"table": f"{store.uri.format(bucket=name)}t.csv", "key": "image"}],
        }
    )
    facts = read(source, tmp_path)

    assert [row["values"] for row in rows_of(facts, tmp_path)] == ['{"x":"1"}']
