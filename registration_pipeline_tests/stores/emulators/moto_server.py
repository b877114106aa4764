"""moto's S3 on loopback in a process of its own, one write at a time; for states that several processes share.

What does not belong here: what the tests put into it.

    python -m registration_pipeline_tests.stores.emulators.moto_server

prints its port and serves until its standard input ends. moto by itself checks whether a name is free and writes later, so of
two writers at the same moment both may win, where Amazon S3 lets one: here one write is answered after the other.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from collections.abc import Iterable

WRITES = threading.Lock()


class KeepingHandler(WSGIRequestHandler):
    """Keeps connections open, as the real store does."""

    protocol_version = "HTTP/1.1"


def one_write_at_a_time() -> Any:
    """Return moto's S3 as a WSGI application that answers one PUT after the other."""
    moto: Any = DomainDispatcherApplication(create_backend_app)

    def served(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "PUT":
            return list(moto(environ, start_response))
        with WRITES:
            return list(moto(environ, start_response))

    return served


def start() -> Any:
    """Serve on a free port of loopback, in threads; returns the server."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, one_write_at_a_time(), threaded=True, request_handler=KeepingHandler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


if __name__ == "__main__":
    print(start().server_port, flush=True)
    sys.stdin.read()
