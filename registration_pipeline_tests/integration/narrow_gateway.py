"""Servers that take a request slowly, so that a test can do something meanwhile. What happens is up to the tests."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

_NARROW_BYTES = 4096
_WIDE_BYTES = 1 << 20
_PIECE_BYTES = 65536


class NarrowGateway:
    """Passes connections on; stops reading a start of an upload job after its head until ``open`` is set.

    Its receive buffer is small, so that the sender has to wait with most of the body.

    Args:
        url: of the server behind.
    """

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._behind = (place.hostname or "", place.port or 80)
        self.is_waiting, self.open = threading.Event(), threading.Event()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _NARROW_BYTES)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self.open.set()
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._behind) as server, suppress(OSError):
            threading.Thread(target=_copy, args=(server, client), daemon=True).start()
            first = client.recv(_NARROW_BYTES)
            if first.startswith(b"POST") and b"/data-upload-jobs " in first:
                self.is_waiting.set()
                self.open.wait()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WIDE_BYTES)
            server.sendall(first)
            _copy(client, server)


def _copy(giver: socket.socket, taker: socket.socket) -> None:
    with suppress(OSError):
        while piece := giver.recv(_PIECE_BYTES):
            taker.sendall(piece)
        taker.shutdown(socket.SHUT_WR)


class Listening:
    """A server that keeps what one client sends and answers nothing.

    Args:
        meanwhile: called when the connection stands, before a TLS handshake.
        context: makes it a TLS server.
    """

    def __init__(self, meanwhile: Callable[[], None], context: ssl.SSLContext | None = None) -> None:
        self._meanwhile, self._context = meanwhile, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.received = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def end(self) -> bytes:
        """Wait until the client has gone, and return what it sent."""
        self._thread.join(10)
        self._listener.close()
        return self.received

    def _serve(self) -> None:
        client = self._listener.accept()[0]
        self._meanwhile()
        with (
            suppress(OSError),
            self._context.wrap_socket(client, server_side=True) if self._context else client as peer,
        ):
            while piece := peer.recv(_PIECE_BYTES):
                self.received += piece
