"""A process that is an S3 for a state, moto's, answering late: ``python -m benchmarks.state_server SECONDS``.

moto by itself checks whether a name is free and writes later, so of two writers at the same moment both may win, where Amazon
S3 lets one: here one write is answered after the other. The seconds before each answer are waited beside each other.
``/counts`` gives the requests since it was asked last. Tests use the server without a delay.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from benchmarks.servers import announce, farewell

if TYPE_CHECKING:
    from collections.abc import Iterable

BUCKET = "state"
_HOST = "127.0.0.1"


class KeepingHandler(MotoRequestHandler):
    """Keeps connections open, as the real store does."""

    protocol_version = "HTTP/1.1"


class LateStore:
    """moto's S3 as a WSGI application, one PUT after the other.

    Args:
        seconds: before each answer.

    Attributes:
        counts: requests by method; listings as ``LIST``.
    """

    def __init__(self, seconds: float = 0) -> None:
        self.counts: Counter[str] = Counter()
        self._seconds, self._writes = seconds, threading.Lock()
        self._moto: Any = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        if environ["PATH_INFO"] == "/counts":
            said = json.dumps(self.counts).encode("ascii")
            self.counts.clear()
            start_response("200 OK", [("Content-Length", str(len(said)))])
            return [said]
        method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
        self.counts["LIST" if "list-type=2" in query else "DELETE" if query.startswith("delete") else method] += 1
        if self._seconds:
            time.sleep(self._seconds)
        if method != "PUT":
            return list(self._moto(environ, start_response))
        with self._writes:
            return list(self._moto(environ, start_response))


def start(app: LateStore) -> Any:
    """Serve on a free port of loopback, in threads; returns the server."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server(_HOST, 0, app, threaded=True, request_handler=KeepingHandler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


def main(seconds: float) -> None:
    """Make the bucket and serve it until the standard input ends."""
    import boto3

    app = LateStore(seconds)
    url = f"http://{_HOST}:{start(app).server_port}"
    account = {"aws_access_key_id": "benchmark", "aws_secret_access_key": "benchmark", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **account).create_bucket(Bucket=BUCKET)  # type: ignore[call-overload]
    app.counts.clear()
    announce(endpoint_url=url, bucket=BUCKET)
    farewell()


if __name__ == "__main__":
    main(float(sys.argv[1]))
