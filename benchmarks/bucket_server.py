"""A process that is an S3 bucket of synthetic objects: ``python -m benchmarks.bucket_server OBJECTS``.

It is moto's server with two shortcuts, so that a benchmark of a client measures the client:

- The objects are put into moto's memory directly. ``PutObject`` over HTTP takes more than a millisecond each.
- moto sorts the whole bucket for every page of a listing, which is quadratic. Here ``listing_server.py`` makes the pages.
"""

from __future__ import annotations

import logging
import sys
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server

from benchmarks.listing_server import BUCKET, Bucket, page
from benchmarks.servers import announce, farewell
from benchmarks.synthetic import e_tag_of, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

REGION = "eu-west-2"
_HOST = "127.0.0.1"
_BODY = b"."


class Listing:
    """A WSGI application that answers ListObjectsV2 itself and leaves everything else to the one behind it."""

    def __init__(self, app: Any, bucket: Bucket) -> None:
        self._app, self._bucket = app, bucket

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        asked = dict(parse_qsl(environ.get("QUERY_STRING", "")))
        if environ["REQUEST_METHOD"] != "GET" or asked.get("list-type") != "2":
            reply: Iterable[bytes] = self._app(environ, start_response)
            return reply
        body = b"".join(page(self._bucket, asked))
        start_response("200 OK", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]


class QuietRequestHandler(WSGIRequestHandler):
    """Prints nothing, and keeps connections open as S3 does."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def fill(objects: int) -> None:
    """Put the objects into moto's memory."""
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    backend.create_bucket(BUCKET, REGION)
    for number in range(objects):
        backend.put_object(BUCKET, key_of(number), _BODY, etag=e_tag_of(number), disable_notification=True)


def main(objects: str) -> None:
    """Serve until standard input is closed."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    fill(int(objects))
    listed = Bucket("deep", int(objects))
    assert listed.key_of(int(objects) - 1) == key_of(int(objects) - 1), "the listing has other keys than the bucket"
    app = Listing(DomainDispatcherApplication(create_backend_app), listed)
    server = make_server(_HOST, 0, app, threaded=True, request_handler=QuietRequestHandler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    announce(endpoint_url=f"http://{_HOST}:{server.server_port}", bucket=BUCKET)
    server.shutdown()
    thread.join()
    server.server_close()
    farewell()


if __name__ == "__main__":
    main(*sys.argv[1:])
