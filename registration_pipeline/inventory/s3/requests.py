"""Asks an S3 bucket for single pages of ListObjectsV2, from any place, and checks each for itself.

What does not belong here: reading a page's XML (``page.py``), plain pages (``plain/requests.py``) and which pages are asked
for (``ranges/``).
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote_to_bytes

from registration_pipeline.bounds.texts import shortened
from registration_pipeline.errors import ListingError
from registration_pipeline.inventory.bounds import PAGE_SECONDS
from registration_pipeline.inventory.ranges.checks import PageChecks
from registration_pipeline.inventory.ranges.page import Page
from registration_pipeline.inventory.ranges.requests import PageRequests
from registration_pipeline.inventory.s3.ends import KeyCountError, read_frame
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
    import pyarrow as pa
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

    from registration_pipeline.inventory.bounds import PageLimit

# botocore's own handler for all of S3 (`before-parse.s3.*`) parses the whole page just to search for an error in it, which
# takes longer than everything here. Of two wildcards botocore calls the one nearer to the root first (observed on
# botocore 1.44); in the other order everything is still right, only slower.
_BEFORE_PARSE = "before-parse.*.ListObjectsV2"
_RECEIVED = "response-received.s3.ListObjectsV2"
_END = b"</ListBucketResult>"
_OK, _SERVER_ERROR = 200, 500


class S3Requests(PageRequests):
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
        is_counted: refuse a page that says another number of entries than it has.
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
        is_counted: bool = True,
    ) -> None:
        super().__init__("s3", prefix, source)
        self._client, self._bucket = client, bucket
        self._page_size, self._page_seconds, self._is_counted = page_size, page_seconds, is_counted
        self._answer = threading.local()  # what the handlers saw of the request that this thread makes
        known = " (S3 directory buckets, for one, have no order)"
        self._checks = PageChecks(self.what(), source, prefix, known)
        self._plain = PlainRequests(
            client, self._limit, concurrency=concurrency, when=when or WhenToStart(), is_counted=is_counted
        )

    def __enter__(self) -> Self:
        super().__enter__()
        self._client.meta.events.register_first(_BEFORE_PARSE, self._take_contents)
        self._client.meta.events.register(_RECEIVED, self._notice_answer)
        self._plain.open(self._reader)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.meta.events.unregister(_BEFORE_PARSE, self._take_contents)
        self._client.meta.events.unregister(_RECEIVED, self._notice_answer)
        self._plain.close()
        super().__exit__()

    @property
    def plain(self) -> PlainRequests:
        """Those that are made without the client."""
        return self._plain

    def page(self, *, after: str = "", token: str | None = None) -> Page:
        """See ``PageRequests.page``."""
        self._mine.was_throttled = False
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
        self._list(MaxKeys=self._page_size, **where)
        contents: Contents | None = self._answer.contents
        rest: bytes | None = self._answer.rest
        if contents is None or rest is None:  # the handler of the page was not called
            raise ListingError(
                f"{self.what()} can't be read by this version of botocore. Install botocore 1.40 or later."
            )
        self._plain.signing.learn(self._answer.connection)
        return self._read_apart(self._read, contents, rest, after=after, token=token)

    def _read(self, contents: Contents, rest: bytes, *, after: str, token: str | None) -> Page:
        try:
            frame = read_frame(rest)
            if self._is_counted:
                frame.require_count(len(contents.keys))
        except KeyCountError as error:
            raise self._miscounted(error, after, token) from None
        except PageError as error:
            raise self._unreadable(error) from None
        batch, following = self._batch(contents, is_url_encoded=frame.is_url_encoded), frame.following
        if batch.num_rows == 0:
            return self._checked(Page(batch, None, None, following), after, token)
        keys = batch.column("key")
        self._checks.require_order(keys)
        return self._checked(Page(batch, keys[0].as_py(), keys[-1].as_py(), following), after, token)

    def _checked(self, page: Page, after: str, token: str | None) -> Page:
        """Check what a page whose own keys are in order says of its place."""
        if page.token is not None and page.token == token:
            raise self._stuck()
        self._require_progress(page.token, token, is_empty=page.first is None)
        self._checks.require_place(page, after, is_after_token=token is not None)
        return page

    def _stuck(self) -> ListingError:
        return ListingError(
            f"{self.what()}: the store says that there is more, but not where to go on. {self._checks.broken()}"
        )

    def what(self) -> str:
        """Return what is listed, for people."""
        return f"s3://{self._bucket}/{self.prefix} via ListObjectsV2"

    def folders(self, prefix: str) -> list[str]:
        """See ``PageRequests.folders``. A policy may well forbid it: it can depend on s3:prefix and s3:delimiter."""
        answer = self._list(Prefix=prefix, Delimiter="/")
        is_url_encoded = answer.get("EncodingType") == "url"
        found = [entry.get("Prefix", "") for entry in answer.get("CommonPrefixes", ())]
        written = [folder.replace("+", " ") if is_url_encoded else folder for folder in found]
        return [unquote_to_bytes(folder).decode("utf-8", "replace") if is_url_encoded else folder for folder in written]

    def _list(self, **asked: Any) -> ListObjectsV2OutputTypeDef:
        request = {"Bucket": self._bucket, "Prefix": self.prefix, "EncodingType": "url", **asked}
        self._answer.contents = self._answer.rest = None
        self._mine.was_throttled, self._answer.is_mine = False, True
        limit = self._limit()
        try:
            with limit, s3_errors(bucket=self._bucket, source=self._source):
                answer = self._client.list_objects_v2(**request)
        except ValueError as error:  # PageError, and botocore's, of a number that is none
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
        self._answer.contents = self._answer.rest = None  # of an earlier try
        body: bytes = response_dict["body"]
        if not body:
            # Cut right after the headers. botocore would read that as an empty page; a 500 it tries again.
            response_dict["status_code"] = _SERVER_ERROR
            return
        if body.rstrip().endswith(_END):
            self._answer.contents, self._answer.rest = self._read_apart(take_contents, body)
            response_dict["body"] = self._answer.rest
            return
        # A connection cut midway is not noticed by botocore's HTTP client, which switches off the check of Content-Length.
        # What is not whole XML is left to botocore, whose own handler makes an error of it that is retried.
        with suppress(PageError):
            self._answer.contents, self._answer.rest = contents_by_parser(body)
            response_dict["body"] = self._answer.rest

    def _notice_answer(self, response_dict: dict[str, Any] | None, **_: object) -> None:
        """Handle botocore's event, which comes for every try: the store may ask to go slower."""
        if not getattr(self._answer, "is_mine", False):
            return
        self._note_request(response_dict["status_code"] if response_dict else 0)

    def _note_request(self, status: int) -> None:
        self._count()
        self._note_status(status)

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
        return s3_limit(self.what(), self._source, seconds=self._page_seconds)

    def _unreadable(self, error: ValueError) -> ListingError:
        return ListingError(f"{self.what()} answered with a page that can't be read: {error}. {self._checks.broken()}")

    def _miscounted(self, error: KeyCountError, after: str, token: str | None) -> ListingError:
        place = f"after {after!r}" if after else "at its start"
        if token is not None:
            place += f" (continuation token {shortened(token)!r})"
        return ListingError(
            f"{self.what()}, {place}: {error}. Nothing was recorded. Run again; if it happens again, the store or a proxy in "
            "front of it leaves objects out: ask who runs it. If the objects are all there and only the number is wrong, set "
            f"`sources.{self._source}.storage.key_count` to false."
        )
