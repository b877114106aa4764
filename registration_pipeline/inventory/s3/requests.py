"""Asks an S3 bucket for single pages of ListObjectsV2, from any place, and checks each for itself.

What does not belong here: reading a page's XML (``page.py``), plain pages (``plain/requests.py``) and which pages are asked
for (``ranges/``).
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote_to_bytes

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.bounds.paging import PageProgress
from registration_pipeline.errors import ListingError
from registration_pipeline.inventory.bounds import PAGE_SECONDS, endless_listing
from registration_pipeline.inventory.ranges.page import Page
from registration_pipeline.inventory.s3.errors import s3_errors
from registration_pipeline.inventory.s3.limits import s3_limit
from registration_pipeline.inventory.s3.page import (
    Contents,
    KeyBytesError,
    PageError,
    contents_by_parser,
    take_contents,
)
from registration_pipeline.inventory.s3.plain.requests import PlainRequests
from registration_pipeline.inventory.s3.processes.pool import WhenToStart

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

    from registration_pipeline.inventory.bounds import PageLimit

# botocore's own handler for all of S3 (`before-parse.s3.*`) parses the whole page just to search for an error in it, which
# takes longer than everything here. Of two wildcards botocore calls the one nearer to the root first (observed on
# botocore 1.44); in the other order everything is still right, only slower.
_BEFORE_PARSE = "before-parse.*.ListObjectsV2"
_RECEIVED = "response-received.s3.ListObjectsV2"
_END = b"</ListBucketResult>"
_OK, _TOO_MANY_REQUESTS, _SERVER_ERROR, _UNAVAILABLE = 200, 429, 500, 503


class S3Requests:
    """Asks for pages of one bucket and prefix, from several threads at once.

    Args:
        client: a boto3 S3 client; it owns credentials, region, retries and timeouts.
        bucket: its name.
        prefix: of the keys.
        source: the source's name, for error texts.
        page_size: keys per request.
        page_seconds: the whole time that one page may take, repetitions included.
        concurrency: requests at once, at the most.
        when: other processes fetch pages too.

    Attributes:
        prefix: as given.
        made: how many requests were sent, those that botocore repeats included.
        on_throttle: called in the thread of a request that the store answered with 429 or 503.
    """

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        prefix: str,
        *,
        source: str,
        page_size: int,
        page_seconds: float = PAGE_SECONDS,
        concurrency: int = 1,
        when: WhenToStart | None = None,
    ) -> None:
        self._page_seconds, self._pages = page_seconds, PageProgress()
        self._client, self._bucket, self.prefix = client, bucket, prefix
        self._source, self._page_size = source, page_size
        self._reader: ThreadPoolExecutor
        self._answer = threading.local()  # what the handlers saw of the request that this thread makes
        self._lock = threading.Lock()
        self.made = 0
        self.on_throttle: Callable[[], None] = lambda: None
        self._plain = PlainRequests(client, self._limit, concurrency=concurrency, when=when or WhenToStart())

    def __enter__(self) -> Self:
        # One thread reads the pages of all: each thread that uses Arrow keeps some 8 MB for what it may need again.
        self._reader = ThreadPoolExecutor(1, "s3-listing-reader")
        self._client.meta.events.register_first(_BEFORE_PARSE, self._take_contents)
        self._client.meta.events.register(_RECEIVED, self._notice_answer)
        self._plain.open(self._reader)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.meta.events.unregister(_BEFORE_PARSE, self._take_contents)
        self._client.meta.events.unregister(_RECEIVED, self._notice_answer)
        self._plain.close()
        self._reader.shutdown(wait=False, cancel_futures=True)

    @property
    def plain(self) -> PlainRequests:
        """Those that are made without the client."""
        return self._plain

    @property
    def was_throttled(self) -> bool:
        """Whether the store asked this thread, on its last request, to go slower."""
        return bool(getattr(self._answer, "was_throttled", False))

    def page(self, *, after: str = "", token: str | None = None) -> Page:
        """Return the page that follows a key or a token, or the first one.

        Args:
            after: only keys greater than this; the empty text is before all.
            token: of the page before; then ``after`` is its last key, and only checked.

        Raises:
            HaltError: as ``S3Lister.list_objects``.
        """
        self._answer.was_throttled = False
        place = {"continuation-token": token} if token is not None else {"start-after": after} if after else {}
        plain = self._plain.page(place)
        if plain.requests:
            self._note_request(plain.status)
        if plain.page is None:
            return self._page_by_client(after, token)
        page = Page(plain.page.batch, plain.page.first, plain.page.last, plain.page.following)
        return self._checked(page, after, token)

    def _page_by_client(self, after: str, token: str | None) -> Page:
        where = {"ContinuationToken": token} if token is not None else {"StartAfter": after} if after else {}
        self._plain.signing.follow()
        answer = self._list(MaxKeys=self._page_size, **where)
        contents: Contents | None = self._answer.contents
        if contents is None:  # the handler of the page was not called
            raise ListingError(
                f"{self._what()} can't be read by this version of botocore. Install botocore 1.40 or later."
            )
        self._plain.signing.learn(self._answer.connection)
        return self._reader.submit(self._read, contents, answer, after=after, token=token).result()

    def _read(self, contents: Contents, answer: ListObjectsV2OutputTypeDef, *, after: str, token: str | None) -> Page:
        batch = self._batch(contents, is_url_encoded=answer.get("EncodingType") == "url")
        following = answer.get("NextContinuationToken") if answer.get("IsTruncated") else None
        if answer.get("IsTruncated") and not following:
            raise self._stuck()
        if batch.num_rows == 0:
            return self._checked(Page(batch, None, None, following), after, token)
        keys = batch.column("key")
        self._check_order(keys)
        return self._checked(Page(batch, keys[0].as_py(), keys[-1].as_py(), following), after, token)

    def _checked(self, page: Page, after: str, token: str | None) -> Page:
        """Check what a page whose own keys are in order says of its place."""
        if page.token is not None and page.token == token:
            raise self._stuck()
        # In whichever range: keys increase strictly, so only pages without any can go on for ever.
        if page.token is not None and (problem := self._pages.problem_with_page(is_empty=page.first is None)):
            raise endless_listing(self._what(), problem, self._source)
        if page.first is None or page.last is None:
            return page
        self._check_place(page.first, after, is_after_token=token is not None)
        if not page.first.startswith(self.prefix) or not page.last.startswith(self.prefix):
            raise ListingError(
                f"{self._what()}: the store answered with keys that do not start with the prefix, from {page.first!r} to "
                f"{page.last!r}. {self._broken()}"
            )
        return page

    def _stuck(self) -> ListingError:
        return ListingError(
            f"{self._what()}: the store says that there is more, but not where to go on. {self._broken()}"
        )

    def folders(self, prefix: str) -> list[str]:
        """Return the common prefixes up to the next slash, of the first page, for deciding where to split.

        Raises:
            HaltError: as ``page``. A policy may well forbid it: s3:prefix and s3:delimiter are conditions of S3's policies.
        """
        answer = self._list(Prefix=prefix, Delimiter="/")
        is_url_encoded = answer.get("EncodingType") == "url"
        found = [entry.get("Prefix", "") for entry in answer.get("CommonPrefixes", ())]
        written = [folder.replace("+", " ") if is_url_encoded else folder for folder in found]
        return [unquote_to_bytes(folder).decode("utf-8", "replace") if is_url_encoded else folder for folder in written]

    def _list(self, **asked: Any) -> ListObjectsV2OutputTypeDef:
        request = {"Bucket": self._bucket, "Prefix": self.prefix, "EncodingType": "url", **asked}
        self._answer.contents, self._answer.was_throttled, self._answer.is_mine = None, False, True
        limit = self._limit()
        try:
            with limit, s3_errors(bucket=self._bucket, source=self._source):
                answer = self._client.list_objects_v2(**request)
        except PageError as error:
            raise self._unreadable(error) from None
        finally:
            self._answer.is_mine, self._answer.connection = False, limit.connection
        if "IsTruncated" not in answer and "Name" not in answer:
            # Any XML without <Contents>, such as a proxy's landing page, would else pass for an empty bucket.
            raise ListingError(
                f"What answers for bucket {self._bucket} at {self._client.meta.endpoint_url} does not speak S3. Check "
                f"`sources.{self._source}.storage.endpoint_url`."
            )
        return answer

    def _take_contents(self, response_dict: dict[str, Any], **_: object) -> None:
        """Handle botocore's event: take the entries out of the body, so that botocore has little left to parse."""
        if not getattr(self._answer, "is_mine", False) or response_dict["status_code"] != _OK:
            return
        self._answer.contents = None  # of an earlier try
        body: bytes = response_dict["body"]
        if not body:
            # Cut right after the headers. botocore would read that as an empty page; a 500 it tries again.
            response_dict["status_code"] = _SERVER_ERROR
            return
        if body.rstrip().endswith(_END):
            self._answer.contents, response_dict["body"] = self._reader.submit(take_contents, body).result()
            return
        # A connection cut midway is not noticed by botocore's HTTP client, which switches off the check of Content-Length.
        # What is not whole XML is left to botocore, whose own handler makes an error of it that is retried.
        with suppress(PageError):
            self._answer.contents, response_dict["body"] = contents_by_parser(body)

    def _notice_answer(self, response_dict: dict[str, Any] | None, **_: object) -> None:
        """Handle botocore's event, which comes for every try: the store may ask to go slower."""
        if not getattr(self._answer, "is_mine", False):
            return
        self._note_request(response_dict["status_code"] if response_dict else 0)

    def _note_request(self, status: int) -> None:
        with self._lock:
            self.made += 1
        if status in (_TOO_MANY_REQUESTS, _UNAVAILABLE):
            self._answer.was_throttled = True
            self.on_throttle()

    def _batch(self, contents: Contents, *, is_url_encoded: bool) -> pa.RecordBatch:
        try:
            return contents.to_batch(is_url_encoded=is_url_encoded)
        except KeyBytesError as error:
            raise ListingError(
                f"The key {error.key!r} (URL-encoded) in bucket {self._bucket} is not UTF-8, so no URL can name it. "
                f"Copy the object to another key and delete it, or narrow the prefix in `sources.{self._source}.uri`."
            ) from None
        except PageError as error:
            raise self._unreadable(error) from None

    def _limit(self) -> PageLimit:
        return s3_limit(self._what(), self._source, seconds=self._page_seconds)

    def _check_order(self, keys: pa.StringArray) -> None:
        # Arrow compares the UTF-8 bytes, which is also the order of code points that Python compares by.
        if not pc.all(pc.less(keys.slice(0, len(keys) - 1), keys.slice(1)), min_count=0).as_py():
            raise ListingError(f"{self._what()} does not list in key order: {self._pair(keys)}. {self._broken()}")

    def _check_place(self, first: str, after: str, *, is_after_token: bool) -> None:
        if first > after:
            return
        if is_after_token:
            raise ListingError(
                f"{self._what()} lists a page again or out of order: {first!r} comes after {after!r}. {self._broken()}"
            )
        raise ListingError(
            f"{self._what()}: the store was asked for keys after {after!r} and answered with {first!r}, so it can't be "
            f"listed in many places at once. Set `sources.{self._source}.storage.concurrency` to 1."
        )

    def _pair(self, keys: pa.StringArray) -> str:
        increasing = pc.less(keys.slice(0, len(keys) - 1), keys.slice(1))
        fault = pc.index(increasing, pa.scalar(value=False)).as_py()
        return f"{keys[fault + 1].as_py()!r} comes after {keys[fault].as_py()!r}"

    def _unreadable(self, error: PageError) -> ListingError:
        return ListingError(f"{self._what()} answered with a page that can't be read: {error}. {self._broken()}")

    def _what(self) -> str:
        return f"s3://{self._bucket}/{self.prefix} via ListObjectsV2"

    def _broken(self) -> str:
        return (
            "Nothing was recorded. Run again; if it happens again, the store's listing can't be relied on (S3 directory "
            "buckets, for one, have no order): ask its vendor, or point "
            f"`sources.{self._source}.uri` elsewhere."
        )
