"""urllib3's connections, taught to report to the limits in force what they do.

What does not belong here: what a limit is, and when it is exceeded (``reply.py``).
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import cache
from typing import Any, Final

from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class Limit(ABC):
    """What a connection reports to."""

    @abstractmethod
    def sends_on(self, connection: Any) -> None:
        """Note the connection that is used now: it is shut when the time is over."""

    @abstractmethod
    def reads(self, reply: WatchedReply) -> None:
        """Note the reply that is read now: its connection is shut when the time is over."""

    @abstractmethod
    def require(self) -> None:
        """Raise if the limit is exceeded: nothing more may be sent.

        Raises:
            ReplyLimitError: it is.
        """

    @abstractmethod
    def received(self, size: int) -> None:
        """Note how many bytes of a reply came so far.

        Raises:
            ReplyLimitError: they are too many, or the time is over.
        """


class _InForce(threading.local):
    """The limits of the present thread, the outermost first."""

    limits: tuple[Limit, ...] = ()

    def push(self, limit: Limit) -> None:
        """Put a limit in force in this thread."""
        self.limits = (*self.limits, limit)

    def remove(self, limit: Limit) -> None:
        """Put it out of force."""
        self.limits = tuple(one for one in self.limits if one is not limit)


in_force: Final = _InForce()


class _CountedReply(io.RawIOBase):
    """A socket's file that reports what comes through it."""

    def __init__(self, raw: Any, limits: tuple[Limit, ...]) -> None:
        super().__init__()
        self._raw, self._limits, self._size = raw, limits, 0

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def readinto(self, buffer: Any) -> int | None:
        read: int | None = self._raw.readinto(buffer)
        self._size += read or 0
        for limit in self._limits:
            # Also at the end: that of a connection that was shut must not pass for the end of the reply.
            limit.received(self._size)
        return read

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class WatchedReply(http.client.HTTPResponse):
    """A reply that is counted from its first header on, while a limit is in force."""

    def __init__(self, sock: Any, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        # A connection that will be closed after the reply gives its socket away, so the reply must know it.
        self._socket = sock
        if in_force.limits:
            self.fp: Any = io.BufferedReader(_CountedReply(self.fp.detach(), in_force.limits))
            for limit in in_force.limits:
                limit.reads(self)

    def shut(self) -> None:
        """Shut its connection, unless it was read to its end: then the connection may serve others by now."""
        if self.fp is not None:
            shut(self._socket)


class _Watched:
    """Mixed into urllib3's connections."""

    limits: tuple[Limit, ...] = ()
    response_class = WatchedReply

    def connect(self) -> None:
        self.report()
        super().connect()  # type: ignore[misc]
        for limit in self.limits:
            limit.require()

    def request(self, *arguments: Any, **named: Any) -> None:
        self.report()
        super().request(*arguments, **named)  # type: ignore[misc]

    def report(self) -> None:
        """Report to the limits in force; a request that is not sent by ``request`` does so first."""
        self.limits = in_force.limits
        for limit in self.limits:
            limit.require()
            limit.sends_on(self)


def shut(sock: Any) -> None:
    """Shut a connection both ways, so that a thread that waits for it wakes up; what is shut already stays so."""
    with suppress(OSError):
        if isinstance(sock, socket.socket):
            # Not the TLS socket's own method, which takes its state away from the thread that reads.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        elif sock is not None:
            sock.shutdown(socket.SHUT_RDWR)


def watch_urllib3() -> None:
    """Let the connections that urllib3 makes from now on be watched; without a limit in force they are as before."""
    watch_pools(HTTPConnectionPool, HTTPSConnectionPool)


def watch_pools(*pools: Any) -> None:
    """Let the connections that pools of these classes make from now on be watched.

    Args:
        pools: subclasses of urllib3's; ``ConnectionCls`` is its documented place for another class of connections.
    """
    for pool in pools:
        made = pool.ConnectionCls
        if not issubclass(made, _Watched):
            pool.ConnectionCls = watched(made)


@cache
def watched(made: Any) -> Any:
    """Return a class of connections that are watched.

    Args:
        made: the class of connections that are not.
    """
    return type(f"Watched{made.__name__}", (_Watched, made), {})
