"""The local S3 server holds exactly the demo's keys, bytes and storage classes."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from registration_pipeline.demo.bucket import serve_bucket, upload_folder
from registration_pipeline.demo.key_map import MappedKey
from registration_pipeline.demo.layout import bucket_layout
from registration_pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from registration_pipeline.demo.bucket import BucketServer
    from registration_pipeline.demo.layout import DemoLayout

pytestmark = pytest.mark.slow

BUCKET = "fleet-demo"


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> DemoLayout:
    layout = bucket_layout(tmp_path_factory.mktemp("demo") / "bucket")
    layout.write()
    return layout


@pytest.fixture(scope="module")
def server(layout: DemoLayout) -> Iterator[BucketServer]:
    with serve_bucket(layout.folder, BUCKET) as server:
        yield server


@pytest.fixture
def client(server: BucketServer) -> Iterator[S3Client]:
    with closing(server.client()) as client:
        yield client


@pytest.fixture
def small(tmp_path: Path) -> Path:
    folder = tmp_path / "bucket"
    folder.mkdir()
    (folder / "a b.txt").write_bytes(b"one")
    return folder


def listed(client: S3Client, bucket: str) -> dict[str, str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 50})
    return {found["Key"]: found["StorageClass"] for page in pages for found in page.get("Contents", ())}


def test_the_listing_shows_every_key_exactly_and_nothing_else(
    layout: DemoLayout, server: BucketServer, client: S3Client
) -> None:
    names = [*layout.media, *layout.broken, *layout.excluded]
    expected = {layout.key(layout.folder / name) for name in names} | set(layout.rejected)
    assert set(listed(client, BUCKET)) == expected
    assert server.objects == layout.objects == len(expected)
    assert any("//" in key for key in expected)
    assert not any(key.startswith("unnameable") for key in expected)


def test_every_object_has_the_bytes_of_its_file(layout: DemoLayout, client: S3Client) -> None:
    for name in (*layout.media[:14], *layout.media[-6:], *layout.broken):
        key = layout.key(layout.folder / name)
        assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == (layout.folder / name).read_bytes()


def test_storage_classes_and_the_directory_marker_come_from_the_key_map(client: S3Client) -> None:
    classes = listed(client, BUCKET)
    assert [key for key, name in classes.items() if name != "STANDARD"] == ["archive/2019-06-01/frame_000001.jpg"]
    assert client.head_object(Bucket=BUCKET, Key="empty-folder/")["ContentLength"] == 0


def test_repaired_and_added_files_reach_the_bucket_alone(tmp_path: Path) -> None:
    layout = bucket_layout(tmp_path / "bucket")
    layout.repair_files(layout.broken_paths[:1])
    with serve_bucket(layout.folder, "fleet-repair") as server, closing(server.client()) as client:
        added = layout.add_files(3)
        assert upload_folder(client, "fleet-repair", layout.folder, paths=added) == 3
        assert len(listed(client, "fleet-repair")) == 4
        layout.break_files(layout.broken_paths[:1])
        assert upload_folder(client, "fleet-repair", layout.folder, paths=layout.broken_paths[:1]) == 1
        body = client.get_object(Bucket="fleet-repair", Key=layout.broken[0])["Body"].read()
        assert body == layout.broken_paths[0].read_bytes()


def test_a_restart_on_the_same_port_holds_the_folder_again_and_nothing_older(small: Path) -> None:
    with serve_bucket(small, "restarted") as server, closing(server.client()) as client:
        client.put_object(Bucket="restarted", Key="left over.txt", Body=b"old")
        tag = client.head_object(Bucket="restarted", Key="a b.txt")["ETag"]
    with serve_bucket(small, "restarted", server.port) as again, closing(again.client()) as client:
        assert again.endpoint_url == server.endpoint_url
        assert list(listed(client, "restarted")) == ["a b.txt"]
        assert client.head_object(Bucket="restarted", Key="a b.txt")["ETag"] == tag


def test_one_file_can_stand_under_several_mapped_keys_and_then_not_under_its_own(small: Path) -> None:
    extra = [MappedKey(key=key, file="a b.txt") for key in ("a//b", "/a", "a\tb", "ü", "u\u0308")]
    with serve_bucket(small, "mapped") as server, closing(server.client()) as client:
        client.delete_object(Bucket="mapped", Key="a b.txt")
        assert upload_folder(client, "mapped", small, extra=extra) == 5
        assert set(listed(client, "mapped")) == {entry.key for entry in extra}


@pytest.mark.parametrize(("public", "status"), [(True, 200), (False, 403)], ids=["public", "private"])
def test_only_a_public_bucket_can_be_read_without_signing(small: Path, public: bool, status: int) -> None:  # noqa: FBT001  # a case
    with serve_bucket(small, "readable", public=public) as server:
        url = f"{server.endpoint_url}/readable/{quote('a b.txt')}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            reply = opener.open(url)
        except urllib.error.HTTPError as error:
            reply = error
        with reply:
            assert reply.status == status
            assert (reply.read() == b"one") is public


def test_requests_are_not_logged(
    small: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="werkzeug")
    with serve_bucket(small, "silent") as server, closing(server.client()) as client:
        listed(client, "silent")
    assert [record for record in caplog.records if record.name == "werkzeug"] == []
    assert capfd.readouterr() == ("", "")


def test_a_taken_port_is_reported_and_not_waited_for(small: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"can't listen on 127.0.0.1:{port}"), serve_bucket(small, "b-ucket", port):
            pass


def test_a_missing_folder_is_reported_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="registration-pipeline demo"), serve_bucket(tmp_path / "none", "b-ucket"):
        pass
