"""A process that is an S3 bucket of synthetic objects: ``python -m benchmarks.bucket_server OBJECTS``.

It is moto's server with two shortcuts, so that a benchmark of a client measures the client:

- The objects are put into moto's memory directly. ``PutObject`` over HTTP takes more than a millisecond each.
- moto sorts the whole bucket for every page of a listing, which is quadratic. Here the keys are sorted once, moto renders
  every page once before the server says that it is ready, and those same bytes are sent whenever the page is asked for.
"""

from __future__ import annotations

import logging
import re
import sys
from bisect import bisect_right
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import Client
from werkzeug.wrappers import Response

from benchmarks.servers import announce, farewell
from benchmarks.synthetic import e_tag_of, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BUCKET = "benchmark"
REGION = "eu-west-2"
_HOST = "127.0.0.1"
_PAGE_KEYS = "1000"
_BODY = b"."
_TOKEN = re.compile(rb"<NextContinuationToken>([^<]+)</NextContinuationToken>")

_Environ = dict[str, Any]
_Reply = tuple[str, list[tuple[str, str]], bytes]


class PageCache:
    """A WSGI application that remembers the pages of listings that the one behind it gave."""

    def __init__(self, app: Any) -> None:
        self._app, self._pages = app, dict[tuple[tuple[str, str], ...], _Reply]()

    def __call__(self, environ: _Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=False))
        if environ["REQUEST_METHOD"] != "GET" or query.get("list-type") != "2":
            reply: Iterable[bytes] = self._app(environ, start_response)
            return reply
        query.setdefault("max-keys", _PAGE_KEYS)
        page = tuple(sorted(query.items()))
        if page not in self._pages:
            self._pages[page] = self._render(environ)
        status, headers, body = self._pages[page]
        start_response(status, headers)
        return [body]

    def _render(self, environ: _Environ) -> _Reply:
        response = Response.from_app(self._app, environ, buffered=True)
        return response.status, list(response.headers.items()), response.get_data()


class QuietRequestHandler(WSGIRequestHandler):
    """Prints nothing, and keeps connections open as S3 does."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def fill(objects: int) -> None:
    """Put the objects into moto's memory, and let its listing find the place to go on by bisection."""
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    backend.create_bucket(BUCKET, REGION)
    numbers = range(objects)
    keys = [
        backend.put_object(BUCKET, key_of(number), _BODY, etag=e_tag_of(number), disable_notification=True)
        for number in numbers
    ]
    names = [key.name for key in keys]

    def list_objects_v2(*, continuation_token: str | None, max_keys: int, **asked: Any) -> tuple[Any, bool, str | None]:
        assert not any(asked[name] for name in ("prefix", "delimiter", "start_after")), (
            "only the whole bucket is listed"
        )
        start = bisect_right(names, continuation_token or "")
        page = keys[start : start + max_keys]
        is_truncated = start + max_keys < len(keys)
        return page, is_truncated, page[-1].name if is_truncated else None

    backend.list_objects_v2 = list_objects_v2  # type: ignore[method-assign,assignment]  # moto calls it by keywords


def render_pages(app: Any) -> int:
    """Ask for every page once and return how many there are."""
    client, token, pages = Client(app), None, 0
    while True:
        query = {"list-type": "2", "encoding-type": "url", "max-keys": _PAGE_KEYS}
        reply = client.get(f"/{BUCKET}", query_string={**query, **({"continuation-token": token} if token else {})})
        assert reply.status_code == 200, reply.get_data()
        pages += 1
        found = _TOKEN.search(reply.get_data())
        if found is None:
            return pages
        token = found[1].decode()


def main(objects: str) -> None:
    """Serve until standard input is closed."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    fill(int(objects))
    app = PageCache(DomainDispatcherApplication(create_backend_app))
    pages = render_pages(app)
    server = make_server(_HOST, 0, app, threaded=True, request_handler=QuietRequestHandler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    announce(endpoint_url=f"http://{_HOST}:{server.server_port}", bucket=BUCKET, pages=pages)
    server.shutdown()
    thread.join()
    server.server_close()
    farewell()


if __name__ == "__main__":
    main(*sys.argv[1:])
