"""Reads ranges of objects in Google Cloud Storage, keys byte for byte.

What does not belong here: building the client (``project/clients/``), and errors that concern all objects of the bucket
(``inventory/gcs/errors.py``).
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from google.api_core.exceptions import GoogleAPICallError, from_http_response
from google.cloud.storage.retry import DEFAULT_RETRY
from urllib3.exceptions import HTTPError

from registration_pipeline.facts.readers.reply import (
    READ_SECONDS,
    TRIES_OF_A_BODY,
    ReadLimit,
    RequestCounter,
    changed,
    checked,
    denied,
    gone,
    not_now,
    refused,
    silence_is_of_the_object,
)
from registration_pipeline.foreign_text import masked
from registration_pipeline.inventory.gcs.errors import gcs_errors

if TYPE_CHECKING:
    from google.cloud.storage import Client

    from registration_pipeline.facts.reader import StoredObject

_TIMEOUT: Final = (10, 30)
"""Seconds to connect and to wait for a reply."""
_PIECE_BYTES: Final = 1 << 16
_REFUSED: Final = re.compile(r"(?P<who>\S+@\S+|Anonymous caller) does not have storage\.[\w.]+ access")
_NO_BUCKET: Final = re.compile(r"bucket does not exist", re.IGNORECASE)
_GENERATION: Final = "x-goog-generation"


class GCSReader:
    """``ObjectReader`` of a bucket.

    The listing has no ETag that a read can be compared with; it has the generation, which is another one for each content.

    Args:
        client: a google-cloud-storage client; it owns credentials, endpoint and connections.
        bucket: its name.
        source: the source's name, for error texts.
        user_project: the project that pays for the requests, for buckets whose owner does not.
        seconds: the whole time that one read may take, repetitions included.
    """

    permission: str = "storage.objects.get"

    def __init__(
        self,
        client: Client,
        bucket: str,
        *,
        source: str = "<name>",
        user_project: str | None = None,
        seconds: float = READ_SECONDS,
    ) -> None:
        self._session = client._http  # noqa: SLF001 - as in the lister
        self._endpoint = str(client.api_endpoint)
        self._bucket, self._source, self._seconds = bucket, source, seconds
        self._payer = {} if user_project is None else {"userProject": user_project}
        self._retry = DEFAULT_RETRY.with_timeout(seconds / 2)
        self._counter = RequestCounter()

    @property
    def requests(self) -> int:
        """How many requests were made so far, repeated ones included."""
        return self._counter.made

    @property
    def description(self) -> str:
        """The bucket and the API."""
        return f"gs://{self._bucket} via Objects: get"

    def read(self, item: StoredObject, start: int, length: int) -> bytes:
        """See ``ObjectReader.read``."""
        what = f"gs://{self._bucket}/{item.key}"
        end = min(start + length, item.size)
        limit = ReadLimit(what, end - start, self._seconds)
        with (
            silence_is_of_the_object(what),
            limit,
            gcs_errors(bucket=self._bucket, source=self._source, endpoint=self._endpoint),
        ):
            for left in reversed(range(TRIES_OF_A_BODY)):
                try:
                    content: bytes = self._retry(self._asked)(item, what, start, end, limit)
                except GoogleAPICallError as error:
                    raise self._problem(error, what) from None
                except HTTPError as error:
                    if not left:
                        raise ConnectionError(type(error).__name__) from None
                else:
                    return content
        raise AssertionError("unreachable")

    def _asked(self, item: StoredObject, what: str, start: int, end: int, limit: ReadLimit) -> bytes:
        self._counter.add()
        url = f"{self._endpoint}/download/storage/v1/b/{quote(self._bucket, safe='')}/o/{quote(item.key, safe='')}"
        query = {"alt": "media", **self._payer}
        if item.version is not None:
            query["ifGenerationMatch"] = item.version
        # With gzip accepted, what is stored compressed comes as it is stored, and ranges count its bytes.
        headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "gzip"}
        with self._session.get(url, params=query, headers=headers, timeout=_TIMEOUT, stream=True) as reply:
            if reply.status_code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                reply._content = limit.whole(reply.iter_content(_PIECE_BYTES))  # noqa: SLF001 - as in the lister
                refusal: Exception = from_http_response(reply)  # type: ignore[no-untyped-call]
                raise refusal
            generation = reply.headers.get(_GENERATION)
            if None not in {generation, item.version} and generation != item.version:
                raise changed(what)
            content = limit.whole(reply.raw.stream(_PIECE_BYTES, decode_content=False))
        return checked(content, item, what, content_range=reply.headers.get("Content-Range"), expected=end - start)

    def _problem(self, error: GoogleAPICallError, what: str) -> Exception:
        """Return what an answer says of the object; the error itself where it is about the bucket or the credentials."""
        status, words = int(error.code or 0), str(error.message)
        problems: dict[int, Any] = {
            HTTPStatus.NOT_FOUND: None if _NO_BUCKET.search(words) else gone(what),
            HTTPStatus.PRECONDITION_FAILED: changed(what),
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: changed(what),
            HTTPStatus.UNAUTHORIZED: None,
        }
        if status in problems:
            return problems[status] or error
        if status == HTTPStatus.FORBIDDEN:
            found = _REFUSED.search(words)
            role = f"{self.permission} (role Storage Object Viewer, roles/storage.objectViewer) on gs://{self._bucket}"
            return denied(what, status, role, found["who"] if found else "these credentials")
        if (
            status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT}
            or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            return not_now(what, status)
        return refused(what, f"{status}: {masked(words)}")
