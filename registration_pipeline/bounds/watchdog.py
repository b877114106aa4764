"""One thread that calls back when the time of something is over, for all that is under way in this process.

What does not belong here: what is limited, and how it is ended (``reply.py``).
"""

from __future__ import annotations

import heapq
import threading
import time
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Watchdog:
    """Calls back at given times, in a thread that starts with the first of them.

    Args:
        monotonic: seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], float | None]]] = []
        self._numbers = count()
        self._thread: threading.Thread | None = None

    def call_after(self, seconds: float, function: Callable[[], float | None]) -> None:
        """Call a function once that many seconds are over, and again as many seconds later as it returns, until None.

        Args:
            seconds: from now.
            function: must return soon; what it raises ends the watching.
        """
        with self._changed:
            at = self._monotonic() + seconds
            is_next = not self._due or at < self._due[0][0]
            heapq.heappush(self._due, (at, next(self._numbers), function))
            if self._thread is None or not self._thread.is_alive():  # also in a process that was forked
                self._thread = threading.Thread(target=self._run, name="reply-watchdog", daemon=True)
                self._thread.start()
            elif is_next:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._due or self._due[0][0] > self._monotonic():
                    self._changed.wait(self._due[0][0] - self._monotonic() if self._due else None)
                _, _, function = heapq.heappop(self._due)
            again = function()
            if again is not None:
                self.call_after(again, function)
