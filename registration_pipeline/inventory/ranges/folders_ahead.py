"""Lists folders ahead of who walks through them, many at once, in bounded memory.

What does not belong here: the walk itself and its order (``azure/walk.py``), and how one page of a folder is asked for.

What is listed ahead is what the walk comes to next: the folders known so far that are first in key order. The folder that the
walk waits for is listed whatever is in memory.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from registration_pipeline.errors import HaltError, ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WINDOW_ENTRIES = 60_000
"""Objects and folders in memory from which on only the folder that is waited for is listed: some 30 MB."""

_JOIN_SECONDS = 5.0
_WATCH_SECONDS = 1.0


class FolderPage(Protocol):
    """One answer about what lies directly in a folder."""

    @property
    def folders(self) -> Sequence[str]:
        """The folders in it, as whole prefixes."""

    @property
    def marker(self) -> str | None:
        """Where the folder goes on; None after the last page."""

    def __len__(self) -> int:
        """Return how many objects and folders it names."""


class Throttled(Protocol):
    """What knows whether the store asks to go slower, for example ``AzureRequests``."""

    on_throttle: Callable[[], None]

    @property
    def was_throttled(self) -> bool:
        """Whether the last request of this thread was answered with "slower, please"."""


Answer = TypeVar("Answer", bound=FolderPage)


@dataclass(slots=True, eq=False)
class _Folder(Generic[Answer]):
    name: str
    place: str
    marker: str | None = None
    pages: deque[Answer] = field(default_factory=deque)
    is_busy: bool = False
    is_done: bool = False


class FoldersAhead(Generic[Answer]):
    """Lists folders with up to ``concurrency`` requests at once. A context manager: leaving it ends all.

    Args:
        ask: returns the page of a folder that follows a marker; called by many threads.
        throttled: of the same requests.
        concurrency: the most requests at once.
        window_entries: see ``WINDOW_ENTRIES``.
    """

    def __init__(
        self,
        ask: Callable[[str, str | None], Answer],
        throttled: Throttled,
        *,
        concurrency: int,
        window_entries: int = WINDOW_ENTRIES,
    ) -> None:
        self._ask, self._throttled, self._window = ask, throttled, window_entries
        self._folders: dict[str, _Folder[Answer]] = {}
        self._next: list[tuple[str, str]] = []
        self._wanted = ""
        self._concurrency = self._limit = concurrency
        self._active = self._held = self._started = self._halved_at = self._smooth = 0
        self._is_stopped, self._failure = False, list[BaseException]()
        self._began = threading.local()
        lock = threading.Lock()
        self._work, self._output = threading.Condition(lock), threading.Condition(lock)
        self._threads = [
            threading.Thread(target=self._work_until_stopped, name=f"listing-{number}", daemon=True)
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

    def pages(self, folder: str) -> Iterator[Answer]:
        """Yield the pages of a folder, each once.

        Args:
            folder: the one that the walk starts at, or one that was in a page.

        Raises:
            HaltError: any request failed, or the threads died.
        """
        with self._work:
            self._add(folder)
        while (page := self._next_page(folder)) is not None:
            yield page

    def _next_page(self, name: str) -> Answer | None:
        with self._output:
            folder, self._wanted = self._folders[name], name
            self._work.notify_all()
            while True:
                if self._failure:
                    raise self._failure[0]
                if folder.pages:
                    page = folder.pages.popleft()
                    self._held -= len(page)
                    self._work.notify_all()
                    return page
                if folder.is_done:
                    del self._folders[name]
                    return None
                if not any(thread.is_alive() for thread in self._threads):
                    raise HaltError("The threads that listed the bucket died. Nothing was recorded. Run again.")
                self._output.wait(_WATCH_SECONDS)

    # What follows runs in the threads, or with the lock held.

    def _add(self, name: str) -> None:
        if name not in self._folders:
            self._folders[name] = _Folder(name, name)
            heappush(self._next, (name, name))

    def _work_until_stopped(self) -> None:
        try:
            while (folder := self._next_folder()) is not None:
                self._list_page(folder)
        except BaseException as error:  # noqa: BLE001 - raised again where the pages are read
            with self._work:
                self._failure.append(error)
                self._work.notify_all()
                self._output.notify_all()

    def _next_folder(self) -> _Folder[Answer] | None:
        """Wait for a folder to ask about; None when all is to end."""
        with self._work:
            while not self._is_stopped and not self._failure:
                folder = self._choose() if self._active < self._limit else None
                if folder is not None:
                    folder.is_busy = True
                    self._active += 1
                    self._started += 1
                    self._began.at = self._started
                    return folder
                self._work.wait()
            return None

    def _choose(self) -> _Folder[Answer] | None:
        wanted = self._folders.get(self._wanted)
        if wanted is not None and not wanted.pages and not wanted.is_busy and not wanted.is_done:
            return wanted
        while self._next and self._held < self._window:
            place, name = heappop(self._next)
            folder = self._folders.get(name)
            if folder is not None and folder.place == place and not folder.is_busy and not folder.is_done:
                return folder
        return None

    def _list_page(self, folder: _Folder[Answer]) -> None:
        try:
            page = self._ask(folder.name, folder.marker)
        except ServiceUnavailableError:
            with self._work:
                if not self._throttled.was_throttled or (self._limit == 1 and self._active == 1):
                    raise
                folder.is_busy = False  # once more, with fewer at once
                self._active -= 1
                heappush(self._next, (folder.place, folder.name))
                self._work.notify_all()
            return
        with self._work:
            self._record(folder, page)
            self._work.notify_all()
            self._output.notify_all()

    def _record(self, folder: _Folder[Answer], page: Answer) -> None:
        self._active -= 1
        self._smooth += 1
        if self._smooth >= self._limit < self._concurrency:
            self._limit, self._smooth = self._limit + 1, 0
        folder.pages.append(page)
        self._held += len(page)
        for name in page.folders:
            self._add(name)
        folder.is_busy, folder.marker, folder.is_done = False, page.marker, page.marker is None
        if not folder.is_done:
            # What follows is after the folders of this page, or a folder of many pages would fill the memory alone.
            folder.place = max(folder.place, *page.folders) if page.folders else folder.place
            heappush(self._next, (folder.place, folder.name))

    def _slow_down(self) -> None:
        """Halve the number of requests at once; what was asked before the last time says nothing new."""
        with self._work:
            if self._began.at > self._halved_at:
                self._limit, self._smooth, self._halved_at = max(1, self._limit // 2), 0, self._started
