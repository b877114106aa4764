"""Lists folders ahead of who walks through them, many at once, in bounded memory.

What does not belong here: the walk itself and its order (``azure/walk.py``), and how one page of a folder is asked for.

What is listed ahead is what the walk comes to next: the folders known so far that are first in key order. The folder that the
walk waits for is listed whatever is in memory.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from registration_pipeline.errors import ServiceUnavailableError
from registration_pipeline.inventory.ranges.threads import ListingThreads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from registration_pipeline.inventory.ranges.threads import Throttled

WINDOW_ENTRIES = 60_000
"""Objects and folders in memory from which on only the folder that is waited for is listed: some 30 MB."""


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


Answer = TypeVar("Answer", bound=FolderPage)


@dataclass(slots=True, eq=False)
class _Folder(Generic[Answer]):
    name: str
    place: str
    marker: str | None = None
    pages: deque[Answer] = field(default_factory=deque)
    is_busy: bool = False
    is_done: bool = False


class FoldersAhead(ListingThreads, Generic[Answer]):
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
        super().__init__(throttled, concurrency)
        self._ask, self._window = ask, window_entries
        self._folders: dict[str, _Folder[Answer]] = {}
        self._next: list[tuple[str, str]] = []
        self._wanted = ""
        self._held = 0

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
                self._raise_failure()
                if folder.pages:
                    page = folder.pages.popleft()
                    self._held -= len(page)
                    self._work.notify_all()
                    return page
                if folder.is_done:
                    del self._folders[name]
                    return None
                self._wait_for_output()

    # What follows runs in the threads, or with the lock held.

    def _add(self, name: str) -> None:
        if name not in self._folders:
            self._folders[name] = _Folder(name, name)
            heappush(self._next, (name, name))

    def _choose(self) -> Callable[[], None] | None:
        folder = self._next_folder()
        if folder is None:
            return None
        folder.is_busy = True
        return partial(self._list_page, folder)

    def _next_folder(self) -> _Folder[Answer] | None:
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
                if not self._may_ask_again():
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
        self._went_well()
        folder.pages.append(page)
        self._held += len(page)
        for name in page.folders:
            self._add(name)
        folder.is_busy, folder.marker, folder.is_done = False, page.marker, page.marker is None
        if not folder.is_done:
            # What follows is after the folders of this page, or a folder of many pages would fill the memory alone.
            folder.place = max(folder.place, *page.folders) if page.folders else folder.place
            heappush(self._next, (folder.place, folder.name))
