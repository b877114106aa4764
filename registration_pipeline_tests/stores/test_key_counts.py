"""What S3-compatible servers say of the number of entries of a page: a listing compares it with what the page holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline.inventory.s3.folder_probe import S3FolderProbe
from registration_pipeline.inventory.s3.lister import S3Lister
from registration_pipeline.project.clients.s3 import open_s3

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline_tests.state_places import StateServers

pytestmark = pytest.mark.slow

KEYS = [f"raw/{number:02d}.jpg" for number in range(25)]


@pytest.mark.parametrize("name", ["moto", "swift", "seaweedfs"])
def test_the_number_that_a_server_says_is_that_of_its_entries(
    name: str, state_servers: StateServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = state_servers.place(name, tmp_path).use(monkeypatch).server
    assert server is not None
    name, bucket = server.bucket()
    for key in (*KEYS, "raw/folder-1/x.jpg", "raw/folder-2/y.jpg"):
        bucket.put(key)
    client = open_s3(endpoint_url=server.endpoint_url, region_name="us-east-1")

    counts = [
        page["KeyCount"]
        for page in client.get_paginator("list_objects_v2").paginate(
            Bucket=name, Prefix="raw/", PaginationConfig={"PageSize": 10}
        )
    ]
    listed = [key for batch in S3Lister(client, name, "raw/", page_size=10).list_objects() for key in batch["key"]]
    folders = [folder for page in S3FolderProbe(client, name, page_size=10).pages("raw/") for folder in page.folders]

    assert counts == [10, 10, 7]
    assert [key.as_py() for key in listed] == [*KEYS, "raw/folder-1/x.jpg", "raw/folder-2/y.jpg"]
    assert folders == ["raw/folder-1/", "raw/folder-2/"]
