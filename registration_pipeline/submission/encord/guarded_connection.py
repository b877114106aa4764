"""Connections that ask whether a request may still be sent in the moment before it is complete.

A process can be stopped, or its machine fall asleep, at any point: also while a connection is made, or while a body waits for
room in the network. A server acts on whole requests only. So the last piece of a request goes out alone, without a wait, right
after the question and when all before it has left the machine; what asks is the lease, on a clock that goes on meanwhile
(decision 025).

What does not belong here: what is sent (``posting.py``) and who may send (``state/lease.py``).
"""

from __future__ import annotations

import socket
import ssl
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from urllib3.util import wait_for_read, wait_for_write

from registration_pipeline.submission.encord.transport import BoundedAdapter

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

UNDELIVERED_SECONDS: Final = 15
"""What has left the process and did not arrive is given up by the kernel after this time, where it can: the time between a
holder's giving up and the moment when another process may take over."""

_LAST_BYTES: Final = 512
"""Small enough to be accepted at once by a socket that has room at all."""

_TCP_USER_TIMEOUT: Final = getattr(socket, "TCP_USER_TIMEOUT", None)
_TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", None)


class GuardedAdapter(BoundedAdapter):
    """An adapter for requests that must not be sent too late; nothing is repeated.

    Args:
        may_send: asked in the last moment; what it raises ends the request, which then had no effect.
    """

    def __init__(self, may_send: Callable[[], None]) -> None:
        self._may_send = may_send
        super().__init__(max_retries=0)

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: Any,
        proxies: Any = None,
        cert: Any = None,
    ) -> Any:
        """See ``HTTPAdapter``; the pool's connections are guarded."""
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        pool.ConnectionCls = _guarded(pool.ConnectionCls)
        pool.conn_kw["may_send"] = self._may_send  # the pool gives it to each connection that it makes
        return pool


class _Guarded:
    """What a connection of urllib3 gets."""

    sock: Any

    def __init__(self, *arguments: Any, may_send: Callable[[], None], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.may_send = may_send

    def connect(self) -> None:
        usual: Any = super()
        usual.connect()
        self._set(_TCP_USER_TIMEOUT, UNDELIVERED_SECONDS * 1000)

    def send(self, data: Any) -> None:
        """Send a head or a body: all but its end as usual, which may wait, and its end guarded."""
        if self.sock is None:
            self.connect()
        content = memoryview(data)
        end = max(0, len(content) - _LAST_BYTES)
        if end:
            usual: Any = super()
            usual.send(content[:end])
        self._send_at_once(content[end:])

    def _set(self, option: int | None, value: int) -> None:
        if option is not None and hasattr(self.sock, "setsockopt"):  # TLS within TLS has none
            self.sock.setsockopt(socket.IPPROTO_TCP, option, value)

    def _send_at_once(self, content: memoryview) -> None:
        timeout = self.sock.gettimeout()
        self._set(_TCP_NOTSENT_LOWAT, 1)  # from now on it takes more only when nothing waits in the kernel
        while content:
            if not wait_for_write(self.sock, timeout):
                raise TimeoutError("the network takes no more of the request")
            # Only now may no wait follow: between the question and the bytes lies nothing but two system calls.
            self.sock.settimeout(0)
            try:
                self.may_send()
                content = content[self.sock.send(content) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                continue
            except ssl.SSLWantReadError:
                wait_for_read(self.sock, timeout)
            finally:
                self.sock.settimeout(timeout)
        self._set(_TCP_NOTSENT_LOWAT, 0)  # as usual: the body may follow the head


@cache
def _guarded(usual: type) -> type:
    """Return the guarded form of a class of connections; one for all requests, for making a class is expensive."""
    return usual if issubclass(usual, _Guarded) else type("GuardedConnection", (_Guarded, usual), {})
