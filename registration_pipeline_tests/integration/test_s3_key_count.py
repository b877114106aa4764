"""A page of S3 from which entries are missing ends the listing: its KeyCount says how many there were."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import ListingError
from registration_pipeline.inventory.reports.bucket_places import S3Place
from registration_pipeline.inventory.s3.folder_probe import S3FolderProbe
from registration_pipeline.inventory.s3.lister import S3Lister
from registration_pipeline.inventory.s3.processes.pool import WhenToStart
from registration_pipeline_tests.integration.listing_store import ListingStore, Reply, running

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_s3 import S3Client

    Interfere = Callable[[int, Mapping[str, str], Reply], Reply]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("aws_environment")]

KEYS = [f"raw/{number:04d}.jpg" for number in range(400)]
LOST = KEYS[250]
ENTRY = re.compile(rb"<Contents>.*?</Contents>")
ONE_PLACE: dict[str, Any] = {"concurrency": 1}
MANY_PLACES: dict[str, Any] = {"concurrency": 5, "when": WhenToStart(0)}
PROCESSES: dict[str, Any] = {"concurrency": 5, "when": WhenToStart(2, after_pages=1, busy=0, is_awaited=True)}
WAYS = {"page after page": ONE_PLACE, "in many places": MANY_PLACES, "in other processes": PROCESSES}


def lister(client: S3Client, **options: Any) -> S3Lister:
    return S3Lister(client, "bucket", "raw/", source="fleet", page_size=20, fan_out_after=100, **options)


def keys_of(listing: S3Lister) -> list[str]:
    return [key for batch in listing.list_objects() for key in batch.column("key").to_pylist()]


def counting(*, wrong_by: int = 0, is_cut: bool = False) -> Interfere:
    """Return what adds the number of its entries to each page, and then perhaps takes an entry out of one."""

    def interfere(_number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
        count = len(ENTRY.findall(reply.body)) + reply.body.count(b"<CommonPrefixes>") + wrong_by
        body = reply.body.replace(b"<IsTruncated>", b"<KeyCount>%d</KeyCount><IsTruncated>" % count)
        if is_cut:
            body = ENTRY.sub(lambda entry: b"" if LOST.encode() in entry[0] else entry[0], body)
        return Reply(reply.status, body)

    return interfere


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_listing_in_which_an_entry_is_missing_is_an_error_that_names_page_and_numbers(way: dict[str, Any]) -> None:
    with running(ListingStore(KEYS, counting())) as store:
        listing = lister(store.client(attempts=1), **way)
        assert keys_of(listing) == KEYS
        assert listing._requests.plain.made_elsewhere or way is not PROCESSES
        store.interfere = counting(is_cut=True)
        with pytest.raises(ListingError) as caught:
            keys_of(listing)

    text = str(caught.value)
    assert re.search(
        r"s3://bucket/raw/ via ListObjectsV2, after 'raw/\d{4}\.jpg'(?: \(continuation token '\d+'\))?: ", text
    )
    counted = re.search(r"the page holds (\d+) entries, and its KeyCount says (\d+)\.", text)
    assert counted is not None
    assert int(counted[1]) + 1 == int(counted[2])
    assert "Nothing was recorded. Run again" in text
    assert "set `sources.fleet.storage.key_count` to false" in text


def test_an_entry_that_is_missing_once_is_listed_when_the_page_is_asked_for_again() -> None:
    cut = 0

    def once(number: int, asked: Mapping[str, str], reply: Reply) -> Reply:
        nonlocal cut
        is_cut = LOST.encode() in reply.body and not cut
        cut += is_cut
        return counting(is_cut=is_cut)(number, asked, reply)

    with running(ListingStore(KEYS, once)) as store:
        assert keys_of(lister(store.client(attempts=1), **ONE_PLACE)) == KEYS

    assert cut == 1


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("wrong_by", [-1, 1])
def test_a_store_that_counts_wrongly_is_listed_in_the_same_way_where_the_user_says_so(
    way: dict[str, Any], wrong_by: int
) -> None:
    with running(ListingStore(KEYS, counting(wrong_by=wrong_by))) as store:
        with pytest.raises(ListingError, match=r"at its start: .*KeyCount"):
            keys_of(lister(store.client(attempts=1), **way))
        listing = lister(store.client(attempts=1), is_counted=False, **way)

        assert keys_of(listing) == KEYS
        assert listing._requests.plain.made > 10
        assert listing._requests.plain.made_elsewhere or way is not PROCESSES


READERS: dict[str, Callable[..., object]] = {
    "top-up": lambda client, **options: list(S3FolderProbe(client, "bucket", source="fleet", **options).pages("raw/")),
    "reports": lambda client, **options: S3Place(client, "bucket", source="fleet", **options).level("raw/"),
}
PLAIN_ENTRY = (
    "<Contents><Key>raw/a</Key><LastModified>2026-11-21T02:00:00Z</LastModified><Size>1</Size></Contents>"
    "<CommonPrefixes><Prefix>raw/f/</Prefix></CommonPrefixes>"
)


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_so_it_is_with_top_ups_and_reports_whose_folders_may_be_counted_or_not(read: Callable[..., object]) -> None:
    def saying(count: int) -> Interfere:
        said = f"<KeyCount>{count}</KeyCount><IsTruncated>false</IsTruncated>"
        body = f"<ListBucketResult><Name>bucket</Name>{PLAIN_ENTRY}{said}</ListBucketResult>".encode()
        return lambda *_: Reply(200, body)

    with running(ListingStore([])) as store:
        client = store.client(attempts=1)
        for right in (1, 2):
            store.interfere = saying(right)
            assert read(client)
        for wrong in (0, 3):
            store.interfere = saying(wrong)
            with pytest.raises(ListingError, match=r"holds 2 entries, and its KeyCount says.*sources\.fleet"):
                read(client)
            assert read(client, is_counted=False)
