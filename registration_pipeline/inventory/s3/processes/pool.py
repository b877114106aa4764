"""The processes that fetch and read pages for a listing, one for each core, and the sockets to them.

What does not belong here: what they do (``worker.py``), and which pages are asked for (``ranges/``).

They are started while the listing goes on, once it has kept this process busy for a while: a small bucket, or one that
answers slowly, is listed without them. Each is a new interpreter, so that nothing of this process (threads, locks,
credentials) is in it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.errors import HaltError
from registration_pipeline.inventory.s3.plain.page import PlainPage
from registration_pipeline.inventory.s3.processes.messages import NO_ANSWER, READY, receive_reply, send_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.inventory.bounds import PageLimit
    from registration_pipeline.inventory.s3.plain.wire import SignedRequest

MOST_PROCESSES: Final = 4
"""More would wait for the one that signs requests, and orders and writes the pages (``benchmarks/listing_model.py``)."""

_MODULE: Final = "registration_pipeline.inventory.s3.processes.worker"
_START_SECONDS: Final = 30.0
_END_SECONDS: Final = 2.0
_MEMORY: Final = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
"""Arrow's own allocator keeps 8 MB for each thread, and glibc's as many arenas as there are threads."""


@dataclass(frozen=True, slots=True)
class WhenToStart:
    """How many processes there are, and from when on.

    Args:
        processes: at the most; None: one for each core, and none on a machine with one.
        after_pages: not before this process has fetched as many.
        busy: nor before it used so much of one core while it fetched as many, from 0 to 1.
        is_awaited: the listing waits until they have started, as benchmarks and tests need it.
    """

    processes: int | None = None
    after_pages: int = 100
    busy: float = 0.6
    is_awaited: bool = False


def cores() -> int:
    """Return how many cores this process may use: of the machine, its affinity and its control group."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        found = min(found, max(1, round(int(quota) / int(period))))
    return found


class PageProcesses:
    """Processes that fetch pages; ``close`` ends them.

    Args:
        concurrency: requests at once, of all processes together.
        when: when to start them.
    """

    def __init__(self, concurrency: int, when: WhenToStart) -> None:
        wanted = when.processes if when.processes is not None else cores() if cores() > 1 else 0
        self._count = min(wanted, MOST_PROCESSES, concurrency) if concurrency > 1 else 0
        self._concurrency, self._when = concurrency, when
        self._lock = threading.Lock()
        self._free: deque[Channel] = deque()
        self._processes: list[_Process] = []
        self._pages = 0
        self._since = (0.0, 0.0)
        self._is_started = self._is_closed = False

    @property
    def process_ids(self) -> list[int]:
        """Of the system, of those that run."""
        with self._lock:
            return [process.process_id for process in self._processes]

    def count_page(self) -> None:
        """Note that this process fetched and read a page itself, and start the others if it is time."""
        if not self._count or self._is_started:
            return
        now = (time.process_time(), time.monotonic())
        with self._lock:
            self._pages += 1
            if self._pages == 1:
                self._since = now
            if self._pages < self._when.after_pages or self._is_started:
                return
            used, seconds = now[0] - self._since[0], now[1] - self._since[1]
            self._pages = 0
            if used < self._when.busy * seconds:
                return
            self._is_started = True
        starting = threading.Thread(target=self._start, name="s3-listing-start", daemon=True)
        starting.start()
        if self._when.is_awaited:
            starting.join()

    def take(self) -> Channel | None:
        """Return a channel that is not in use; None as long as there is none. Give it back."""
        with self._lock:
            return self._free.popleft() if self._free else None

    def give_back(self, channel: Channel) -> None:
        """Let others use a channel again."""
        with self._lock:
            self._free.append(channel)

    def close(self) -> None:
        """End all processes, and what waits for them."""
        with self._lock:
            self._is_closed = True
            processes, self._processes = self._processes, []
            self._free.clear()
        for process in processes:
            process.close_input()
        for process in processes:
            process.end()

    def _start(self) -> None:
        try:
            for number in range(self._count):
                channels = len(range(number, self._concurrency, self._count))
                self._add(_Process(channels))
        except (OSError, ValueError):
            return  # no room for more processes: the listing goes on in this one

    def _add(self, process: _Process) -> None:
        with self._lock:
            is_closed = self._is_closed
            if not is_closed:
                self._processes.append(process)
        if is_closed or not process.has_started():
            process.close_input()
            process.end()
            return
        with self._lock:
            if not self._is_closed:
                self._free.extend(process.channels)


class _Process:
    """One process and the sockets to it."""

    def __init__(self, channels: int) -> None:
        pairs = [socket.socketpair() for _ in range(channels)]
        ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - Python itself
                [sys.executable, "-m", _MODULE, str(os.getpid()), *(str(line.fileno()) for line in theirs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[line.fileno() for line in theirs],
                # Nothing else of the environment, where credentials may be.
                env={**_MEMORY, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                start_new_session=True,  # an interruption is for this process, which then ends the other
            )
        finally:
            for line in theirs:
                line.close()
        self.channels = [Channel(line, self.ending) for line in ours]

    @property
    def process_id(self) -> int:
        return self._process.pid

    def has_started(self) -> bool:
        """Wait until it serves all its sockets."""
        return all(channel.is_served(_START_SECONDS) for channel in self.channels)

    def ending(self) -> str:
        """Return how it ended, as a clause."""
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(_END_SECONDS)
            return f"ended with {signal.Signals(-code).name if code < 0 else f'status {code}'}"
        return "does not answer"

    def close_input(self) -> None:
        """Let it end by itself, and wake what waits for it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        for channel in self.channels:
            channel.shut()

    def end(self) -> None:
        """Wait for its end, or kill it."""
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for channel in self.channels:
            channel.close()


class Channel:
    """A socket to one of the processes, for one request at a time.

    What is here of a connection of urllib3 lets a limit shut it, which wakes the thread that waits for the reply.

    Args:
        line: the socket.
        ending: says how the process ended.
    """

    def __init__(self, line: socket.socket, ending: Callable[[], str]) -> None:
        self.sock: Any = line
        self.limits: tuple[Any, ...] = ()
        self._ending = ending

    def is_served(self, seconds: float) -> bool:
        """Wait until the other side says that it serves it."""
        self.sock.settimeout(seconds)
        try:
            is_served: bool = self.sock.recv(1) == READY
        except OSError:
            return False
        self.sock.settimeout(None)
        return is_served

    def ask(self, request: SignedRequest, limit: PageLimit, *, is_counted: bool = True) -> tuple[int, PlainPage | None]:
        """Have a request made, and return the status of its answer and the page, if it is a plain one.

        Args:
            request: it is signed.
            limit: which is in force.
            is_counted: see ``plain_page``.

        Raises:
            HaltError: the process is gone.
            ReplyLimitError: the limit was exceeded.
        """
        self.limits = (limit,)
        limit.sends_on(self)
        task = {
            "request": request.to_json(),
            "seconds": limit.seconds,
            "bytes": limit.most_bytes,
            "is_counted": is_counted,
        }
        try:
            send_task(self.sock, task)
            status, facts, rows = receive_reply(self.sock)
        except (EOFError, OSError):
            limit.require()
            raise HaltError(
                f"A process that read pages of the listing {self._ending()}. Nothing was recorded. Run again; if it happens "
                "again, the machine may be short of memory: give it more, or set `storage.concurrency` of the source to 1."
            ) from None
        finally:
            self.limits = ()
        return status, PlainPage.of(facts, rows) if facts and status != NO_ANSWER else None

    def shut(self) -> None:
        """Wake what waits for it."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()
