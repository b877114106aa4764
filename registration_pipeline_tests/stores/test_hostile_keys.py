"""Every key that breaks things, in four stores that others wrote: what comes out is what went in, byte for byte."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import pytest

from registration_pipeline.inventory.inventory import read_inventory, take_inventory
from registration_pipeline.inventory.s3.lister import S3Lister
from registration_pipeline.inventory.s3.page_processes import WhenToStart
from registration_pipeline.project.clients.listers import make_lister
from registration_pipeline.project.clients.s3 import make_s3_client
from registration_pipeline.settings import SourceSettings, StorageSettings, UrlStyle
from registration_pipeline.settings.cross_checks import URL_STYLES
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.urls import url_writer
from registration_pipeline_tests.stores.hostile_keys import HOSTILE_KEYS
from registration_pipeline_tests.stores.hostile_stores import CANT_HOLD, Bucket, Store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = pytest.mark.slow

ARN = "arn:aws:s3::123123123:accesspoint/frf28frarf9.mrap"
BASES = {
    UrlStyle.VIRTUAL_HOSTED: "http://{bucket}.{host}/",
    UrlStyle.PATH: "{endpoint}/{bucket}/",
    UrlStyle.S3: "s3://{bucket}/",
    UrlStyle.MRAP: f"https://{ARN}.s3-accesspoint.amazonaws.com/",
    UrlStyle.GS: "gs://{bucket}/",
    UrlStyle.HTTPS: "https://storage.cloud.google.com/{bucket}/",
    UrlStyle.AZURE: "https://devstoreaccount1.blob.core.windows.net/{bucket}/",
    UrlStyle.OBS: "https://{bucket}.obs.us-east-1.otc.t-systems.com/",
}


def put_all(bucket: Bucket, keys: Iterable[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(bucket.put, keys))


def source_of(store: Store, bucket: str, style: UrlStyle | None = None, *, uri: str | None = None) -> SourceSettings:
    storage = StorageSettings(endpoint_url=store.endpoint_url, region="us-east-1", access_point_arn=ARN)
    values = {"name": "fleet", "uri": (uri or store.uri).format(bucket=bucket), "storage": storage, "url_style": style}
    return SourceSettings.model_validate(values)


def inventory_keys(source: SourceSettings, folder: Path) -> list[str]:
    store = LocalStateStore(folder)
    clock = lambda: datetime(2026, 11, 21, 2, tzinfo=UTC)  # noqa: E731
    inventory = take_inventory(lister=make_lister(source), store=store, source="fleet", clock=clock)
    return [key for batch in read_inventory(store, inventory, ["key"]) for key in batch.column("key").to_pylist()]


def can_hold(store: Store, key: str) -> bool:
    """Put one key alone into a bucket and ask the provider's own client for what is there."""
    _, bucket = store.bucket()
    try:
        bucket.put(key)
        return bucket.keys() == [key]
    except Exception:  # noqa: BLE001 - whatever the client raises, the key is not held
        return False


def test_there_are_sixty_hostile_keys_and_no_twins() -> None:
    assert len(HOSTILE_KEYS) == len(set(HOSTILE_KEYS)) >= 60
    assert max(len(key.encode()) for key in HOSTILE_KEYS) == 1024


def test_an_inventory_holds_the_keys_of_the_store_byte_for_byte(store: Store, tmp_path: Path) -> None:
    name, bucket = store.bucket()
    put_all(bucket, store.held)

    listed = inventory_keys(source_of(store, name), tmp_path)

    assert [key.encode() for key in listed] == sorted(key.encode() for key in store.held)
    assert sorted(listed) == sorted(bucket.keys())


def test_processes_that_read_pages_of_s3_hold_the_keys_byte_for_byte(store: Store) -> None:
    if not store.uri.startswith("s3://"):
        pytest.skip("only listings of S3 have such processes")
    name, bucket = store.bucket()
    put_all(bucket, store.held)
    client = make_s3_client(source_of(store, name).storage)
    when = WhenToStart(1, after_pages=1, busy=0.0, is_awaited=True)
    lister = S3Lister(client, name, page_size=4, concurrency=3, fan_out_after=16, when=when)

    listed = [key for batch in lister.list_objects() for key in batch.column("key").to_pylist()]

    pages = client.get_paginator("list_objects_v2").paginate(Bucket=name)
    assert listed == [entry["Key"] for page in pages for entry in page["Contents"]]
    assert [key.encode() for key in listed] == sorted(key.encode() for key in store.held)
    assert lister._requests.plain.made_elsewhere > len(listed) / 4 / 3


def test_the_keys_that_a_store_can_not_hold_are_those_that_it_is_said_not_to_hold(store: Store) -> None:
    """The others are proven by the test above; a key here that can be held after all has no excuse."""
    said = CANT_HOLD[store.name]

    assert set(said) <= set(HOSTILE_KEYS)
    assert [key for key in said if can_hold(store, key)] == []


def test_every_object_url_decodes_to_its_key_in_every_style(store: Store) -> None:
    name, bucket = store.bucket()
    put_all(bucket, store.held)
    scheme = source_of(store, name).location.scheme

    for style in URL_STYLES[scheme]:
        source = source_of(store, name, style)
        write = url_writer(source)
        base = BASES[style].format(bucket=name, endpoint=store.endpoint_url, host=store.endpoint_url[len("http://") :])
        for key in bucket.keys():  # noqa: SIM118 - a bucket is no mapping
            url = write(key)
            assert url.startswith(base)
            assert unquote_to_bytes(url[len(base) :]) == key.encode()
            assert not set(url) & set(" \t\r\n+#?")


@pytest.mark.parametrize("store", ["moto", "swift"], indirect=True)
def test_obs_is_listed_through_its_s3_api(store: Store, tmp_path: Path) -> None:
    name, bucket = store.bucket()
    put_all(bucket, store.held)
    source = source_of(store, name, uri="obs://{bucket}/")

    assert inventory_keys(source, tmp_path) == sorted(store.held)
    assert url_writer(source)("a b") == f"{store.endpoint_url}/{name}/a%20b"


@pytest.mark.parametrize("prefix", ["a", "a/", "\u00e9", "a%2Fb", "dbl//", "none/", "p q+&=#?/"])
def test_only_keys_below_the_prefix_are_listed(store: Store, prefix: str, tmp_path: Path) -> None:
    name, bucket = store.bucket()
    keys = ["a", "a/x", "ab", "b/a/x", "\u00e9/x", "e\u0301/x", "a%2Fb", "a/b", "dbl//x", "dbl/x", "p q+&=#?/x"]
    put_all(bucket, keys)

    listed = inventory_keys(source_of(store, name, uri=store.uri + prefix), tmp_path)

    assert listed == sorted(key for key in keys if key.startswith(prefix))
