"""An answer of HTTP/1.1 that comes in pieces, for a loop that can't wait: whether it is whole, and what is in it.

What does not belong here: sockets. The standard library reads the answer, once it seems to be whole.
"""

from __future__ import annotations

import http.client
import io
import re
from typing import Any, Final

from registration_pipeline.inventory.s3.processes.messages import NO_ANSWER

_END_OF_HEAD: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n", re.IGNORECASE)
_LAST_CHUNK: Final = b"0\r\n\r\n"


class RawReply:
    """The answer to one request.

    Args:
        most_bytes: of it.

    Attributes:
        status: once it is whole.
        body: likewise; empty where it is compressed, which was not asked for.
        is_kept: the connection may be used for another request.
        is_too_large: it has more bytes than it may have.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._needed: int | None = None  # known once the head is there and says it
        self._is_chunked = False
        self._has_head = False
        self.status, self.body = NO_ANSWER, b""
        self.is_kept = self.is_too_large = False

    def take(self, piece: bytes) -> bool:
        """Add what came, and return whether there is nothing more to come: it is whole, or too large."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._most_bytes:
            self.is_too_large = True
            return True
        if not self._has_head:
            self._find_head()
        if self._needed is not None:
            return self._size >= self._needed and self._is_read()
        return self._is_chunked and self._ending().endswith(_LAST_CHUNK) and self._is_read()

    def ends_here(self) -> bool:
        """Return whether it is whole if the connection ends now."""
        return self._has_head and self._needed is None and not self._is_chunked and self._is_read()

    def _find_head(self) -> None:
        data = b"".join(self._pieces)
        self._pieces = [data]
        end = data.find(_END_OF_HEAD)
        if end < 0:
            return
        self._has_head = True
        head = data[: end + 2]
        length = _LENGTH.search(head)
        self._is_chunked = _CHUNKED.search(head) is not None
        if length and not self._is_chunked:
            self._needed = end + len(_END_OF_HEAD) + int(length[1])

    def _ending(self) -> bytes:
        last = self._pieces[-1]
        return last if len(last) >= len(_LAST_CHUNK) else b"".join(self._pieces[-len(_LAST_CHUNK) :])

    def _is_read(self) -> bool:
        reply = http.client.HTTPResponse(_Given(b"".join(self._pieces)), method="GET")  # type: ignore[arg-type]
        try:
            reply.begin()
            body = reply.read()
        except (http.client.HTTPException, ValueError):
            return False  # what seemed to be its last chunk was not
        is_plain = reply.getheader("Content-Encoding") is None
        self.status, self.body, self.is_kept = reply.status, body if is_plain else b"", not reply.will_close
        return True


class _Given:
    """What the standard library takes for a socket.

    Args:
        data: all of the answer.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> Any:
        """Return a file of it."""
        return io.BytesIO(self._data)
