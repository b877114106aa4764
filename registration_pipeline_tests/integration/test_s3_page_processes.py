"""Pages fetched and read by other processes: the same listing, the same errors, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import CredentialsError, HaltError, ListingError, ServiceUnavailableError
from registration_pipeline.inventory.bounds import PageLimit
from registration_pipeline.inventory.s3.lister import S3Lister
from registration_pipeline.inventory.s3.plain.page import plain_page
from registration_pipeline.inventory.s3.plain.wire import Destination, SignedRequest
from registration_pipeline.inventory.s3.processes.pool import PageProcesses, WhenToStart, cores
from registration_pipeline_tests.hostile_http import HostileServer
from registration_pipeline_tests.integration.listing_store import ListingStore, Reply, error_body, running
from registration_pipeline_tests.stores.hostile_keys import HOSTILE_KEYS
from registration_pipeline_tests.unit.inventory.ranges.paged_stores import HOSTILE
from registration_pipeline_tests.unit.inventory.s3.test_page import edited_pages, entries, page_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from registration_pipeline_tests.hostile_http import Connection

    Interfere = Callable[[int, Mapping[str, str], Reply], Reply]

pytestmark = pytest.mark.slow

AT_ONCE = WhenToStart(2, after_pages=1, busy=0, is_awaited=True)
KEYS = [f"raw/camera-{number // 100:03d}/é +%{number % 100:03d}.jpg" for number in range(3_000)]
MIDWAY = 30
SOON_SECONDS = 150


def lister_of(store: ListingStore, **options: Any) -> S3Lister:
    """Return a lister whose third page is the first that no client is asked for; then its processes start."""
    chosen: dict[str, Any] = {
        "page_size": 50,
        "fan_out_after": 200,
        "concurrency": 6,
        "source": "fleet",
        "when": AT_ONCE,
    }
    return S3Lister(store.client(attempts=options.pop("attempts", 3)), "bucket", **chosen | options)


def keys_of(lister: S3Lister) -> list[str]:
    return [key for batch in lister.list_objects() for key in batch.column("key").to_pylist()]


def made_elsewhere(lister: S3Lister) -> int:
    return lister._requests.plain.made_elsewhere


HOSTILE_BUCKETS = {
    **{name: HOSTILE[name] for name in ("one huge folder", "beyond U+FFFF")},
    "hostile characters": [f"{key[:200]}{number:02d}" for key in HOSTILE_KEYS for number in range(20)],
}


@pytest.mark.parametrize("name", HOSTILE_BUCKETS)
def test_the_rows_are_those_of_botos_paginator(aws_environment: str, name: str) -> None:
    keys = sorted(set(HOSTILE_BUCKETS[name]))
    with running(ListingStore(keys)) as store:
        pages = (
            store.client()
            .get_paginator("list_objects_v2")
            .paginate(Bucket="bucket", PaginationConfig={"PageSize": 1000})
        )
        expected = [
            (entry["Key"], entry["Size"], entry["LastModified"], entry["ETag"].strip('"'), entry["StorageClass"])
            for page in pages
            for entry in page["Contents"]
        ]
        lister = lister_of(store)
        names = ("key", "size", "last_modified", "e_tag", "storage_class")
        rows = [tuple(row[name] for name in names) for batch in lister.list_objects() for row in batch.to_pylist()]

    assert rows == expected
    assert [row[0] for row in rows] == keys
    assert made_elsewhere(lister) > len(keys) / 50 / 2
    assert lister.requests == len(store.asked) - -(-len(keys) // 1000)


def test_key_ranges_of_one_bucket_are_listed_like_the_whole(aws_environment: str) -> None:
    with running(ListingStore(KEYS)) as store:
        lister = lister_of(store)
        ends = [None, *lister.boundaries(2), None]
        parts = [lister.between(after, until) for after, until in pairwise(ends)]
        found = [keys_of(part) for part in parts]

    assert len(parts) > 1
    assert [key for keys in found for key in keys] == KEYS
    assert all(made_elsewhere(part) for part in parts)


def slow_down(number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
    return Reply(503, error_body("SlowDown")) if number > MIDWAY and number % 10 == 0 else reply


def cut(number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
    if number > MIDWAY and number % 10 == 0:
        reply.sent_bytes = len(reply.body) * 2 // 3
    return reply


def close_each_connection(_number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
    reply.headers["Connection"] = "close"
    return reply


@pytest.mark.parametrize("interfere", [slow_down, cut, close_each_connection], ids=["503", "cut", "closed connections"])
def test_what_passes_by_itself_is_asked_for_again(aws_environment: str, interfere: Interfere) -> None:
    with running(ListingStore(KEYS, interfere)) as store:
        lister = lister_of(store)

        assert keys_of(lister) == KEYS
        assert made_elsewhere(lister) > len(KEYS) / 50 / 3
        assert lister.requests == len(store.asked)


def always(reply: Reply) -> Interfere:
    return lambda number, _asked, real: reply if number > MIDWAY else real


@pytest.mark.parametrize(
    ("interfere", "error", "text"),
    [
        (always(Reply(503, error_body("SlowDown"))), ServiceUnavailableError, "SlowDown"),
        (always(Reply(403, error_body("ExpiredToken"))), CredentialsError, "ExpiredToken"),
        (always(Reply(200, b"<html>Log in</html>")), ListingError, "does not speak S3"),
    ],
    ids=["503", "expired token", "landing page"],
)
def test_what_lasts_is_the_same_error_as_without_processes(
    aws_environment: str, interfere: Interfere, error: type[HaltError], text: str
) -> None:
    texts = []
    for when in (AT_ONCE, WhenToStart(0)):
        with running(ListingStore(KEYS, interfere)) as store, pytest.raises(error, match=text) as caught:
            keys_of(lister_of(store, attempts=1, when=when))
        texts.append(str(caught.value).replace(store.endpoint_url, "address"))

    assert texts[0] == texts[1]


def test_a_process_that_is_killed_ends_the_listing_with_an_error(aws_environment: str) -> None:
    def kill(number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
        if number == MIDWAY:
            os.kill(lister._requests.plain.process_ids[0], signal.SIGKILL)
        return reply

    with running(ListingStore(KEYS, kill)) as store:
        lister = lister_of(store)
        with pytest.raises(HaltError, match=r"ended with SIGKILL.*Nothing was recorded"):
            keys_of(lister)
        assert lister._requests.plain.process_ids == []

        store.interfere = lambda _number, _asked, reply: reply
        assert keys_of(lister) == KEYS


def test_a_listing_that_is_left_ends_its_processes(aws_environment: str) -> None:
    with running(ListingStore(KEYS)) as store:
        lister = lister_of(store)
        batches: Any = lister.list_objects()
        for _ in range(6):
            next(batches)
        ids = lister._requests.plain.process_ids
        batches.close()

    assert len(ids) == 2
    assert not any(map(is_running, ids))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "SIGINT"])
def test_processes_end_with_the_one_that_started_them(aws_environment: str, how: signal.Signals) -> None:
    go_on = threading.Event()

    def hold(number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
        if number > MIDWAY:
            go_on.wait(SOON_SECONDS)
        return reply

    with running(ListingStore(KEYS, hold)) as store:
        command = [sys.executable, "-m", "registration_pipeline_tests.integration.listing_child", store.endpoint_url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
            assert parent.stdout is not None
            ids = [int(one) for one in parent.stdout.readline().split()]
            assert len(ids) == 2
            assert all(map(is_running, ids))
            for one in ids:
                assert b"AWS_" not in Path(f"/proc/{one}/environ").read_bytes()
            parent.send_signal(how)
            ended_at = time.monotonic() + SOON_SECONDS
            while any(map(is_running, ids)) and time.monotonic() < ended_at:
                threading.Event().wait(0.02)
            go_on.set()
        assert not any(map(is_running, ids))


def is_running(process_id: int) -> bool:
    """Return whether a process is there and has not ended; one whose parent was killed may wait for init."""
    with suppress(OSError):
        return Path(f"/proc/{process_id}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] not in "ZX"
    return False


def test_where_no_process_can_be_started_the_listing_goes_on_without(
    aws_environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with running(ListingStore(KEYS)) as store:
        lister = lister_of(store)
        assert keys_of(lister) == KEYS

    assert made_elsewhere(lister) == 0


@pytest.mark.parametrize(
    ("when", "concurrency"),
    [(WhenToStart(2, after_pages=10_000, busy=0), 6), (WhenToStart(2, after_pages=10, busy=9.0), 6), (AT_ONCE, 1)],
    ids=["few pages", "not busy", "one request at once"],
)
def test_a_listing_that_needs_no_processes_starts_none(
    aws_environment: str, when: WhenToStart, concurrency: int
) -> None:
    with running(ListingStore(KEYS)) as store:
        lister = lister_of(store, when=when, concurrency=concurrency)
        batches = lister.list_objects()
        ids = [lister._requests.plain.process_ids for _ in batches]

    assert not any(ids)


def test_requests_at_once_are_shared_out_over_the_processes() -> None:
    processes = PageProcesses(5, AT_ONCE)
    try:
        processes.count_page()
        channels = []
        while (channel := processes.take()) is not None:
            channels.append(channel)
        assert len(channels) == 5
        assert len(processes.process_ids) == 2
    finally:
        processes.close()
    assert cores() >= 1


@pytest.fixture(scope="module")
def process() -> Iterator[Callable[[bytes], tuple[int, Any]]]:
    """Another process, and a server that answers it with what a test gives it, in several pieces."""
    body = b""

    def answer(connection: Connection, request: bytes) -> None:
        if b"chunked" in request:
            pieces = [body[place : place + 999] for place in range(0, len(body), 999)]
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in pieces:
                connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            connection.send(b"0\r\n\r\n")
        else:
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            connection.send(body[: len(body) // 2])
            connection.send(body[len(body) // 2 :])

    processes = PageProcesses(2, WhenToStart(1, after_pages=1, busy=0, is_awaited=True))
    with HostileServer(answer) as server:
        host, _, port = server.url.removeprefix("http://").partition(":")
        to = Destination(False, host, int(port), None, 10, 10)
        processes.count_page()
        turns = iter(range(1 << 30))

        def ask(given: bytes) -> tuple[int, Any]:
            nonlocal body
            body = given
            channel = processes.take()
            assert channel is not None
            try:
                with PageLimit("a page", "fleet") as limit:
                    target = "/chunked?" if next(turns) % 2 else "/"
                    return channel.ask(SignedRequest(to, target, {"X-Page": "é"}), limit)
            finally:
                processes.give_back(channel)

        yield ask
        processes.close()


HEAD = "<ListBucketResult><Name>bucket</Name><IsTruncated>{}</IsTruncated><EncodingType>url</EncodingType>"
FOLLOWING = "<NextContinuationToken>t&amp;é</NextContinuationToken>"


TIME = "<LastModified>2026-11-21T02:00:00.000Z</LastModified>"
HEADS = [HEAD.format("false"), HEAD.format("true"), *(HEAD.format(said) + FOLLOWING for said in ("true", "false"))]
WRITTEN = st.builds(
    lambda drawn, head: page_of(*drawn, head=head), st.lists(entries(), max_size=4), st.sampled_from(HEADS)
)
KEY_LISTS = st.lists(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=9), min_size=1, max_size=30, unique=True
)
SORTED = KEY_LISTS.map(lambda keys: page_of(*(f"<Key>{quote(key)}</Key>{TIME}<Size>1</Size>" for key in sorted(keys))))


@settings(deadline=None)
@given(st.one_of(WRITTEN, SORTED, edited_pages(), st.binary(max_size=300)))
def test_another_process_reads_of_a_page_what_this_one_would(
    process: Callable[[bytes], tuple[int, Any]], body: bytes
) -> None:
    status, page = process(body)

    assert status == 200
    here = plain_page(body)
    if here is None:
        assert page is None
    else:
        assert page.batch.to_pylist() == here.batch.to_pylist()
        assert (page.first, page.last, page.following) == (here.first, here.last, here.following)
