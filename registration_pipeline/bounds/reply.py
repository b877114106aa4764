"""The most time and bytes that one reply may take, however it comes: silent, a byte a second, or without an end.

A timeout of a socket counts from the last byte, so a server that drips keeps a reader for ever. Here the connection is shut
when the time of the whole is over, by a thread of its own; the reader then sees its end and raises. All HTTP clients that we
use (requests, boto3, Google's, Azure's) share urllib3, so it is done there (``connections.py``), while a limit is in force.

What does not belong here: how long what may take; the callers say so.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self
from weakref import WeakMethod

from registration_pipeline.bounds.connections import Limit, in_force, shut, watch_urllib3
from registration_pipeline.bounds.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from registration_pipeline.bounds.connections import WatchedReply

_AGAIN_SECONDS = 0.5
"""After the end of the time: a connection that was being made at that moment is shut by the next try."""

_WATCHDOG: Final = Watchdog()
_UNDER_WAY: Final[set[ReplyLimit]] = set()
_UNDER_WAY_LOCK: Final = threading.Lock()


class ReplyLimitError(Exception):
    """A reply takes too long or is too large; the text says which.

    Not an ``OSError``: HTTP libraries would take it for one of the network and try again.
    """


class ReplyLimit(Limit):
    """A context in which requests of this thread, repetitions included, must be answered within a time and a size.

    It may be entered again, for reading on; then the time starts again.

    Args:
        seconds: for everything in the context.
        most_bytes: of one reply, as it comes over the line.
    """

    def __init__(self, seconds: float, most_bytes: int) -> None:
        self.seconds, self.most_bytes = seconds, most_bytes
        self._lock = threading.Lock()
        self._connection: Any = None
        self._reply: WatchedReply | None = None
        self._is_armed = self._is_watched = False
        self._ends_at = 0.0
        self.is_over = False
        self.is_too_large = False

    def __enter__(self) -> Self:
        watch_urllib3()
        with self._lock:
            self._is_armed, self._ends_at = True, time.monotonic() + self.seconds
            is_watched, self._is_watched = self._is_watched, True
        with _UNDER_WAY_LOCK:
            _UNDER_WAY.add(self)
        in_force.push(self)
        if not is_watched:
            # Held weakly: thousands of replies may have come and gone before the time of the first is over.
            due = WeakMethod(self._strike)
            _WATCHDOG.call_after(self.seconds, lambda: strike() if (strike := due()) else None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Put it out of force."""
        in_force.remove(self)
        with _UNDER_WAY_LOCK:
            _UNDER_WAY.discard(self)
        with self._lock:  # from here on the connection may serve others
            self._is_armed = False

    @property
    def connection(self) -> Any:
        """The connection that was used last, or None."""
        return self._connection

    @property
    def is_broken(self) -> bool:
        """Whether it was ended for its time or size."""
        return self.is_over or self.is_too_large

    def problem(self) -> str:
        """Return what was exceeded, for people."""
        if self.is_too_large:
            return f"the reply is larger than {_megabytes(self.most_bytes)} MB"
        return f"there was no whole reply within {self.seconds:g} s"

    def sends_on(self, connection: Any) -> None:
        """See ``Limit.sends_on``."""
        self._connection = connection

    def reads(self, reply: WatchedReply) -> None:
        """See ``Limit.reads``."""
        self._reply = reply

    def require(self) -> None:
        """See ``Limit.require``."""
        if self.is_broken:
            raise ReplyLimitError(self.problem())

    def received(self, size: int) -> None:
        """See ``Limit.received``."""
        if size > self.most_bytes:
            self.is_too_large = True
        self.require()

    def whole(self, pieces: Iterable[bytes]) -> bytes:
        """Join the pieces of a reply, as they come out of decompression.

        Raises:
            ReplyLimitError: they are more than may be, though they were less on the line; or the time is over.
        """
        found: list[bytes] = []
        size = 0
        for piece in pieces:
            size += len(piece)
            self.received(size)
            found.append(piece)
        self.require()
        return b"".join(found)

    def strike(self) -> None:
        """End what is under way now."""
        with self._lock:
            if self._is_armed:
                self.is_over = True
                if self._reply is not None:
                    self._reply.shut()
                if self._connection is not None and self in self._connection.limits:
                    shut(self._connection.sock)

    def _strike(self) -> float | None:
        """Be called when the time may be over; one call is due at a time, however often the limit is entered."""
        with self._lock:
            if not self._is_armed:
                self._is_watched = False
                return None
            left = self._ends_at - time.monotonic()
        if left > 0:
            return left
        self.strike()
        return _AGAIN_SECONDS


def end_all() -> None:
    """End every reply that is under way in this process, because the process is to end."""
    with _UNDER_WAY_LOCK:
        limits = list(_UNDER_WAY)
    for limit in limits:
        limit.strike()


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):g}"
