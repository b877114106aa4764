"""A small object store over HTTP, enough of S3, Google Cloud Storage and Azure for single files, that can be careless.

What belongs here: what a store may get wrong about writes that are to be made only if a name is free.
"""

from __future__ import annotations

import re
import threading
import time
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

_BATCH = (
    b"--one\r\nContent-Type: application/http\r\nContent-ID: 0\r\n\r\nHTTP/1.1 202 Accepted\r\n"
    b"x-ms-request-id: 1\r\n\r\n\r\n--one--\r\n"
)


class Care(StrEnum):
    """What the store does with the condition of a write."""

    HONOURS = "honours"
    IGNORES = "ignores"
    CHECKS_FIRST = "checks first"
    """Looks whether the name is free, and writes a moment later."""
    REFUSES = "refuses"
    """Does not know the condition: 501."""
    ACCEPTS_SILENTLY = "accepts silently"
    """Keeps the first file, and answers every later write with success."""


class CarelessStore:
    """The server; one thread per connection."""

    def __init__(self, care: Care) -> None:
        handler = type("Handler", (_Handler,), {"care": care, "files": {}, "lock": threading.Lock()})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    care: ClassVar[Care]
    files: ClassVar[dict[str, bytes]]
    lock: ClassVar[threading.Lock]

    def do_PUT(self) -> None:
        name, body = self._name, self.rfile.read(int(self.headers["Content-Length"]))
        is_conditional = "If-None-Match" in self.headers or "x-goog-if-generation-match" in self.headers
        if self.care is Care.REFUSES and is_conditional:
            self._answer(501, b"<Error><Code>NotImplemented</Code></Error>")
        elif self._takes(name, body):
            self._answer(201 if "x-ms-version" in self.headers else 200)
        elif "x-ms-version" in self.headers:
            self._answer(409, b"<Error><Code>BlobAlreadyExists</Code></Error>")
        else:
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")

    def _takes(self, name: str, body: bytes) -> bool:
        if self.care is Care.CHECKS_FIRST:
            is_free = name not in self.files
            time.sleep(0.1)
            if is_free:
                self.files[name] = body
            return is_free
        with self.lock:
            if self.care is Care.ACCEPTS_SILENTLY:
                self.files.setdefault(name, body)
                return True
            if self.care is Care.HONOURS and name in self.files:
                return False
            self.files[name] = body
            return True

    def do_GET(self) -> None:
        if "prefix=" in self.path or "list-type" in self.path or "comp=list" in self.path:
            self._answer(200, self._listing())
        elif self._name in self.files:
            self._answer(200, self.files[self._name])
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        """Delete several files, as S3 and Azure are asked to also for one."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for place in re.findall(rb"<Key>(.+?)</Key>|DELETE (\S+) HTTP", body):
            self.files.pop(
                next((name for name in self.files if name.endswith((place[0] or place[1]).decode())), ""), None
            )
        if "x-ms-version" in self.headers:
            self._answer(202, _BATCH, "multipart/mixed; boundary=one")
        else:
            keys = b"".join(re.findall(rb"<Key>.+?</Key>", body))
            self._answer(200, b"<DeleteResult><Deleted>" + keys + b"</Deleted></DeleteResult>")

    def do_DELETE(self) -> None:
        self.files.pop(self._name, None)
        self._answer(202 if "x-ms-version" in self.headers else 204)

    def _listing(self) -> bytes:
        if "comp=list" in self.path:
            return b'<?xml version="1.0"?><EnumerationResults><Blobs/><NextMarker/></EnumerationResults>'
        return b"<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>"

    @property
    def _name(self) -> str:
        return urlsplit(self.path).path

    def _answer(self, status: int, body: bytes = b"", content_type: str = "application/xml") -> None:
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(body)),
            "ETag": '"1"',
            "Last-Modified": "Sat, 21 Nov 2026 02:00:00 GMT",
            "x-goog-generation": "1",
            "Content-Type": content_type,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
