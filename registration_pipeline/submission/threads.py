"""Threads of a generator, which end with it: also where its caller stops in the middle and the garbage collector ends it.

That may be in any thread at any moment, also in one that is starting a thread: it then holds a lock that every thread needs to
end, so a thread that waits there for the end of others waits for ever. So what ends in the middle waits for the work that is
under way, which a stop has made short, and for the threads themselves no longer than a moment.

What does not belong here: what the threads do, and what stops them.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Final, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_WORK_SECONDS: Final = 120.0
"""Longer than a request takes. Work may need a lock, too, that the thread holds in which the garbage collector is."""
_MOMENT_SECONDS: Final = 1.0

T = TypeVar("T")


class GeneratorThreads:
    """A pool of threads inside a generator.

    Args:
        number: of threads at the most.
        name: what their names begin with.
    """

    def __init__(self, number: int, name: str) -> None:
        self._threads: list[threading.Thread] = []
        self._under_way: set[Future[object]] = set()
        self._pool = ThreadPoolExecutor(number, name, initializer=self._begin)

    def __enter__(self) -> Self:
        """Begin; threads are started as they are needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the threads; they were stopped before, if there is work under way."""
        if kind is None or not issubclass(kind, GeneratorExit):
            self._pool.shutdown(wait=True)
            return
        self._pool.shutdown(wait=False, cancel_futures=True)
        if threading.current_thread() in self._threads:
            return  # it would wait for itself
        wait([future for future in list(self._under_way) if not future.cancelled()], _WORK_SECONDS)
        until = time.monotonic() + _MOMENT_SECONDS
        for thread in list(self._threads):
            thread.join(max(0.0, until - time.monotonic()))

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Let a thread do some work."""
        future = self._pool.submit(work)
        self._under_way.add(future)  # type: ignore[arg-type]  # its result is of no interest there
        future.add_done_callback(self._under_way.discard)
        return future

    def _begin(self) -> None:
        self._threads.append(threading.current_thread())
