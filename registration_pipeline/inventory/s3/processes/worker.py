"""A process that fetches and reads pages: ``python -m registration_pipeline.inventory.s3.processes.worker PARENT SOCKET…``.

What does not belong here: signing and deciding what is listed, which the process that started it does
(``pool.py``). This one has no credentials, and gets requests that are signed.

One thread serves all sockets: threads that take turns within Arrow took half of the time. It ends with the other process:
when its standard input ends, or when it has another parent.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import ssl
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.inventory.s3.plain.page import plain_page
from registration_pipeline.inventory.s3.plain.wire import OK, SignedRequest, connected, written
from registration_pipeline.inventory.s3.processes.messages import NO_ANSWER, READY, receive_task, send_reply
from registration_pipeline.inventory.s3.processes.reply import RawReply

if TYPE_CHECKING:
    from collections.abc import Sequence

_WATCH_SECONDS: Final = 2.0
_FAILED: Final = 70
_PIECE: Final = 1 << 18


class _Conversation:
    """One socket to the other process, and the connection to the store that its requests are sent over.

    Args:
        loop: which waits for both.
        line: to the other process.
    """

    def __init__(self, loop: PageLoop, line: socket.socket) -> None:
        self._loop, self._line = loop, line
        self._to: Any = None
        self._store: Any = None  # a socket
        self._request: SignedRequest | None = None
        self._reply: RawReply | None = None
        self._is_counted = True
        self.ends_at = float("inf")

    def take_task(self) -> None:
        """Read a task and send its request, over a connection that is made elsewhere if there is none."""
        task = receive_task(self._line)
        self._request = request = SignedRequest.from_json(task["request"])
        self._reply, self._is_counted = RawReply(task["bytes"]), task["is_counted"]
        self.ends_at = time.monotonic() + min(task["seconds"], request.to.connect_seconds + request.to.read_seconds)
        if self._store is not None and self._to == request.to:
            self._send()
            return
        self._hang_up()
        threading.Thread(target=self._connect, args=(request,), daemon=True).start()

    def _connect(self, request: SignedRequest) -> None:
        """Connect, in a thread of its own, because it can only be waited for."""
        try:
            store = connected(request.to)
        except Exception:  # noqa: BLE001 - the other process asks again in its way, and gets the error
            store = None
        self._loop.call(lambda: self._go_on(request, store))

    def _go_on(self, request: SignedRequest, store: Any) -> None:
        if request is not self._request:  # its time was over
            if store is not None:
                store.close()
            return
        if store is None:
            self.answer(NO_ANSWER)
            return
        store.setblocking(False)
        self._store, self._to = store, request.to
        self._loop.watch(store, self.read)
        self._send()

    def _send(self) -> None:
        assert self._request is not None
        self.ends_at = min(self.ends_at, time.monotonic() + self._request.to.read_seconds)
        try:
            self._store.sendall(written(self._request))
        except OSError:
            self.answer(NO_ANSWER)

    def read(self) -> None:
        """Read what the store sent so far, and reply once it is all."""
        try:
            is_whole = self._receive()
        except (BlockingIOError, ssl.SSLWantReadError):
            return  # the rest is still to come
        except OSError:
            is_whole = False
        if is_whole:
            self._finish()
        else:
            self._lose()

    def _receive(self) -> bool:
        """Return whether the reply is whole; False if it will not be, or if nothing was asked.

        Raises:
            BlockingIOError, SSLWantReadError: there is more to come.
            OSError: the connection is lost.
        """
        while piece := self._store.recv(_PIECE):
            if self._reply is None:
                return False
            if self._reply.take(piece):
                return not self._reply.is_too_large
        return self._reply is not None and self._reply.ends_here()  # the store closed the connection

    def _lose(self) -> None:
        """Give the connection up, and the request that was sent over it, if there is one."""
        is_asked = self._reply is not None
        self._hang_up()
        if is_asked:
            self.answer(NO_ANSWER)

    def _finish(self) -> None:
        assert self._reply is not None
        status, body = self._reply.status, self._reply.body
        if not self._reply.is_kept:
            self._hang_up()
        self.answer(status, body)

    def answer(self, status: int, body: bytes = b"") -> None:
        """Send the other process what came of its task."""
        self._request = self._reply = None
        self.ends_at = float("inf")
        if status == NO_ANSWER:
            self._hang_up()
        page = plain_page(body, is_counted=self._is_counted) if status == OK else None
        if page is None:
            send_reply(self._line, status, {})
        else:
            send_reply(self._line, status, page.facts(), page.rows())

    def _hang_up(self) -> None:
        if self._store is not None:
            self._loop.forget(self._store)
            self._store.close()
        self._store = self._to = None


class PageLoop:
    """Waits for all sockets of the process.

    Args:
        parent: the process that asks.
    """

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._selector = selectors.DefaultSelector()
        self._conversations: list[_Conversation] = []
        self._calls: deque[Any] = deque()
        self._woken, self._waker = socket.socketpair()
        self.watch(self._woken, self._make_calls)
        self.watch(0, _end_with_input)

    def add(self, line: socket.socket) -> None:
        """Serve a socket to the other process."""
        conversation = _Conversation(self, line)
        self._conversations.append(conversation)
        self.watch(line, conversation.take_task)
        line.sendall(READY)

    def watch(self, what: Any, call: Any) -> None:
        """Call when something can be read."""
        self._selector.register(what, selectors.EVENT_READ, call)

    def forget(self, what: Any) -> None:
        """Watch it no longer."""
        self._selector.unregister(what)

    def call(self, function: Any) -> None:
        """Call from the loop's own thread; this may be called from any."""
        self._calls.append(function)
        self._waker.send(b"x")

    def run(self) -> None:
        """Serve until the other process is gone.

        Raises:
            EOFError: it is.
        """
        watched_at = 0.0
        while True:
            for key, _ in self._selector.select(_WATCH_SECONDS):
                # What an earlier call of this round closed is not to be read.
                if self._selector.get_map().get(key.fd) is key:
                    key.data()
            now = time.monotonic()
            if now - watched_at >= _WATCH_SECONDS:
                watched_at = now
                self._look_around(now)

    def _look_around(self, now: float) -> None:
        if os.getppid() != self._parent:
            raise EOFError
        for conversation in self._conversations:
            if conversation.ends_at < now:
                conversation.answer(NO_ANSWER)

    def _make_calls(self) -> None:
        self._woken.recv(len(self._calls) or 1)
        while self._calls:
            self._calls.popleft()()


def _end_with_input() -> None:
    if not os.read(0, 1):
        raise EOFError


def main(arguments: Sequence[str]) -> None:
    """Serve the sockets."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that asks is interrupted, and then goes away
    status = _FAILED
    try:
        loop = PageLoop(int(arguments[0]))
        for descriptor in arguments[1:]:
            loop.add(socket.socket(fileno=int(descriptor)))
        loop.run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
