"""A real HTTP server on loopback that answers as a test says: what no emulator can be made to say.

What does not belong here: what a provider's answers look like; that is said where it is tested.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Answer = tuple[int, str, Mapping[str, str]]


@contextmanager
def server(answer: Callable[[dict[str, str]], Answer]) -> Iterator[str]:
    """Answer every request with what ``answer`` makes of its query: status, body, headers. Yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            status, body, headers = answer(query)
            data = body.encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_HEAD = do_GET  # noqa: N815 - the name is http.server's

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@contextmanager
def saying(status: int, body: str, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """Answer every request with the same words."""
    with server(lambda _: (status, body, headers or {})) as url:
        yield url
