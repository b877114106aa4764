"""A page that leaves open whether there is more ends no listing of S3: a part of a bucket never counts as all of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import ListingError
from registration_pipeline.inventory.reports.bucket_places import S3Place
from registration_pipeline.inventory.s3.folder_probe import S3FolderProbe
from registration_pipeline.inventory.s3.lister import S3Lister
from registration_pipeline.inventory.s3.processes.pool import WhenToStart
from registration_pipeline.inventory.s3.versions import S3VersionLister
from registration_pipeline_tests.integration.listing_store import ListingStore, Reply, running

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_s3 import S3Client

    from registration_pipeline.inventory.lister import ObjectLister

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("aws_environment")]

KEYS = [f"raw/{number:04d}.jpg" for number in range(300)]
VERSION = (
    "<Version><Key>raw/a</Key><IsLatest>true</IsLatest><LastModified>2026-11-21T02:00:00Z</LastModified><Size>1</Size>"
    "</Version>"
)


def lister(client: S3Client, concurrency: int) -> S3Lister:
    processes = WhenToStart(0)
    return S3Lister(
        client,
        "bucket",
        "raw/",
        source="fleet",
        page_size=20,
        concurrency=concurrency,
        fan_out_after=100,
        when=processes,
    )


def keys_of(listing: ObjectLister) -> list[str]:
    return [key for batch in listing.list_objects() for key in batch.column("key").to_pylist()]


LISTINGS: dict[str, tuple[Callable[[S3Client], ObjectLister], list[str]]] = {
    "page after page": (lambda client: lister(client, 1), KEYS),
    "in many places": (lambda client: lister(client, 5), KEYS),
    "a key range": (lambda client: lister(client, 1).between(KEYS[9], None), KEYS[10:]),
}
ENDINGS = {
    "missing": "",
    "empty": "<IsTruncated/>",
    "another writing": "<IsTruncated>True</IsTruncated>",
    "a contradiction": "<IsTruncated>false</IsTruncated>",
}


def in_the_middle(ending: str) -> Callable[[int, Mapping[str, str], Reply], Reply]:
    """Return what gives each page with a key in the middle another ending."""

    def interfere(_number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
        if KEYS[150].encode() in reply.body:
            reply.body = re.sub(rb"<IsTruncated>true</IsTruncated>", ending.encode(), reply.body)
        return reply

    return interfere


@pytest.mark.parametrize(("listing", "expected"), LISTINGS.values(), ids=LISTINGS)
def test_what_is_listed_is_all_or_an_error(listing: Callable[[S3Client], ObjectLister], expected: list[str]) -> None:
    with running(ListingStore(KEYS)) as store:
        client = store.client(attempts=1)
        assert keys_of(listing(client)) == expected
        for ending in ENDINGS.values():
            store.interfere = in_the_middle(ending)
            with pytest.raises(ListingError, match=r"IsTruncated|where to go on"):
                keys_of(listing(client))


READERS: dict[str, tuple[Callable[[S3Client], object], str, str]] = {
    "top-up": (
        lambda client: list(S3FolderProbe(client, "bucket", source="fleet").pages("raw/")),
        "ListBucketResult",
        "NextContinuationToken",
    ),
    "versions": (
        lambda client: list(S3VersionLister(client, "bucket", "raw/", source="fleet").list_objects()),
        "ListVersionsResult",
        "NextKeyMarker",
    ),
    "reports": (
        lambda client: S3Place(client, "bucket", source="fleet").level("raw/"),
        "ListBucketResult",
        "NextContinuationToken",
    ),
}


@pytest.mark.parametrize(("read", "root", "token"), READERS.values(), ids=READERS)
def test_so_it_is_with_versions_top_ups_and_reports(read: Callable[[S3Client], object], root: str, token: str) -> None:
    def saying(ending: str) -> Callable[[int, Mapping[str, str], Reply], Reply]:
        return lambda *_: Reply(200, f"<{root}><Name>bucket</Name>{VERSION}{ending}</{root}>".encode())

    more = f"<{token}>20</{token}>"
    with running(ListingStore([], saying("<IsTruncated>false</IsTruncated>"))) as store:
        client = store.client(attempts=1)
        assert read(client)
        for ending in (*(ending + more for ending in ENDINGS.values()), "<IsTruncated>true</IsTruncated>"):
            store.interfere = saying(ending)
            with pytest.raises(ListingError, match=r"sources\.fleet") as caught:
                read(client)
            assert re.search("IsTruncated|where to go on", str(caught.value))
