"""Asks a bucket of Google Cloud Storage for single pages, from any place, and checks each for itself.

What does not belong here: reading a page's JSON (``page.py``), which pages are asked for (``ranges/``, ``lister.py``), and
what errors mean (``errors.py``).
"""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from google.api_core.exceptions import from_http_response
from google.cloud.storage.retry import DEFAULT_RETRY

from registration_pipeline.errors import ListingError
from registration_pipeline.inventory.bounds import PAGE_SECONDS, PageLimit
from registration_pipeline.inventory.gcs.errors import gcs_errors, not_google
from registration_pipeline.inventory.gcs.page import FIELDS, NotGoogleError, read_answer, rows_of
from registration_pipeline.inventory.ranges.checks import PageChecks
from registration_pipeline.inventory.ranges.page import Page
from registration_pipeline.inventory.ranges.requests import Chain, PageRequests

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from google.cloud.storage import Client

    from registration_pipeline.inventory.gcs.page import Answer

RETRY_SECONDS = 120
"""The library's own default: how long a request is repeated while the reply is 408, 429 or 5xx or the line is cut."""

_TIMEOUT = (10, 60)
"""Seconds to connect and to wait for a reply, as for S3."""
_PIECE_BYTES = 1 << 16


class GCSRequests(PageRequests):
    """Asks for pages of one bucket and prefix, from several threads at once.

    Args:
        client: a google-cloud-storage client; it owns credentials, endpoint and connections.
        bucket: its name.
        prefix: of the keys.
        source: the source's name, for error texts.
        page_size: keys per request.
        retry_seconds: how long one request is repeated while the store is busy or can't be reached.
        user_project: the project that pays for the requests; None: the bucket's own.
        page_seconds: the whole time that one page may take, repetitions included.
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
        super().__init__("gcs", prefix, source)
        # The session alone: the client's own list_blobs asks for the bucket's metadata besides, for traces, and makes an
        # object of each entry.
        self._session = client._http  # noqa: SLF001 - the client has no other way to lend it
        self._endpoint = str(client.api_endpoint)
        self._url = f"{client.api_endpoint}/storage/v1/b/{bucket}/o"
        self._bucket, self._page_size, self._page_seconds = bucket, page_size, page_seconds
        self._payer = {} if user_project is None else {"userProject": user_project}
        self._retry = DEFAULT_RETRY.with_timeout(retry_seconds)
        self._renewal = threading.Lock()
        self._checks = PageChecks(self.what(), source, prefix)

    def page(self, *, after: str = "", token: str | None = None) -> Page:
        """See ``PageRequests.page``."""
        chain = Chain.of(after, token)
        where = {name: value for name, value in (("startOffset", chain.start), ("pageToken", chain.token)) if value}
        content = self._ask({"prefix": self.prefix, "fields": f"kind,nextPageToken,items({FIELDS})"} | where)
        return self._read_apart(self._read, content, chain, after=after, token=token)

    def _read(self, content: bytes, chain: Chain, *, after: str, token: str | None) -> Page:
        answer = self.answer(content)
        following = chain.following(answer.token)
        self._require_progress(following, token, is_empty=not answer.items)
        batch = self.rows(answer.items)
        if batch.num_rows and token is None and after and batch.column("key")[0].as_py() == after:
            batch = batch.slice(1)  # Google starts with the key that it is given, where S3 starts after it
        if batch.num_rows == 0:
            return Page(batch, None, None, following)
        keys = batch.column("key")
        page = Page(batch, keys[0].as_py(), keys[-1].as_py(), following)
        self._checks.require_order(keys)
        self._checks.require_place(page, after, is_after_token=token is not None)
        return page

    def folders(self, prefix: str) -> list[str]:
        """See ``PageRequests.folders``."""
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
        self._count()
        self._renew_token()
        reply = self._session.get(self._url, params=query, timeout=_TIMEOUT, stream=True)
        content = limit.whole(reply.iter_content(_PIECE_BYTES))
        if reply.status_code == HTTPStatus.OK:
            return content
        self._note_status(reply.status_code)
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
