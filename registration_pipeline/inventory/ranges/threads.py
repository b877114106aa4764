"""The threads of a listing: how many requests there are at once, what becomes of their failures, and their end.

What does not belong here: what there is to ask for (``lister.py``, ``folders_ahead.py``).

A store that asks to go slower gets half as many requests at once, and then one more for each round that went well.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol, Self

from registration_pipeline.errors import HaltError

if TYPE_CHECKING:
    from collections.abc import Callable

_JOIN_SECONDS = 5.0
_WATCH_SECONDS = 1.0


class Throttled(Protocol):
    """What knows whether the store asks to go slower, for example ``AzureRequests``."""

    on_throttle: Callable[[], None]

    @property
    def was_throttled(self) -> bool:
        """Whether the last request of this thread was answered with "slower, please"."""


class ListingThreads(ABC):
    """Threads that do what ``_choose`` finds, until there is nothing more. A context manager: leaving it ends all.

    Args:
        throttled: of the requests that they make.
        concurrency: the most requests at once.
    """

    def __init__(self, throttled: Throttled, concurrency: int) -> None:
        self._throttled = throttled
        self._concurrency = self._limit = concurrency
        self._active = self._waiting = self._started = self._halved_at = self._smooth = 0
        self._is_stopped, self._failure = False, list[BaseException]()
        self._began = threading.local()
        lock = threading.Lock()
        self._work, self._output = threading.Condition(lock), threading.Condition(lock)
        self._threads = [
            threading.Thread(target=self._work_until_done, name=f"listing-{number}", daemon=True)
            for number in range(concurrency)
        ]

    def __enter__(self) -> Self:
        self._throttled.on_throttle = self._slow_down
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._work:
            self._is_stopped = True
            self._work.notify_all()
        deadline = time.monotonic() + _JOIN_SECONDS
        for thread in self._threads:
            # A request that hangs is not waited for: its thread ends with the client's timeout, or with the process.
            thread.join(max(0.0, deadline - time.monotonic()))
        self._throttled.on_throttle = lambda: None

    # What follows is called with the lock held.

    def _is_over(self) -> bool:
        """Return whether the threads are to end."""
        return self._is_stopped or bool(self._failure)

    @abstractmethod
    def _choose(self) -> Callable[[], None] | None:
        """Return what is to be done next, which makes one request; None: nothing at present."""

    def _wake_another(self) -> None:  # noqa: B027 - optional
        """Wake one more thread if there is more to do: one has just found something."""

    def _raise_failure(self) -> None:
        if self._failure:
            raise self._failure[0]

    def _wait_for_output(self) -> None:
        """Wait until a thread has something new, or a moment.

        Raises:
            HaltError: all threads died.
        """
        if not any(thread.is_alive() for thread in self._threads):
            raise HaltError("The threads that listed the bucket died. Nothing was recorded. Run again.")
        self._output.wait(_WATCH_SECONDS)

    def _may_ask_again(self) -> bool:
        """Return whether a request that this thread made in vain goes well with fewer at once, perhaps."""
        return self._throttled.was_throttled and not self._limit == self._active == 1

    def _went_well(self) -> None:
        """Take note of a request that brought its page."""
        self._smooth += 1
        if self._smooth >= self._limit < self._concurrency:
            self._limit, self._smooth = self._limit + 1, 0

    # What follows runs in the threads.

    def _work_until_done(self) -> None:
        try:
            while (task := self._next_task()) is not None:
                task()
        except BaseException as error:  # noqa: BLE001 - raised again where the pages are read
            with self._work:
                self._failure.append(error)
                self._work.notify_all()
                self._output.notify_all()

    def _next_task(self) -> Callable[[], None] | None:
        """Wait for something to do; None when there is nothing more."""
        with self._work:
            while not self._is_over():
                task = self._choose() if self._active < self._limit else None
                if task is not None:
                    self._active += 1
                    self._started += 1
                    self._began.at = self._started
                    self._wake_another()
                    return task
                self._waiting += 1
                self._work.wait()
                self._waiting -= 1
            self._work.notify_all()
            return None

    def _slow_down(self) -> None:
        """Halve the number of requests at once; what was asked before the last time says nothing new."""
        with self._work:
            if self._began.at > self._halved_at:
                self._limit, self._smooth, self._halved_at = max(1, self._limit // 2), 0, self._started
