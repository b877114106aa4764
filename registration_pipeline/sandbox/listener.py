"""A port of the sandbox: listens at once, serves an application in a thread of its own, stops on request.

What does not belong here: what is served.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import uvicorn

from registration_pipeline.errors import UsageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

STOP_SECONDS = 5
"""Requests under way get so long to end when the sandbox stops."""


class Listener:
    """A listening socket and, once ``serve`` was called, the server on it.

    Args:
        host: address to listen on.
        port: 0 picks a free one.
        what: the port is called in messages.

    Raises:
        UsageError: if the port is in use.
    """

    def __init__(self, host: str, port: int, *, what: str = "port") -> None:
        self._host = host
        self._socket = _listen(host, port, what)
        self.port: int = self._socket.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    def serve(self, app: ASGIApp, **options: Any) -> None:
        """Answer requests from now on; ``options`` are uvicorn's."""
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=STOP_SECONDS,
            **options,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name=f"sandbox-http-{self.port}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
        self._socket.close()


def _listen(host: str, port: int, what: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Listening at once: a client that connects before the server runs waits in the backlog instead of being refused.
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"can't listen on {host}:{port}: {error.strerror}; choose another {what}, or 0 for a free one"
        ) from error
    return listener
