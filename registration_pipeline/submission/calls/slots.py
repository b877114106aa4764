"""Room for open upload jobs: how many a source may have under way, and waiting for one to end.

Encord's advice is to start small and to grow with how fast jobs are processed (contract, section 6.5): additive increase per
job that went through, halving when Encord throttled meanwhile. How often single requests are made is ``pace.py``.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import HaltError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHECK_SECONDS = 0.5  # how long a stop can go unnoticed by a thread that waits for room


class Slots:
    """Bounded room, shared between threads.

    Args:
        most: the most jobs at once.
        throttles: returns how often Encord has throttled so far.
        first: how many at the beginning.
    """

    def __init__(self, most: int, throttles: Callable[[], int] = lambda: 0, *, first: int = 2) -> None:
        self.most: Final = most
        self._throttles = throttles
        self._size, self._occupied, self._seen = min(first, most), 0, throttles()
        self._freed = threading.Condition()

    @property
    def size(self) -> int:
        """How many jobs may be open at the moment."""
        return self._size

    @contextmanager
    def occupied(self, stop: threading.Event) -> Iterator[None]:
        """Hold room for one job; waits until there is some. A halt inside sets ``stop``.

        Raises:
            StoppedError: ``stop`` was set meanwhile.
        """
        with self._freed:
            while self._occupied >= self._size:
                if stop.is_set():
                    raise StoppedError("No further upload job is started because the submission stops; run again.")
                self._freed.wait(_CHECK_SECONDS)
            self._occupied += 1
        try:
            yield
        except HaltError:
            stop.set()  # before the room is free: a thread that waits for it must start nothing
            raise
        finally:
            with self._freed:
                self._occupied -= 1
                self._adapt()
                self._freed.notify_all()

    def _adapt(self) -> None:
        throttles = self._throttles()
        self._size = max(1, self._size // 2) if throttles != self._seen else min(self.most, self._size + 1)
        self._seen = throttles
