"""Version ids of current objects, from a versioned bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline.inventory.inventory import read_inventory, take_inventory
from registration_pipeline.inventory.s3.versions import S3VersionLister
from registration_pipeline.project.clients.listers import make_lister
from registration_pipeline.project.project import utc_now
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.local import LocalStateStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registration_pipeline_tests.conftest import S3Bucket

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(s3_bucket: Callable[[], S3Bucket]) -> S3Bucket:
    return s3_bucket()


@pytest.fixture
def versioned(bucket: S3Bucket) -> dict[str, str]:
    """Fill a versioned bucket and return the version id of each object that is there now."""
    client = bucket.client
    client.put_object(Bucket=bucket.name, Key="raw/before versioning.jpg", Body=b"old")
    client.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})

    def put(key: str, body: bytes) -> str:
        return str(client.put_object(Bucket=bucket.name, Key=key, Body=body)["VersionId"])

    for number in range(5):
        put("raw/a+b c.jpg", b"x" * number)
    put("raw/gone.jpg", b"x")
    client.delete_object(Bucket=bucket.name, Key="raw/gone.jpg")
    put("raw/back.jpg", b"x")
    client.delete_object(Bucket=bucket.name, Key="raw/back.jpg")
    put("other/out.jpg", b"x")
    return {
        "raw/a+b c.jpg": put("raw/a+b c.jpg", b"newest"),
        "raw/back.jpg": put("raw/back.jpg", b"again"),
        "raw/é//%.jpg": put("raw/é//%.jpg", b"x"),
    }


@pytest.mark.parametrize("page_size", [1, 3, 1000])
def test_the_current_versions_are_listed_whatever_the_pages(
    bucket: S3Bucket, versioned: dict[str, str], page_size: int, tmp_path: Path
) -> None:
    lister = S3VersionLister(bucket.client, bucket.name, "raw/", page_size=page_size)
    state = LocalStateStore(tmp_path)

    inventory = take_inventory(lister=lister, store=state, source="fleet", clock=utc_now)

    rows = [row for batch in read_inventory(state, inventory) for row in batch.to_pylist()]
    assert {row["key"]: row["version"] for row in rows} == {**versioned, "raw/before versioning.jpg": None}
    assert {row["key"]: row["size"] for row in rows}["raw/a+b c.jpg"] == len(b"newest")
    assert all(row["e_tag"] and '"' not in row["e_tag"] for row in rows)
    assert lister.requests >= 10 / page_size


def test_the_setting_chooses_this_listing(aws_environment: str) -> None:
    storage = {"versions": True, "endpoint_url": aws_environment, "region": "eu-west-2"}
    source = SourceSettings(name="fleet", uri="s3://bucket/raw/", storage=storage, encord={"integration": "x"})

    assert make_lister(source).description == "s3://bucket/raw/ via ListObjectVersions"
