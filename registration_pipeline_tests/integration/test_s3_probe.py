"""What a top-up and a listing of versions do with answers that are not a listing: never mistake them for an empty folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import ListingError
from registration_pipeline.inventory.reports.bucket_places import S3Place
from registration_pipeline.inventory.s3.folder_probe import S3FolderProbe
from registration_pipeline.inventory.s3.versions import S3VersionLister
from registration_pipeline_tests.integration.listing_store import ListingStore, Reply, running

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


BODIES = {"cut right after the headers": b"", "a proxy's page": b"<html><body>Welcome</body></html>"}
READERS: dict[str, Callable[[S3Client], object]] = {
    "top-up": lambda client: list(S3FolderProbe(client, "bucket", source="fleet").pages("raw/")),
    "versions": lambda client: list(S3VersionLister(client, "bucket", "raw/", source="fleet").list_objects()),
    "reports": lambda client: S3Place(client, "bucket", source="fleet").level("raw/"),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_an_answer_that_is_no_listing_is_not_an_empty_folder(read: Callable[[S3Client], object], body: bytes) -> None:
    store = ListingStore(["raw/a.jpg"], interfere=lambda _number, _asked, _reply: Reply(200, body))

    with running(store), pytest.raises(ListingError, match=r"bucket bucket.*no listing.*`sources\.fleet\.storage"):
        read(store.client(attempts=1))
