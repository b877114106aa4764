"""A small S3 on loopback that lists any keys and fails as scripted: slow down, cuts, expired tokens, ignored parameters."""

from __future__ import annotations

import threading
from bisect import bisect_right
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit

from registration_pipeline.orchestration.storage.s3 import ListingS3Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mypy_boto3_s3 import S3Client

ENTRY = (
    "<Contents><Key>{key}</Key><LastModified>2026-11-21T02:00:00.000Z</LastModified><ETag>&quot;{key_hash:032x}&quot;</ETag>"
    "<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
)
PAGE = (
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket'
    "</Name><EncodingType>url</EncodingType><IsTruncated>{truncated}</IsTruncated>{inner}</ListBucketResult>"
)


def error_body(code: str, more: str = "") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>words</Message>{more}</Error>".encode()


@dataclass(slots=True)
class Reply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    sent_bytes: int | None = None  # the connection is cut after this many


@dataclass(slots=True)
class ListingStore:
    """A bucket of keys. ``interfere`` may replace the reply to a request: it gets its number, its parameters and the reply."""

    keys: list[str]
    interfere: Callable[[int, Mapping[str, str], Reply], Reply] = lambda _number, _asked, reply: reply
    asked: list[dict[str, str]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    endpoint_url: str = ""

    def client(self, *, region: str | None = "eu-west-2", attempts: int = 3) -> S3Client:
        resource = ListingS3Resource(endpoint_url=self.endpoint_url, region_name=region, max_attempts=attempts)
        client: S3Client = resource.get_client()
        return client

    def answer(self, asked: dict[str, str], headers: Mapping[str, str]) -> Reply:
        with self.lock:
            self.asked.append(asked)
            self.headers.append(headers)
            number = len(self.asked)
        return self.interfere(number, asked, self.page(asked))

    def page(self, asked: Mapping[str, str]) -> Reply:
        prefix, most = asked.get("prefix", ""), int(asked.get("max-keys", 1000))
        keys = [key for key in self.keys if key.startswith(prefix)]
        start = int(asked["continuation-token"]) if "continuation-token" in asked else 0
        start = max(start, bisect_right(keys, asked.get("start-after", "")))
        if asked.get("delimiter"):
            rests = (key[len(prefix) :].partition("/") for key in keys)
            folders = sorted({prefix + first + slash for first, slash, _ in rests if slash})
            inner = "".join(f"<CommonPrefixes><Prefix>{quote(folder)}</Prefix></CommonPrefixes>" for folder in folders)
            return Reply(200, PAGE.format(truncated="false", inner=inner).encode())
        chosen, end = keys[start : start + most], start + most
        inner = "".join(ENTRY.format(key=quote(key), key_hash=abs(hash(key)), size=len(key)) for key in chosen)
        if end < len(keys):
            inner += f"<NextContinuationToken>{end}</NextContinuationToken>"
        return Reply(200, PAGE.format(truncated=str(end < len(keys)).lower(), inner=inner).encode())


@contextmanager
def running(store: ListingStore) -> Iterator[ListingStore]:
    """Serve a store until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes

        def do_GET(self) -> None:
            asked = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
            reply = store.answer({**asked, "method": self.command}, dict(self.headers))
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body[: reply.sent_bytes])
            self.close_connection = reply.sent_bytes is not None

        do_HEAD = do_GET  # noqa: N815 - the name is http.server's

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True  # connections that a client keeps open are not waited for
        block_on_close = False
        request_queue_size = 64

    http = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.05,))
    thread.start()
    store.endpoint_url = f"http://127.0.0.1:{http.server_port}"
    try:
        yield store
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
