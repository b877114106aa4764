"""Stores that never finish a reply or a listing, as real servers: each lister ends with an error that names the request."""

from __future__ import annotations

import functools
import gzip
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

import pytest

from registration_pipeline.errors import ListingError, ServiceUnavailableError
from registration_pipeline.inventory.bounds import PAGE_BYTES
from registration_pipeline.inventory.s3.lister import S3Lister
from registration_pipeline.project.clients.s3 import open_s3
from registration_pipeline_tests.hostile_http import HostileServer, head, seconds_since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registration_pipeline.inventory.lister import ObjectLister
    from registration_pipeline_tests.hostile_http import Connection

    Answer = Callable[[Connection, bytes], object]
    Listers = dict[str, Callable[..., ObjectLister]]

pytestmark = pytest.mark.slow  # it waits for real connections or processes

PAGE_SECONDS = 1.0
LATE_SECONDS = 30
"""botocore pauses between the tries that it has left after the time is over."""
XML = "application/xml"
MOST_EMPTY = 20


def s3(url: str, seconds: float = PAGE_SECONDS) -> ObjectLister:
    client = open_s3(endpoint_url=url, is_unsigned=True, region_name="eu-west-2", attempts=2)
    return S3Lister(client, "fleet", page_seconds=seconds)


def gcs(url: str, seconds: float = PAGE_SECONDS) -> ObjectLister:
    pytest.importorskip("google.cloud.storage")
    from registration_pipeline.inventory.gcs.lister import GCSLister
    from registration_pipeline.project.clients.gcs import open_gcs

    return GCSLister(open_gcs(endpoint_url=url), "fleet", page_seconds=seconds)


def azure(url: str, seconds: float = PAGE_SECONDS) -> ObjectLister:
    pytest.importorskip("azure.storage.blob")
    from registration_pipeline.inventory.azure.lister import AzureLister
    from registration_pipeline.project.clients.azure import open_container

    client = open_container("account", "fleet", url, {}, retries=1)
    return AzureLister(client, "account", page_seconds=seconds)


LISTERS: Final[Listers] = {"s3": s3, "gcs": gcs, "azure": azure}


def drip_the_body(connection: Connection, _request: bytes) -> None:
    connection.send(head(kind=XML))
    connection.drip_for_ever()


def drip_the_head(connection: Connection, _request: bytes) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\nX-Endless: ")
    connection.drip_for_ever(b"x")


def grow(connection: Connection, _request: bytes) -> None:
    connection.send(head(kind=XML))
    while True:
        connection.send(b" " * (1 << 22))


def unpack(connection: Connection, _request: bytes) -> None:
    connection.reply(unpacking(), "Content-Encoding: gzip")


@functools.cache
def unpacking() -> bytes:
    return gzip.compress(b" " * (PAGE_BYTES + 1))


CASES: Final[dict[tuple[str, str], tuple[Answer, str]]] = {
    **{(name, "drips"): (drip_the_body, "no whole reply within 1 s") for name in LISTERS},
    **{(name, "drips headers"): (drip_the_head, "no whole reply within 1 s") for name in LISTERS},
    **{(name, "grows"): (grow, r"larger than \d+ MB|no whole reply within 1 s") for name in LISTERS},
    **{(name, "unpacks"): (unpack, r"larger than \d+ MB") for name in ("gcs", "azure")},
}


def ended(name: str, answer: Answer) -> tuple[float, Exception]:
    """Return after how many seconds a listing ended, and with what error."""
    with HostileServer(answer) as server:
        began = time.monotonic()
        with pytest.raises(ServiceUnavailableError) as caught:
            list(LISTERS[name](server.url, 60 if answer is unpack else PAGE_SECONDS).list_objects())
        return seconds_since(began), caught.value


@pytest.fixture(scope="module")
def endings() -> Iterator[dict[tuple[str, str], tuple[float, Exception]]]:
    """All at once, because each takes its second."""
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(6) as pool:
        patch.setenv("NO_PROXY", "127.0.0.1")
        endings = {case: pool.submit(ended, case[0], answer) for case, (answer, _) in CASES.items()}
        yield {case: future.result() for case, future in endings.items()}


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_a_reply_that_does_not_end_ends_the_listing(
    case: tuple[str, str], endings: dict[tuple[str, str], tuple[float, Exception]]
) -> None:
    seconds, error = endings[case]

    assert seconds < LATE_SECONDS
    assert re.search(CASES[case][1], str(error))
    assert "fleet" in str(error)


def s3_page(keys: str, token: object) -> bytes:
    return (
        f"<ListBucketResult><Name>fleet</Name><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
        f"<NextContinuationToken>{token}</NextContinuationToken>{keys}</ListBucketResult>"
    ).encode()


def gcs_page(token: object) -> bytes:
    return json.dumps({"kind": "storage#objects", "nextPageToken": str(token)}).encode()


def azure_page(token: object) -> bytes:
    return f"<EnumerationResults><Blobs/><NextMarker>{token}</NextMarker></EnumerationResults>".encode()


EMPTY_PAGES: Final[dict[str, Callable[[object], bytes]]] = {
    "s3": lambda token: s3_page("", token),
    "gcs": gcs_page,
    "azure": azure_page,
}


def never_ending(page: Callable[[object], bytes], period: int | None) -> tuple[Answer, list[int]]:
    """Return a store that says after each page that there is more; the tokens come again after ``period`` pages."""
    asked = [0]

    def answer(connection: Connection, _request: bytes) -> None:
        asked[0] += 1
        connection.reply(page(asked[0] if period is None else asked[0] % period), kind=XML)

    return answer, asked


@pytest.mark.parametrize("name", LISTERS)
@pytest.mark.parametrize("period", [1, 3, None], ids=["one token", "three tokens", "new tokens"])
def test_empty_pages_without_an_end_are_an_error(
    name: str, period: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("registration_pipeline.bounds.paging.MOST_EMPTY_PAGES", MOST_EMPTY)
    answer, asked = never_ending(EMPTY_PAGES[name], period)
    with HostileServer(answer) as server, pytest.raises(ListingError, match=r"does not end|not where to go on"):
        list(LISTERS[name](server.url).list_objects())

    assert asked[0] <= MOST_EMPTY + 1


def azure_folders(name: str) -> bytes:
    """Return a page with a directory, which makes the lister walk, and a folder."""
    directory = (
        "<Blob><Name>d</Name><Properties><Content-Length>0</Content-Length><ResourceType>directory</ResourceType>"
        "<Last-Modified>Sat, 21 Nov 2026 02:00:00 GMT</Last-Modified></Properties></Blob>"
    )
    folder = f"<BlobPrefix><Name>{name}</Name></BlobPrefix>"
    return f"<EnumerationResults><Blobs>{directory}{folder}</Blobs><NextMarker/></EnumerationResults>".encode()


@pytest.mark.parametrize("deeper", ["a/", "", "../"], ids=["ever deeper", "the same folder", "another place"])
def test_folders_without_an_end_are_an_error(deeper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("registration_pipeline.inventory.azure.folders._LONGEST_FOLDER", 40)

    def answer(connection: Connection, request: bytes) -> None:
        asked = dict(parse_qsl(urlsplit(request.split()[1].decode()).query)).get("prefix", "")
        connection.reply(azure_folders((asked or "a/") + deeper if deeper != "../" else "z/"), kind=XML)

    with HostileServer(answer) as server, pytest.raises(ListingError, match="it names the folder"):
        list(azure(server.url, 60).list_objects())
