"""A real HTTP server on 127.0.0.1 whose replies never end, never begin, or grow without limit.

What does not belong here: what a client makes of it. The sandbox has the same for Encord as faults; this is for stores, and
for replies that no HTTP framework would send.
"""

from __future__ import annotations

import gzip
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

_HEAD_END = b"\r\n\r\n"
_DRIP_SECONDS = 0.02


class HostileServer:
    """Answers each request with what ``answer`` sends; a context manager that ends every connection.

    Args:
        answer: gets the connection and the request's head; what it leaves open is closed after it.
        tls: speaks https with it.

    Attributes:
        heads: the heads of the requests so far.
    """

    def __init__(self, answer: Callable[[Connection, bytes], object], tls: ssl.SSLContext | None = None) -> None:
        self._answer, self._tls = answer, tls
        self._stopping = threading.Event()
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.heads: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with self._lock:
            self._open.append(accepted)
        with suppress(OSError):
            if self._tls is not None:
                accepted = self._tls.wrap_socket(accepted, server_side=True)
            data = b""
            while _HEAD_END not in data and (more := accepted.recv(65536)):
                data += more
            if data:
                self.heads.append(data)
                self._answer(Connection(accepted, self._stopping), data)
        accepted.close()


class Connection:
    """One connection, and the ways to be a bad server on it."""

    def __init__(self, accepted: socket.socket, stopping: threading.Event) -> None:
        self._socket, self._stopping = accepted, stopping

    def send(self, data: bytes) -> None:
        """Send it at once."""
        self._socket.sendall(data)

    def reply(self, body: bytes, *headers: str, status: str = "200 OK", kind: str = "application/json") -> None:
        """Send a whole reply."""
        self.send(head(f"Content-Length: {len(body)}", *headers, status=status, kind=kind) + body)

    def drip(self, data: bytes) -> None:
        """Send a byte now and then until the end, or until the client goes."""
        for number in range(len(data)):
            if self._stopping.wait(_DRIP_SECONDS):
                return
            self.send(data[number : number + 1])

    def drip_for_ever(self, byte: bytes = b" ") -> None:
        """Send a byte now and then until the client goes."""
        while not self._stopping.wait(_DRIP_SECONDS):
            self.send(byte)

    def stay_silent(self) -> None:
        """Send nothing until the client goes."""
        self._socket.settimeout(0.1)
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                if not self._socket.recv(1):
                    return


def head(*headers: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    """Return the head of a reply that closes its connection."""
    lines = (f"HTTP/1.1 {status}", f"Content-Type: {kind}", "Connection: close", *headers)
    return "\r\n".join(lines).encode() + _HEAD_END


def bomb(megabytes: int, *, rounds: int = 1) -> bytes:
    """Return compressed JSON that unpacks to so many megabytes of spaces in a text."""
    data = b'{"name": "' + b" " * (megabytes << 20) + b'"}'
    for _ in range(rounds):
        data = gzip.compress(data, 9)
    return data


def seconds_since(began: float) -> float:
    """Return the seconds since a moment of ``time.monotonic``."""
    return time.monotonic() - began
