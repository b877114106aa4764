"""What requests for pages have in common, whatever the store: counting, throttling, the thread that reads pages, and tokens.

What does not belong here: how a page is asked for and read (the provider's folder), and which pages are (``lister.py``).
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, Self, TypeVar

from registration_pipeline.bounds.paging import PageProgress
from registration_pipeline.inventory.bounds import endless_listing

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.inventory.ranges.page import Page

_SLOWER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_JOINT = "\0"  # no store's token has it

Asked = ParamSpec("Asked")
Read = TypeVar("Read")


class Chain(NamedTuple):
    """Pages that follow each other. A store's token is for the request that it came from, so that carries where they began.

    Args:
        start: where the first page began; empty for the first of all.
        token: of the store, for the next page; empty for the first.
    """

    start: str
    token: str = ""

    @classmethod
    def of(cls, after: str, token: str | None) -> Self:
        """Return the chain that a page of ``PageSource.page`` belongs to."""
        if token is None:
            return cls(after)
        start, _, of_store = token.rpartition(_JOINT)
        return cls(start, of_store)

    def following(self, token: str | None) -> str | None:
        """Return the token of the next page from the store's; None after the last page."""
        return None if token is None else f"{self.start}{_JOINT}{token}"


class PageRequests(ABC):
    """Asks for pages of one listing, from several threads at once. A ``PageSource``, and a context manager.

    Args:
        store: what it is called in the names of threads.
        prefix: of the keys.
        source: the source's name, for error texts.

    Attributes:
        prefix: as given.
        made: how many requests were sent, repeated ones included.
        on_throttle: called in the thread of a request that the store answered with 429 or 503.
    """

    def __init__(self, store: str, prefix: str, source: str) -> None:
        self._store, self.prefix, self._source = store, prefix, source
        self._progress = PageProgress()
        self._reader: ThreadPoolExecutor
        self._lock, self._mine = threading.Lock(), threading.local()
        self.made = 0
        self.on_throttle: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        # One thread reads the pages of all: each thread that uses Arrow keeps some 8 MB for what it may need again.
        self._reader = ThreadPoolExecutor(1, f"{self._store}-listing-reader")
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.shutdown(wait=False, cancel_futures=True)

    @abstractmethod
    def what(self) -> str:
        """Return what is listed, for people."""

    @abstractmethod
    def page(self, *, after: str = "", token: str | None = None) -> Page:
        """Return the page that follows a key or a token, or the first one.

        Args:
            after: only keys greater than this; the empty text is before all.
            token: of the page before; then ``after`` is its last key, and only checked.

        Raises:
            HaltError: as ``BucketLister.list_objects``.
        """

    @abstractmethod
    def folders(self, prefix: str) -> list[str]:
        """Return the common prefixes up to the next slash, of the first page, for deciding where to split.

        Raises:
            HaltError: as ``page``.
        """

    @property
    def was_throttled(self) -> bool:
        """Whether the store asked this thread, on its last request, to go slower."""
        return bool(getattr(self._mine, "was_throttled", False))

    def _read_apart(self, read: Callable[Asked, Read], *args: Asked.args, **kwargs: Asked.kwargs) -> Read:
        """Call a function in the thread that reads pages."""
        return self._reader.submit(read, *args, **kwargs).result()

    def _count(self) -> None:
        """Count a request."""
        with self._lock:
            self.made += 1

    def _note_status(self, status: int) -> None:
        """Take note of the status of an answer to this thread."""
        if status in _SLOWER:
            self._mine.was_throttled = True
            self.on_throttle()

    def _require_progress(self, following: str | None, token: str | None, *, is_empty: bool) -> None:
        """Refuse a page after which the listing goes round for ever.

        Args:
            following: the token of the next page.
            token: that it was asked for with.
            is_empty: nothing was in it.

        Raises:
            ListingError: it does.
        """
        if following is None:
            return
        # In whichever range: keys increase strictly, so only pages without any can go on for ever.
        problem = self._progress.problem_with_page(is_empty=is_empty)
        if following == token:
            problem = "it names a next page that was read before"
        if problem:
            raise endless_listing(self.what(), problem, self._source)
