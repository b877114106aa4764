"""Asks for plain pages the short way: signed by the client's signer, sent over a line of our own, here or in another process.

What does not belong here: everything that is not plain. Then there is no page, and the caller asks boto3's client.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Final

import urllib3.exceptions

from registration_pipeline.inventory.s3.plain.page import PlainPage, plain_page
from registration_pipeline.inventory.s3.plain.signing import Signing
from registration_pipeline.inventory.s3.plain.wire import OK, Line
from registration_pipeline.inventory.s3.processes.messages import NO_ANSWER
from registration_pipeline.inventory.s3.processes.pool import PageProcesses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from mypy_boto3_s3 import S3Client

    from registration_pipeline.inventory.bounds import PageLimit
    from registration_pipeline.inventory.s3.plain.wire import SignedRequest
    from registration_pipeline.inventory.s3.processes.pool import WhenToStart

_REFUSED: Final = range(300, 500)
_TOO_MANY_REQUESTS: Final = 429
_MOST_FAILURES: Final = 20
"""Requests in a row without a page, or with one that is not plain, after which this way is given up for the listing."""

_NO_REPLIES: Final = (OSError, HTTPException, urllib3.exceptions.HTTPError, ValueError)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of asking the short way.

    Args:
        page: if the answer is a plain page.
        status: of HTTP; ``NO_ANSWER`` without one.
        requests: how many were sent: one or none.
    """

    page: PlainPage | None = None
    status: int = NO_ANSWER
    requests: int = 0


class PlainRequests:
    """Asks for plain pages, from several threads at once.

    Args:
        client: of S3; it says what requests are like, and signs them.
        limit: makes a limit for the pages of a thread.
        concurrency: requests at once, at the most.
        when: other processes fetch pages too.
        is_counted: a page that says another number of entries than it has is not plain.

    Attributes:
        signing: learns from the pages that the client is asked for.
        made: how many requests were sent this way, in this listing.
        made_elsewhere: how many of them by other processes.
    """

    def __init__(
        self,
        client: S3Client,
        limit: Callable[[], PageLimit],
        *,
        concurrency: int,
        when: WhenToStart,
        is_counted: bool = True,
    ) -> None:
        self.signing = Signing(client)
        self._limit, self._concurrency, self._when, self._is_counted = limit, concurrency, when, is_counted
        self._of_thread: threading.local
        self._lines: list[Line] = []
        self._lock = threading.Lock()
        self._failures = self.made = self.made_elsewhere = 0
        self._first_thread = 0
        self._reader: Executor
        self._processes: PageProcesses

    def open(self, reader: Executor) -> None:
        """Begin a listing.

        Args:
            reader: where pages are read, but for those that the present thread asks for.
        """
        self._reader, self._first_thread = reader, threading.get_ident()
        self._failures = self.made = self.made_elsewhere = 0
        self._of_thread = threading.local()  # one limit for each, so that thousands of pages leave nothing to watch
        self._processes = PageProcesses(self._concurrency, self._when)
        self.signing.__enter__()

    def close(self) -> None:
        """End the listing: its processes, and the connections that are not in use."""
        self.signing.__exit__()
        self._processes.close()
        while self._lines:
            self._lines.pop().close()

    @property
    def process_ids(self) -> list[int]:
        """Of the processes that fetch pages now."""
        return self._processes.process_ids

    def page(self, place: Mapping[str, str]) -> Attempt:
        """Ask for the page at a place of the bucket.

        Args:
            place: ``start-after`` or ``continuation-token``, if any.

        Raises:
            HaltError: a process that fetched it is gone, or it took too long or was too large.
        """
        request = self.signing.request(place) if self._failures < _MOST_FAILURES else None
        if request is None:
            return Attempt()
        channel = self._processes.take()
        if channel is None:
            status, page = self._ask_here(request)
            self._processes.count_page()
        else:
            try:
                with self._limit_of_thread() as limit:
                    status, page = channel.ask(request, limit, is_counted=self._is_counted)
            finally:
                self._processes.give_back(channel)
        with self._lock:
            self.made += 1
            self.made_elsewhere += channel is not None
        self._note(status, page)
        return Attempt(page, status, 1)

    def _ask_here(self, request: SignedRequest) -> tuple[int, PlainPage | None]:
        line = self._line()
        try:
            with self._limit_of_thread():
                status, body = line.ask(request)
        except _NO_REPLIES:
            return NO_ANSWER, None
        finally:
            self._lines.append(line)
        if status != OK:
            return status, None
        if threading.get_ident() == self._first_thread:
            return status, plain_page(body, is_counted=self._is_counted)
        return status, self._reader.submit(plain_page, body, is_counted=self._is_counted).result()

    def _line(self) -> Line:
        with suppress(IndexError):
            return self._lines.pop()
        return Line()

    def _limit_of_thread(self) -> PageLimit:
        limit: PageLimit | None = getattr(self._of_thread, "limit", None)
        if limit is None:
            limit = self._of_thread.limit = self._limit()
        return limit

    def _note(self, status: int, page: PlainPage | None) -> None:
        if page is not None:
            self._failures = 0
        elif status in _REFUSED and status != _TOO_MANY_REQUESTS:
            self.signing.forget()
        elif status in (OK, NO_ANSWER):
            self._failures += 1
