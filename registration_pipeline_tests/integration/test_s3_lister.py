"""Listing a bucket over HTTP: every key comes out exactly as it went in."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.inventory.inventory import read_inventory, take_inventory
from registration_pipeline.inventory.s3.lister import S3Lister
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.project.clients.listers import make_lister
from registration_pipeline.project.clients.s3 import make_s3_client
from registration_pipeline.settings import SourceSettings, StorageSettings
from registration_pipeline.state.local import LocalStateStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

    from registration_pipeline_tests.conftest import S3Bucket

pytestmark = pytest.mark.slow

HOSTILE_KEYS = [
    "plain.jpg",
    "a b",
    "a+b",
    "a%2Fb",
    "a%20b",
    "a%2Bb",
    "a%",
    "a%zz",
    "a%00b",
    "%",
    "+",
    " ",
    " leading space",
    "trailing space ",
    "trailing spaces/  ",
    "tab\there",
    "new\nline",
    "carriage\rreturn",
    "both\r\nof them",
    "bell\x07",
    "start\x01end",
    "escape\x1b[31m",
    "delete\x7f",
    "c1\x85control",
    "no\u00a0break",
    "line\u2028separator",
    "zero\u200bwidth",
    "bom\ufeff",
    "noncharacter\uffff",
    "e\u0301 decomposed",
    "\u00e9 composed",
    "\U0001f600.png",
    "\U0010ffff",
    "日本語/写真.jpg",
    "dbl//slash.jpg",
    "tri///slash.jpg",
    "/leading.jpg",
    "//two-leading.jpg",
    "marker/",
    "marker//",
    "a/./b.jpg",
    "a/../b.jpg",
    "..hidden",
    "hash#fragment",
    "question?query=1&x=2",
    "amp&lt;entity&#10;",
    "<xml>]]>",
    "quote\"double'single",
    "back\\slash",
    "semi;colon:at@equals=comma,",
    "star*pipe|brace{}[]^`~!$()",
    "a.txt",
    "a-b",
    "a/x",
    "A",
    "Z",
    "k" * 1024,
    "é" * 512,
]
# moto's URL routes are regular expressions whose "." stops at a newline, so it answers such a PUT with 404. It can hold
# and list these keys, so they are put into its backend, which lives in this process.
NEWLINE_KEYS = [key for key in HOSTILE_KEYS if "\n" in key]


def keys_of(batches: list[pa.RecordBatch]) -> list[str]:
    return [key for batch in batches for key in batch.column("key").to_pylist()]


def put_hostile_keys(bucket: S3Bucket) -> None:
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for key in HOSTILE_KEYS:
        if key in NEWLINE_KEYS:
            backend.put_object(bucket.name, key, b"x")
        else:
            bucket.put(key)


@pytest.mark.parametrize("page_size", [1, 7, 1000])
def test_hostile_keys_come_out_exactly_and_in_order(s3_bucket: Callable[[], S3Bucket], page_size: int) -> None:
    bucket = s3_bucket()
    put_hostile_keys(bucket)

    lister = S3Lister(bucket.client, bucket.name, page_size=page_size)
    listed = keys_of(list(lister.list_objects()))

    assert len(HOSTILE_KEYS) >= 40
    assert listed == sorted(HOSTILE_KEYS)
    assert lister.requests == -(-len(HOSTILE_KEYS) // page_size)


@pytest.mark.parametrize("prefix", ["a", "a/", "é", "a b/%2F+/", "none/"])
def test_only_keys_below_the_prefix_are_listed(s3_bucket: Callable[[], S3Bucket], prefix: str) -> None:
    bucket = s3_bucket()
    keys = ["a", "a/x", "ab", "b/a/x", "é/x", "a b/%2F+/x", "a b//+/x"]
    for key in keys:
        bucket.put(key)

    listed = keys_of(list(S3Lister(bucket.client, bucket.name, prefix).list_objects()))

    assert listed == sorted(key for key in keys if key.startswith(prefix))


def test_every_column_is_what_the_store_says(s3_bucket: Callable[[], S3Bucket]) -> None:
    bucket = s3_bucket()
    before = datetime.now(UTC) - timedelta(seconds=2)
    bucket.client.put_object(Bucket=bucket.name, Key="warm", Body=b"12345")
    bucket.client.put_object(Bucket=bucket.name, Key="cold", Body=b"", StorageClass="GLACIER")

    [batch] = S3Lister(bucket.client, bucket.name).list_objects()
    cold, warm = batch.to_pylist()

    assert batch.schema.equals(INVENTORY_SCHEMA)
    assert (cold["key"], cold["size"], cold["storage_class"]) == ("cold", 0, "GLACIER")
    assert (warm["key"], warm["size"], warm["storage_class"]) == ("warm", 5, "STANDARD")
    assert warm["e_tag"] == hashlib.md5(b"12345").hexdigest()
    assert before <= warm["last_modified"] <= datetime.now(UTC) + timedelta(seconds=2)
    assert warm["content_type"] is warm["version"] is None


def test_an_empty_bucket_has_no_rows(s3_bucket: Callable[[], S3Bucket]) -> None:
    bucket = s3_bucket()
    lister = S3Lister(bucket.client, bucket.name)

    assert list(lister.list_objects()) == []
    assert lister.requests == 1
    assert lister.description == f"s3://{bucket.name}/ via ListObjectsV2"


def test_an_inventory_of_a_bucket_reads_back_from_the_state(s3_bucket: Callable[[], S3Bucket], tmp_path: Path) -> None:
    bucket = s3_bucket()
    put_hostile_keys(bucket)
    source = SourceSettings(
        name="fleet",
        uri=f"s3://{bucket.name}/",
        storage=StorageSettings(endpoint_url=bucket.endpoint_url, region="eu-west-2"),
    )
    store = LocalStateStore(tmp_path)

    inventory = take_inventory(
        lister=make_lister(source), store=store, source="fleet", clock=lambda: datetime(2026, 11, 21, 2, tzinfo=UTC)
    )

    assert inventory.objects == inventory.bytes == len(HOSTILE_KEYS)
    assert inventory.inventory_id == "20261121T020000Z"
    assert keys_of(list(read_inventory(store, inventory))) == sorted(HOSTILE_KEYS)


def test_the_client_has_the_options_that_listing_needs(aws_environment: str) -> None:
    own = make_s3_client(StorageSettings(endpoint_url=aws_environment, region="eu-west-2"))
    amazon = make_s3_client(StorageSettings(region="eu-west-1"))

    for client in (own, amazon):
        config: Any = client.meta.config
        assert config.request_checksum_calculation == "when_required"
        assert config.response_checksum_validation == "when_required"
        assert (config.connect_timeout, config.read_timeout) == (10, 60)
        assert config.retries == {"mode": "standard", "total_max_attempts": 5}
    own_config: Any = own.meta.config
    assert own_config.s3["addressing_style"] == "path"
    assert own.meta.endpoint_url == aws_environment
    assert amazon.meta.region_name == "eu-west-1"


def test_a_profile_that_does_not_exist_names_its_setting(aws_environment: str) -> None:
    storage = StorageSettings(profile="no-such-profile", region="eu-west-2")
    with pytest.raises(ConfigurationError, match=r"^sources\.fleet\.storage\.profile: .*list-profiles"):
        make_lister(SourceSettings(name="fleet", uri="s3://bucket/", storage=storage))
