"""A state in a bucket that is silent or drips, as a real server: each request ends in its time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from registration_pipeline.errors import StateError
from registration_pipeline.state import bucket
from registration_pipeline.state.bucket import BucketStateStore, open_bucket_state_store
from registration_pipeline_tests.hostile_http import HostileServer, head, seconds_since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registration_pipeline_tests.hostile_http import Connection

pytestmark = pytest.mark.slow  # it waits for real connections or processes

LATE_SECONDS: Final = 15
CALLS: Final[dict[str, Callable[[BucketStateStore], object]]] = {
    "read": lambda store: store.read("a/b"),
    "exists": lambda store: store.exists("a/b"),
    "names": lambda store: list(store.names("a/")),
    "folders": lambda store: store.folders("a/"),
    "create": lambda store: store.create("a/b", b"x"),
    "delete": lambda store: store.delete("a/b"),
}


def silent(connection: Connection, _request: bytes) -> None:
    connection.stay_silent()


def dripping(connection: Connection, _request: bytes) -> None:
    connection.send(head("Content-Length: 1000000", "ETag: x", "Last-Modified: Mon, 02 Mar 2026 00:00:00 GMT"))
    connection.drip_for_ever()


CASES: Final = [*((name, silent) for name in CALLS), *((name, dripping) for name in ("read", "names", "folders"))]


def opened(url: str) -> BucketStateStore:
    environ = {"AWS_ENDPOINT_URL": url, "AWS_REGION": "eu-west-2"}
    return open_bucket_state_store("s3://state/fleet", environ)


@pytest.fixture(scope="module")
def endings() -> Iterator[dict[tuple[str, str], tuple[float, Exception]]]:
    """All at once, because each takes its seconds."""
    short: Any = {"connect_timeout": timedelta(seconds=1), "timeout": timedelta(seconds=1)}
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(CASES)) as pool:
        for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "NO_PROXY": "127.0.0.1"}.items():
            patch.setenv(name, value)
        patch.setattr(bucket, "_CLIENT", short)
        patch.setattr(bucket, "_RETRIES", {"max_retries": 1, "retry_timeout": timedelta(seconds=3)})

        def ended(name: str, answer: Callable[[Connection, bytes], None]) -> tuple[float, Exception]:
            with HostileServer(answer) as server:
                patch.setenv("AWS_ENDPOINT_URL", server.url)
                store = opened(server.url)
                opening.release()
                began = time.monotonic()
                with pytest.raises(StateError) as caught:
                    CALLS[name](store)
                return seconds_since(began), caught.value

        opening = threading.Semaphore(1)
        futures = {}
        for name, answer in CASES:
            opening.acquire()
            futures[name, answer.__name__] = pool.submit(ended, name, answer)
        yield {case: future.result() for case, future in futures.items()}


@pytest.mark.parametrize(("name", "answer"), [(name, answer.__name__) for name, answer in CASES])
def test_a_request_to_such_a_state_ends_in_time(
    name: str, answer: str, endings: dict[tuple[str, str], tuple[float, Exception]]
) -> None:
    seconds, error = endings[name, answer]

    assert seconds < LATE_SECONDS
    assert "s3://state/fleet" in str(error)


def test_a_listing_without_an_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = "".join(
        f"<Contents><Key>fleet/a/{number:04d}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>1</Size>"
        "</Contents>"
        for number in range(1000)
    )
    page = (
        f"<ListBucketResult><Name>state</Name><IsTruncated>true</IsTruncated><NextContinuationToken>t"
        f"</NextContinuationToken>{entries}</ListBucketResult>"
    ).encode()
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    with HostileServer(lambda connection, _: connection.reply(page, kind="application/xml")) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with pytest.raises(StateError, match="without an end"):
            list(opened(server.url).names("a/"))
