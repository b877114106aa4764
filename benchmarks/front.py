"""A server in front of a store, that passes requests on and counts them: later than it gets them, or without a header.

What belongs here: what lies between a client and its store. What does not: a store.

    python -m benchmarks.front URL SECONDS

prints its own URL, passes everything on to ``URL`` after that many seconds, and ends with its standard input; then it prints
what it counted as JSON.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_OF_A_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "proxy-connection", "te", "trailer", "upgrade"}


class Request:
    """What is passed on. A rewriter may change any of it.

    Args:
        method: of HTTP.
        target: path and query, as they came.
        headers: in order.
        body: all of it.
    """

    def __init__(self, method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.method, self.target, self.headers, self.body = method, target, headers, body

    @property
    def kind(self) -> str:
        """Return ``PUT``, ``GET``, ``HEAD``, ``LIST`` or ``DELETE``, as providers count and price them."""
        query = urlsplit(self.target).query
        if self.method == "GET" and ("list-type=2" in query or "comp=list" in query):
            return "LIST"
        if self.method == "POST" and (query.startswith("delete") or "comp=batch" in query):
            return "DELETE"  # obstore deletes in batches, also one file
        return self.method


class Front:
    """The server; one thread and one connection onwards for each connection.

    Args:
        url: of the store.
        delay_seconds: before each request is passed on.
        without: headers, in lower case, that are left out.
        rewrite: changes a request.
        complete: returns headers for a reply beside its own, from its body.

    Attributes:
        counts: requests by ``Request.kind``.
        busy: when to answer 503 instead: asked with each request; by default never.
    """

    def __init__(
        self,
        url: str,
        *,
        delay_seconds: float = 0,
        without: Collection[str] = (),
        rewrite: Callable[[Request], None] = lambda _: None,
        complete: Callable[[Request, bytes], list[tuple[str, str]]] = lambda *_: [],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.busy: Callable[[Request], bool] = lambda _: False
        self.lock = threading.Lock()
        self.to, self.delay_seconds, self.without = urlsplit(url), delay_seconds, without
        self.rewrite, self.complete = rewrite, complete
        handler = type("Handler", (_Handler,), {"front": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{self.to.path}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    front: Front

    def setup(self) -> None:
        super().setup()
        self._onwards = http.client.HTTPConnection(str(self.front.to.netloc), timeout=60)

    def finish(self) -> None:
        self._onwards.close()
        super().finish()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = [(name, value) for name, value in self.headers.items() if name.lower() not in _OF_A_CONNECTION]
        request = Request(self.command, self.path, headers, body)
        with self.front.lock:
            self.front.counts[request.kind] += 1
        if self.front.busy(request):
            self._answer(503, [], b"<Error><Code>SlowDown</Code></Error>")
            return
        request.headers = [(name, value) for name, value in request.headers if name.lower() not in self.front.without]
        self.front.rewrite(request)
        if self.front.delay_seconds:
            time.sleep(self.front.delay_seconds)
        reply = self._asked(request)
        said = reply.read()
        self._answer(reply.status, [*reply.getheaders(), *self.front.complete(request, said)], said)

    def _asked(self, request: Request) -> http.client.HTTPResponse:
        try:
            return self._ask(request)
        except (http.client.RemoteDisconnected, ConnectionError):
            self._onwards.close()  # it was idle too long for the store
            return self._ask(request)

    def _ask(self, request: Request) -> http.client.HTTPResponse:
        self._onwards.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers:
            self._onwards.putheader(name, value)
        self._onwards.endheaders(request.body or None)
        return self._onwards.getresponse()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        length = len(body)
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = int(value)
            elif name.lower() not in _OF_A_CONNECTION | {"content-length"}:
                self.send_header(name, value)
        if status not in {204, 304}:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815 - what http.server calls

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def counted(front: Front) -> Iterator[Counter[str]]:
    """Count the requests of the block."""
    front.counts.clear()
    yield front.counts


def main(url: str, seconds: float) -> None:
    """Serve until the standard input ends."""
    with Front(url, delay_seconds=seconds) as front:
        print(front.url, flush=True)
        sys.stdin.read()
        print(json.dumps(front.counts), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
