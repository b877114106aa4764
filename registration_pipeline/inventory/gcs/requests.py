"""Asks a bucket of Google Cloud Storage for single pages, from any place, and checks each for itself.

What does not belong here: reading a page's JSON (``page.py``), which pages are asked for (``ranges/``, ``lister.py``), and
what errors mean (``errors.py``).
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

import pyarrow.compute as pc
from google.api_core.exceptions import from_http_response
from google.cloud.storage.retry import DEFAULT_RETRY

from registration_pipeline.bounds.paging import PageProgress
from registration_pipeline.errors import ListingError
from registration_pipeline.inventory.bounds import PAGE_SECONDS, PageLimit, endless_listing
from registration_pipeline.inventory.gcs.errors import gcs_errors, not_google
from registration_pipeline.inventory.gcs.page import FIELDS, NotGoogleError, read_answer, rows_of
from registration_pipeline.inventory.ranges.page import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa
    from google.cloud.storage import Client

    from registration_pipeline.inventory.gcs.page import Answer

RETRY_SECONDS = 120
"""The library's own default: how long a request is repeated while the reply is 408, 429 or 5xx or the line is cut."""

_TIMEOUT = (10, 60)
"""Seconds to connect and to wait for a reply, as for S3."""
_PIECE_BYTES = 1 << 16
_SLOWER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_JOINT = "\0"  # between the start of a chain of pages and Google's token, which is base64


class GCSRequests:
    """Asks for pages of one bucket and prefix, from several threads at once. A ``PageSource``.

    Args:
        client: a google-cloud-storage client; it owns credentials, endpoint and connections.
        bucket: its name.
        prefix: of the keys.
        source: the source's name, for error texts.
        page_size: keys per request.
        retry_seconds: how long one request is repeated while the store is busy or can't be reached.
        user_project: the project that pays for the requests; None: the bucket's own.
        page_seconds: the whole time that one page may take, repetitions included.

    Attributes:
        prefix: as given.
        made: how many requests were sent, repeated ones included.
        on_throttle: called in the thread of a request that the store answered with 429 or 503.
    """

    def __init__(
        self,
        client: Client,
        bucket: str,
        prefix: str = "",
        *,
        source: str = "<name>",
        page_size: int = 1000,
        retry_seconds: float = RETRY_SECONDS,
        user_project: str | None = None,
        page_seconds: float = PAGE_SECONDS,
    ) -> None:
        # The session alone: the client's own list_blobs asks for the bucket's metadata besides, for traces, and makes an
        # object of each entry.
        self._session = client._http  # noqa: SLF001 - the client has no other way to lend it
        self._endpoint = str(client.api_endpoint)
        self._url = f"{client.api_endpoint}/storage/v1/b/{bucket}/o"
        self._bucket, self.prefix, self._source, self._page_size = bucket, prefix, source, page_size
        self._payer = {} if user_project is None else {"userProject": user_project}
        self._retry = DEFAULT_RETRY.with_timeout(retry_seconds)
        self._page_seconds, self._progress = page_seconds, PageProgress()
        self._reader: ThreadPoolExecutor
        self._lock, self._renewal, self._mine = threading.Lock(), threading.Lock(), threading.local()
        self.made = 0
        self.on_throttle: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        # One thread reads the pages of all: each thread that uses Arrow keeps some 8 MB for what it may need again.
        self._reader = ThreadPoolExecutor(1, "gcs-listing-reader")
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.shutdown(wait=False, cancel_futures=True)

    @property
    def was_throttled(self) -> bool:
        """Whether the store asked this thread, on its last request, to go slower."""
        return bool(getattr(self._mine, "was_throttled", False))

    def page(self, *, after: str = "", token: str | None = None) -> Page:
        """Return the page that follows a key or a token, or the first one.

        Args:
            after: only keys greater than this; the empty text is before all.
            token: of the page before; then ``after`` is its last key, and only checked.

        Raises:
            HaltError: as ``GCSLister.list_objects``.
        """
        # A token is for the request that it came from, so each carries where its chain of pages began.
        start, _, page_token = token.rpartition(_JOINT) if token is not None else (after, "", "")
        where = ({"startOffset": start} if start else {}) | ({"pageToken": page_token} if page_token else {})
        content = self._ask({"prefix": self.prefix, "fields": f"kind,nextPageToken,items({FIELDS})"} | where)
        return self._reader.submit(self._read, content, start, after=after, token=token).result()

    def _read(self, content: bytes, start: str, *, after: str, token: str | None) -> Page:
        answer = self.answer(content)
        following = None if answer.token is None else f"{start}{_JOINT}{answer.token}"
        if following is not None:
            # In whichever range: keys increase strictly, so only pages without any can go on for ever.
            problem = self._progress.problem_with_page(is_empty=not answer.items)
            if following == token:
                problem = "it names a next page that was read before"
            if problem:
                raise endless_listing(self.what(), problem, self._source)
        batch = self.rows(answer.items)
        if batch.num_rows and token is None and start and batch.column("key")[0].as_py() == start:
            batch = batch.slice(1)  # Google starts with the key that it is given, where S3 starts after it
        if batch.num_rows == 0:
            return Page(batch, None, None, following)
        keys = batch.column("key")
        page = Page(batch, keys[0].as_py(), keys[-1].as_py(), following)
        self._check(keys, page, after, is_after_token=token is not None)
        return page

    def folders(self, prefix: str) -> list[str]:
        """Return the common prefixes up to the next slash, of the first page, for deciding where to split.

        Raises:
            HaltError: as ``page``.
        """
        return list(self.level(prefix, None).folders)

    def level(self, prefix: str, token: str | None) -> Answer:
        """Return a page of what lies directly below a prefix: objects and common prefixes, together in key order.

        Args:
            prefix: of the level.
            token: of the page before.

        Raises:
            HaltError: as ``page``.
        """
        query = {"prefix": prefix, "delimiter": "/", "fields": f"kind,nextPageToken,prefixes,items({FIELDS})"}
        return self.answer(self._ask(query | ({} if token is None else {"pageToken": token})))

    def answer(self, content: bytes) -> Answer:
        """Read an answer.

        Raises:
            ListingError: it is none of Google's.
        """
        try:
            return read_answer(content)
        except NotGoogleError:
            raise not_google(self._bucket, self._source) from None

    def rows(self, items: Sequence[dict[str, Any]]) -> pa.RecordBatch:
        """Return the rows of objects.

        Raises:
            ListingError: one can't be recorded exactly.
        """
        try:
            return rows_of(items)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ListingError(
                f"The listing of bucket {self._bucket} can't be recorded exactly ({type(error).__name__}: {error}): an "
                "object lacks its name, size or time, or its name is not Unicode. Copy the object to another key and "
                f"delete it, or narrow the prefix in `sources.{self._source}.uri`."
            ) from None

    def what(self) -> str:
        """Return what is listed, for people."""
        return f"gs://{self._bucket}/{self.prefix} via Objects: list"

    def _ask(self, query: dict[str, str]) -> bytes:
        self._mine.was_throttled = False
        limit = PageLimit(self.what(), self._source, seconds=self._page_seconds)
        with limit, gcs_errors(bucket=self._bucket, source=self._source, endpoint=self._endpoint):
            content: bytes = self._retry(self._try)(query | {"maxResults": str(self._page_size)} | self._payer, limit)
            return content

    def _try(self, query: dict[str, str], limit: PageLimit) -> bytes:
        with self._lock:
            self.made += 1
        self._renew_token()
        reply = self._session.get(self._url, params=query, timeout=_TIMEOUT, stream=True)
        content = limit.whole(reply.iter_content(_PIECE_BYTES))
        if reply.status_code == HTTPStatus.OK:
            return content
        if reply.status_code in _SLOWER:
            self._mine.was_throttled = True
            self.on_throttle()
        reply._content = content  # noqa: SLF001 - requests has no public way to give a reply the content that was read
        refusal: Exception = from_http_response(reply)  # type: ignore[no-untyped-call]
        raise refusal

    def _renew_token(self) -> None:
        """Renew a token that has expired, once: google-auth would in each thread that finds it expired, all at once.

        Its credentials have no lock (google-auth-library-python, issue 1780). The session itself is made for threads: its
        state of a request is in arguments, and its connections are urllib3's.
        """
        credentials = getattr(self._session, "credentials", None)  # a session of the user's own may have none
        if credentials is None or credentials.valid:
            return
        with self._renewal:
            if not credentials.valid:
                credentials.before_request(self._session._auth_request, "GET", self._url, {})  # noqa: SLF001

    def _check(self, keys: pa.StringArray, page: Page, after: str, *, is_after_token: bool) -> None:
        assert page.first is not None
        assert page.last is not None
        # Arrow compares the UTF-8 bytes, which is also the order of code points that Python compares by.
        if not pc.all(pc.less(keys.slice(0, len(keys) - 1), keys.slice(1)), min_count=0).as_py():
            increasing = pc.less(keys.slice(0, len(keys) - 1), keys.slice(1)).to_pylist()
            fault = increasing.index(False)
            pair = f"{keys[fault + 1].as_py()!r} comes after {keys[fault].as_py()!r}"
            raise ListingError(f"{self.what()} does not list in key order: {pair}. {self._broken()}")
        if not page.first.startswith(self.prefix) or not page.last.startswith(self.prefix):
            raise ListingError(
                f"{self.what()}: the store answered with keys that do not start with the prefix, from {page.first!r} to "
                f"{page.last!r}. {self._broken()}"
            )
        if page.first > after:
            return
        if is_after_token:
            raise ListingError(
                f"{self.what()} lists a page again or out of order: {page.first!r} comes after {after!r}. {self._broken()}"
            )
        raise ListingError(
            f"{self.what()}: the store was asked for keys after {after!r} and answered with {page.first!r}, so it can't be "
            f"listed in many places at once. Set `sources.{self._source}.storage.concurrency` to 1."
        )

    def _broken(self) -> str:
        return (
            "Nothing was recorded. Run again; if it happens again, the store's listing can't be relied on: ask its vendor, "
            f"or point `sources.{self._source}.uri` elsewhere."
        )
