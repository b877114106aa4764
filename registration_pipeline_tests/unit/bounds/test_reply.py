"""Limits of replies do nothing to replies that keep to them, and calls that hang are waited for no longer than asked."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
import requests

from registration_pipeline.bounds.calls import TooLongError, within
from registration_pipeline.bounds.reply import ReplyLimit, ReplyLimitError
from registration_pipeline_tests.hostile_http import HostileServer, head, seconds_since

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = b"x" * 300_000


class Good(BaseHTTPRequestHandler):
    """Answers with a body and keeps the connection."""

    protocol_version = "HTTP/1.1"
    connections = 0

    def setup(self) -> None:
        type(self).connections += 1
        super().setup()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def no_proxy_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def url() -> Iterator[str]:
    Good.connections = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Good) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_connection_that_served_under_a_limit_serves_on_after_its_time(url: str) -> None:
    with requests.Session() as session:
        for _ in range(3):
            with ReplyLimit(0.2, 1 << 20):
                assert session.get(url).content == BODY
            time.sleep(0.3)
        assert session.get(url).content == BODY

    assert Good.connections == 1


def test_without_a_limit_nothing_is_limited(url: str) -> None:
    with ReplyLimit(60, 1):
        pass

    assert requests.get(url, timeout=5).content == BODY


def test_the_narrowest_of_several_limits_counts(url: str) -> None:
    with ReplyLimit(60, 1 << 20) as wide, ReplyLimit(60, 1000) as narrow, pytest.raises(Exception, match="larger than"):
        requests.get(url, timeout=5)

    assert (wide.is_broken, narrow.is_too_large) == (False, True)


def test_nothing_more_is_sent_when_the_time_is_over() -> None:
    with HostileServer(lambda connection, _: connection.stay_silent()) as server, ReplyLimit(0.2, 1000) as limit:
        for _ in range(2):
            with pytest.raises(ReplyLimitError):
                requests.get(server.url, timeout=5)

        assert limit.is_over
        assert len(server.heads) == 1


def test_a_limit_of_one_thread_is_none_of_another(url: str) -> None:
    found: list[bytes] = []
    with ReplyLimit(60, 1):
        other = threading.Thread(target=lambda: found.append(requests.get(url, timeout=5).content))
        other.start()
        other.join()

    assert found == [BODY]


def test_the_end_of_a_connection_that_was_shut_is_not_the_end_of_the_reply() -> None:
    def until_the_end(connection: object, _request: bytes) -> None:
        connection.send(head() + b'{"files": 1}')  # type: ignore[attr-defined]
        connection.stay_silent()  # type: ignore[attr-defined]

    with HostileServer(until_the_end) as server, ReplyLimit(0.2, 1000), pytest.raises(ReplyLimitError):
        requests.get(server.url, timeout=5)


def test_a_call_is_waited_for_no_longer_than_asked() -> None:
    began = time.monotonic()
    with pytest.raises(TooLongError, match=r"no answer within 0\.1 s"):
        within(0.1, threading.Event().wait)

    assert seconds_since(began) < 5


def test_a_call_in_time_returns_or_raises_as_it_would() -> None:
    assert within(5, lambda: 7) == 7
    with pytest.raises(ValueError, match="invalid literal"):
        within(5, lambda: int("no number"))
