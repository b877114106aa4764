"""Servers on loopback that are not what a configuration says they are."""

from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Page(http.server.BaseHTTPRequestHandler):
    """Answers everything as a landing page, or as an S3 that does not know the access key."""

    def do_GET(self) -> None:
        is_refusing = getattr(self.server, "is_refusing", False)
        body = (
            b"<Error><Code>InvalidAccessKeyId</Code><Message>No such key</Message></Error>"
            if is_refusing
            else b"<html><body>Welcome</body></html>"
        )
        self.send_response(403 if is_refusing else 200)
        self.send_header("Content-Type", "application/xml" if is_refusing else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class ReadOnlyBucket(http.server.BaseHTTPRequestHandler):
    """An S3 bucket that is empty and whose policy allows to list and to read."""

    def do_GET(self) -> None:
        listed = b"<ListBucketResult><Name>no-such-bucket</Name><IsTruncated>false</IsTruncated></ListBucketResult>"
        is_listing = "list-type" in self.path
        self.answer(200 if is_listing else 404, listed if is_listing else b"<Error><Code>NoSuchKey</Code></Error>")

    def do_HEAD(self) -> None:
        self.answer(404, b"")

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")

    do_DELETE = do_PUT  # noqa: N815 - the name that http.server calls

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve_pages(
    *, is_refusing: bool = False, handler: type[http.server.BaseHTTPRequestHandler] = Page
) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.is_refusing = is_refusing  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()
