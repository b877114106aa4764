"""Reads ranges of objects in Google Cloud Storage, keys byte for byte.

What does not belong here: building the client (``project/clients/``), and errors that concern all objects of the bucket
(``inventory/gcs/errors.py``).
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

from google.api_core.exceptions import GoogleAPICallError, from_http_response
from google.cloud.storage.retry import DEFAULT_RETRY
from urllib3.exceptions import HTTPError

from registration_pipeline.facts.reader import ObjectDescription
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
    unchanged,
)
from registration_pipeline.foreign_text import masked
from registration_pipeline.inventory.gcs.errors import gcs_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.cloud.storage import Client
    from requests import Response

    from registration_pipeline.facts.reader import StoredObject

_Reply = TypeVar("_Reply")
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
    description_permission: str = permission

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
        return self._within(limit, what, lambda: self._asked(item, what, start, end, limit))

    def describe(self, item: StoredObject) -> ObjectDescription:
        """See ``ObjectReader.describe``; Google's objects have no tags."""
        what = f"gs://{self._bucket}/{item.key}"
        limit = ReadLimit(what, 0, self._seconds)
        return self._within(limit, what, lambda: self._asked_about(item, what, limit))

    def _within(self, limit: ReadLimit, what: str, ask: Callable[[], _Reply]) -> _Reply:
        """Return what asking gives within the limit, asked for again where the reply is cut or the store is busy."""
        asked: Callable[[], _Reply] = self._retry(ask)
        with (
            silence_is_of_the_object(what),
            limit,
            gcs_errors(bucket=self._bucket, source=self._source, endpoint=self._endpoint),
        ):
            for left in reversed(range(TRIES_OF_A_BODY)):
                try:
                    return asked()
                except GoogleAPICallError as error:
                    raise self._problem(error, what) from None
                except HTTPError as error:
                    if not left:
                        raise ConnectionError(type(error).__name__) from None
        raise AssertionError("unreachable")

    def _asked(self, item: StoredObject, what: str, start: int, end: int, limit: ReadLimit) -> bytes:
        self._counter.add()
        url = f"{self._endpoint}/download{self._path(item)}"
        query = {"alt": "media", **self._conditions(item)}
        # With gzip accepted, what is stored compressed comes as it is stored, and ranges count its bytes.
        headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "gzip"}
        with self._session.get(url, params=query, headers=headers, timeout=_TIMEOUT, stream=True) as reply:
            _require_success(reply, limit)
            generation = reply.headers.get(_GENERATION)
            if None not in {generation, item.version} and generation != item.version:
                raise changed(what)
            content = limit.whole(reply.raw.stream(_PIECE_BYTES, decode_content=False))
        return checked(content, item, what, content_range=reply.headers.get("Content-Range"), expected=end - start)

    def _asked_about(self, item: StoredObject, what: str, limit: ReadLimit) -> ObjectDescription:
        self._counter.add()
        query = {"fields": "generation,size,metadata", **self._conditions(item)}
        url = f"{self._endpoint}{self._path(item)}"
        with self._session.get(url, params=query, timeout=_TIMEOUT, stream=True) as reply:
            _require_success(reply, limit)
            content = limit.whole(reply.iter_content(_PIECE_BYTES))
        try:
            found: Any = json.loads(content)
            metadata = {str(name): str(text) for name, text in (found.get("metadata") or {}).items()}
            size, generation = found.get("size"), found.get("generation")
        except (ValueError, AttributeError):
            raise not_now(what, "something that is not a description of an object") from None
        version = None if generation is None else str(generation)
        unchanged(item, what, size=size, version=version, expected=item.version)
        return ObjectDescription(metadata=metadata)

    def _path(self, item: StoredObject) -> str:
        return f"/storage/v1/b/{quote(self._bucket, safe='')}/o/{quote(item.key, safe='')}"

    def _conditions(self, item: StoredObject) -> dict[str, str]:
        return self._payer if item.version is None else {**self._payer, "ifGenerationMatch": item.version}

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


def _require_success(reply: Response, limit: ReadLimit) -> None:
    if reply.status_code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
        reply._content = limit.whole(reply.iter_content(_PIECE_BYTES))  # noqa: SLF001 - as in the lister
        refusal: Exception = from_http_response(reply)  # type: ignore[no-untyped-call]
        raise refusal
