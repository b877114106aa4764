"""Lists many ranges of a bucket's keys at once and yields their rows in key order, in bounded memory.

What does not belong here: asking for one page (the provider's folder) and guessing where to split (``key_space.py``).

A range is what lies after one key, up to and with another. An idle thread lists the next page of a range that no thread is
working on, the first in key order, or else splits one in two and continues from the middle, whatever it finds there.
Ranges that are ahead of the rows yielded keep theirs in memory, and wait when that is full: the further ahead, the
sooner. Then it is the ranges in front that are split, so that all requests work on a window that moves through the bucket.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from registration_pipeline.errors import HaltError, ServiceUnavailableError
from registration_pipeline.inventory.ranges.threads import ListingThreads, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from registration_pipeline.inventory.ranges.key_space import KeySpace
    from registration_pipeline.inventory.ranges.page import Page

WINDOW_BYTES = 24_000_000
"""Rows in memory from which on ranges far ahead wait; those just behind the first may use twice as much."""

_WORTH_SPLITTING = 4.0  # pages that a range should still have; a split costs up to two requests that bring nothing
_WORTH_WITH_MUCH_IN_MEMORY = 8.0  # then nothing waits for the rows, and only the number of requests counts
_FREE_MISSES = 32  # guesses that may find nothing at first: halving six digits and a few letters takes some 25
_FOLDER_LEVELS = 4  # how deep the search for folders goes where each folder holds just one other


class PageSource(Throttled, Protocol):
    """Where pages come from, for example ``S3Requests``; each method may be called by many threads."""

    prefix: str

    def page(self, *, after: str = "", token: str | None = None) -> Page:
        """Return the page that follows."""

    def folders(self, prefix: str) -> list[str]:
        """Return the common prefixes below a prefix, as far as one request shows them."""


@dataclass(slots=True, eq=False)
class KeyRange:
    """Keys after ``position``, up to and with ``end`` (None: to the last), and the rows that were found before them.

    Args:
        position: every key up to here is done.
        end: moves towards the position when the range is split.
        token: where the store goes on; None to start after ``position``.
        pages: how many pages are probably left; None before the first.
        is_end_empty: the end was a guess, and nothing was found right after it.
    """

    position: str
    end: str | None
    token: str | None = None
    pages: float | None = None
    is_end_empty: bool = False
    batches: deque[pa.RecordBatch] = field(default_factory=deque)
    bytes: int = 0
    is_busy: bool = False
    is_done: bool = False


class RangeLister(ListingThreads):
    """Lists everything after a position with up to ``concurrency`` requests at once. A context manager: leaving it ends all.

    Args:
        requests: of the bucket.
        space: what is known of its keys.
        first: where to begin.
        concurrency: the most requests at once.
        window_bytes: see ``WINDOW_BYTES``.
    """

    def __init__(
        self,
        requests: PageSource,
        space: KeySpace,
        first: KeyRange,
        *,
        concurrency: int,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        super().__init__(requests, concurrency)
        self._requests, self._space, self._window = requests, space, window_bytes
        self._ranges = [first]
        self._buffered = self._listed = self._missed = 0
        self._has_searched_folders, self._may_split = False, False
        self._might_split = False  # something came to pass since no range could be split

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows in key order.

        Raises:
            HaltError: any of the requests failed, or a thread died.
        """
        while (ready := self._next_rows()) is not None:
            yield from ready

    def _next_rows(self) -> Sequence[pa.RecordBatch] | None:
        """Wait for rows of the first range and return them; None at the end."""
        with self._output:
            while True:
                self._raise_failure()
                while self._ranges and self._ranges[0].is_done and not self._ranges[0].batches:
                    del self._ranges[0]
                if not self._ranges:
                    return None
                first = self._ranges[0]
                if first.batches:
                    ready = tuple(first.batches)
                    first.batches.clear()
                    self._buffered -= first.bytes
                    first.bytes = 0
                    self._might_split = self._may_split
                    self._work.notify(len(ready))  # each makes room for another page
                    return ready
                self._wait_for_output()

    # What follows runs in the threads.

    def _is_over(self) -> bool:
        return super()._is_over() or all(known.is_done for known in self._ranges)

    def _wake_another(self) -> None:
        """Wake one more thread if there is work for it; it wakes the next. Waking all took more time than reading a page."""
        if self._waiting and self._active < self._limit and (self._might_split or self._ready() is not None):
            self._work.notify()

    def _ready(self) -> KeyRange | None:
        """Return the first range that no thread is working on and that has room."""
        for rank, known in enumerate(self._ranges):
            if not known.is_busy and not known.is_done and self._has_room(rank):
                return known
        return None

    def _choose(self) -> Callable[[], None] | None:
        ready = self._ready()
        if ready is not None:
            return self._page_task(ready)
        if not self._has_searched_folders:
            self._has_searched_folders = True
            return self._search_folders
        new = self._split() if self._may_split else None
        self._might_split = new is not None
        return self._page_task(new) if new is not None else None

    def _has_room(self, rank: int) -> bool:
        if rank == 0:
            return self._ranges[0].bytes < self._window / 2
        return self._buffered < self._window * max(1.0, 2 - rank / self._concurrency)

    def _page_task(self, of: KeyRange) -> Callable[[], None]:
        of.is_busy = True
        return lambda: self._list_page(of)

    def _split(self) -> KeyRange | None:
        """Split the largest range, or the first one worth it where memory is short, and return its second half."""
        if self._missed > _FREE_MISSES + self._listed // 8:
            return None  # the keys defy guessing: no more than an eighth of the requests may find nothing
        least = _WORTH_SPLITTING if self._buffered < self._window / 2 else _WORTH_WITH_MUCH_IN_MEMORY
        worth = [
            (rank, known)
            for rank, known in enumerate(self._ranges)
            if not known.is_done and (known.pages or 0) >= least and self._has_room(rank + 1)
        ]
        if self._buffered < self._window:
            worth.sort(key=lambda pair: -(pair[1].pages or 0))
        for rank, known in worth:
            middle = self._space.middle(known.position, known.end, in_folder=known.is_end_empty)
            if middle is None:
                known.pages = 0.0  # until its next page
                continue
            new = KeyRange(middle, known.end, is_end_empty=known.is_end_empty)
            known.end, known.pages, known.is_end_empty = middle, (known.pages or 0) / 2, False
            self._ranges.insert(rank + 1, new)
            return new
        return None

    def _search_folders(self) -> None:
        folders: list[str] = []
        try:
            prefix = self._requests.prefix
            for _ in range(_FOLDER_LEVELS):
                folders = self._requests.folders(prefix)
                if len(folders) != 1 or folders[0] == prefix:
                    break
                prefix = folders[0]
        except HaltError:
            pass  # only a help; what is really wrong shows in the pages
        with self._work:
            self._space.learn(folders)
            self._space.hint(folders)
            self._may_split = self._might_split = True
            self._active -= 1
            self._work.notify_all()

    def _list_page(self, of: KeyRange) -> None:
        try:
            page = self._requests.page(after=of.position, token=of.token)
        except ServiceUnavailableError:
            with self._work:
                if not self._may_ask_again():
                    raise
                of.is_busy = False  # once more, with fewer at once, by this thread or another
                self._active -= 1
            return
        with self._work:
            self._record(of, page)
            self._active -= 1  # what there is to do now, this thread sees next
            if of is self._ranges[0]:
                self._output.notify()

    def _record(self, of: KeyRange, page: Page) -> None:
        batch, is_last = page.batch, page.token is None
        if page.last is not None and of.end is not None and page.last >= of.end:
            batch, is_last = page.up_to(of.end), True
        if of.pages is None and batch.num_rows == 0:
            self._missed += 1
            self._space.missed(of.position)
            self._notify_range_before(of)
        of.is_busy, of.is_done, of.token = False, is_last, page.token
        if page.first is not None and page.last is not None:
            self._space.learn((page.first, page.last))
            of.position, before = page.last, of.pages or 0.0
            of.pages = 0.0 if is_last else self._space.remaining(page.first, page.last, of.end)
            if before < _WORTH_SPLITTING <= of.pages:
                self._might_split = self._may_split
        if batch.num_rows:
            of.batches.append(batch)
            of.bytes += batch.nbytes
            self._buffered += batch.nbytes
        self._listed += 1
        self._went_well()

    def _notify_range_before(self, missed: KeyRange) -> None:
        place = self._ranges.index(missed)
        if place:
            self._ranges[place - 1].is_end_empty = True
