"""How fast Encord may be asked: one pace for all threads and sources of a process, fair between the sources.

Encord publishes no number and advises to start small (contract, section 6.5). So the rate grows while it is what holds the
callers up, halves on 429, and a server's hint is obeyed by everybody. How many upload jobs may be open is ``slots.py``;
which errors are repeated is ``retry.py``.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from registration_pipeline.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable

_CHECK_SECONDS = 0.5
"""How long a stop can go unnoticed by a thread that waits for a turn."""

_BURST_SECONDS = 1.0
"""What comes within this time belongs together: the bucket's depth, 429s that halve once, a wait that was lately."""

_LONGEST_HINT_SECONDS = 600.0
"""A longer hint is not believed without asking again: the caller then halts instead of waiting for hours."""

_ROUNDING = 1e-9


class Pace:
    """A token bucket of one second's worth, handed out round robin among the sources that wait, and in order within one.

    Args:
        rate: requests a second at the beginning.
        most: the fastest it grows to.
        least: the slowest it shrinks to.
        monotonic: seconds that never go back.
        wait: waits on a condition whose lock is held, until it is notified or that many seconds are over.
    """

    def __init__(
        self,
        *,
        rate: float = 10.0,
        most: float = 200.0,
        least: float = 0.5,
        monotonic: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Condition, float], object] = threading.Condition.wait,
    ) -> None:
        self._rate, self._most, self._least = min(max(rate, least), most), most, least
        self._monotonic, self._wait = monotonic, wait
        self._lock = threading.Lock()
        self._queues: dict[str, deque[threading.Condition]] = {}
        self._filled_at = monotonic()
        self._tokens = self._depth
        self._closed_until = self._throttled_at = self._held_up_at = float("-inf")
        self._has_asked_since = True
        self._throttles = 0

    @property
    def rate(self) -> float:
        """Requests a second at the moment."""
        return self._rate

    @property
    def throttles(self) -> int:
        """How often Encord has throttled so far; 429s that came together count once."""
        return self._throttles

    def turn(self, source: str, stop: threading.Event) -> None:
        """Return when the source may make one request.

        Raises:
            StoppedError: ``stop`` was set meanwhile.
        """
        with self._lock:
            ticket = threading.Condition(self._lock)
            self._queues.setdefault(source, deque()).append(ticket)
            try:
                while (seconds := self._seconds_to(ticket)) > 0:
                    if stop.is_set():
                        raise StoppedError("Nothing more is asked of Encord because the submission stops; run again.")
                    self._wait(ticket, min(seconds, _CHECK_SECONDS))
                self._tokens -= 1
                self._has_asked_since = True
                self._queues[source] = self._queues.pop(source)  # behind the other sources
            finally:
                self._leave(source, ticket)

    def answered(self) -> None:
        """Note an answer without complaint: grow, if the pace is what held callers up lately.

        Until Encord first complains, by one a second per answer, which doubles the rate each second; after that by one a
        second per second.
        """
        with self._lock:
            if self._monotonic() - self._held_up_at <= _BURST_SECONDS:
                self._fill()
                step = 1 / max(1.0, self._rate) if self._throttles else 1.0
                self._rate = min(self._most, self._rate + step)

    def throttled(self, retry_after_seconds: float | None) -> None:
        """Note a 429: halve, once for those that come together, and let no request through before the hint has passed."""
        with self._lock:
            now = self._monotonic()
            self._fill()
            # Requests that were under way when the rate was halved say nothing about the new rate.
            if now - self._throttled_at >= _BURST_SECONDS and self._has_asked_since:
                self._rate = max(self._least, self._rate / 2)
                self._throttled_at, self._has_asked_since = now, False
                self._throttles += 1
            self._tokens = min(self._tokens, 1.0)
            hint = min(retry_after_seconds or 0.0, _LONGEST_HINT_SECONDS)
            self._closed_until = max(self._closed_until, now + hint)
            self._filled_at = max(self._filled_at, self._closed_until)  # nothing is saved up for the moment it opens

    @property
    def _depth(self) -> float:
        return max(1.0, self._rate * _BURST_SECONDS)

    def _seconds_to(self, ticket: threading.Condition) -> float:
        """Return how long to wait before checking again; 0 when the ticket's turn has come."""
        self._fill()
        now = self._monotonic()
        if now < self._closed_until:
            return self._closed_until - now
        if self._next() is not ticket:
            return _CHECK_SECONDS
        missing = 1 - self._tokens
        if missing <= _ROUNDING:
            return 0.0
        self._held_up_at = now
        return missing / self._rate

    def _next(self) -> threading.Condition | None:
        return next((queue[0] for queue in self._queues.values()), None)

    def _leave(self, source: str, ticket: threading.Condition) -> None:
        queue = self._queues[source]
        queue.remove(ticket)
        if not queue:
            del self._queues[source]
        following = self._next()
        if following is not None:
            following.notify()

    def _fill(self) -> None:
        now = self._monotonic()
        if now > self._filled_at:
            self._tokens = min(self._depth, self._tokens + (now - self._filled_at) * self._rate)
            self._filled_at = now


_PACES: dict[str, Pace] = {}
_PACES_LOCK = threading.Lock()


def shared_pace(domain: str) -> Pace:
    """Return the process's pace for one Encord."""
    with _PACES_LOCK:
        return _PACES.setdefault(domain, Pace())
