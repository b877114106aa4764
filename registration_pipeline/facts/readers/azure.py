"""Reads ranges of blobs in Azure Blob Storage, keys byte for byte.

What does not belong here: building the client (``project/clients/``), and errors that concern all blobs of the container
(``inventory/azure/errors.py``).
"""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from azure.core.exceptions import HttpResponseError, IncompleteReadError, ServiceResponseError
from azure.core.rest import HttpRequest

from registration_pipeline.facts.reader import ObjectDescription
from registration_pipeline.facts.readers.described import header_text
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
    unquoted,
)
from registration_pipeline.inventory.azure.errors import azure_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from azure.core.rest import HttpResponse
    from azure.storage.blob import ContainerClient

    from registration_pipeline.facts.reader import StoredObject

_Reply = TypeVar("_Reply")
_METADATA: Final = "x-ms-meta-"
_TAGS_PERMISSION: Final = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/tags/read"

# Codes: Azure's REST reference, "Blob service error codes" and "Common REST API error codes".
_DENIED: Final = (
    "Authorization",
    "InsufficientAccountPermissions",
    "CannotVerifyCopySource",
    "PublicAccessNotPermitted",
)
_NO_BLOB: Final = {"BlobNotFound", "404"}
_CHANGED: Final = {HTTPStatus.PRECONDITION_FAILED, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}
_DOTS: Final = {".", ".."}


class AzureReader:
    """``ObjectReader`` of a container.

    Args:
        client: of the container; it owns credentials, endpoint, retries and timeouts.
        account: the storage account, for error texts.
        source: the source's name, for error texts.
        seconds: the whole time that one read may take, repetitions included.
    """

    permission: str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"

    def __init__(
        self, client: ContainerClient, account: str, *, source: str = "<name>", seconds: float = READ_SECONDS
    ) -> None:
        self._client, self._account, self._source, self._seconds = client, account, source, seconds
        self._container = client.container_name
        parts = urlsplit(client.url)  # its query may be a SAS
        self._endpoint = f"{parts.scheme}://{parts.netloc}"
        self._counter = RequestCounter()

    @property
    def requests(self) -> int:
        """How many reads were asked for so far; those that the client repeats count once."""
        return self._counter.made

    @property
    def description(self) -> str:
        """The container, the account and the API."""
        return f"az://{self._container}@{self._account} via Get Blob"

    @property
    def description_permission(self) -> str:
        """What Get Blob Properties and Get Blob Tags need."""
        return f"{self.permission} and {_TAGS_PERMISSION}"

    def read(self, item: StoredObject, start: int, length: int) -> bytes:
        """See ``ObjectReader.read``."""
        what = self._named(item)
        end = min(start + length, item.size)
        limit = ReadLimit(what, end - start, self._seconds)
        return self._within(limit, what, lambda: self._asked(item, what, start, end, limit))

    def describe(self, item: StoredObject) -> ObjectDescription:
        """See ``ObjectReader.describe``; tags are asked for where the blob has any."""
        what = self._named(item)
        return self._within(ReadLimit(what, 0, self._seconds), what, lambda: self._asked_about(item, what))

    def _named(self, item: StoredObject) -> str:
        what = f"az://{self._container}@{self._account}/{item.key}"
        if _DOTS & set(item.key.split("/")):
            # Azure's client would resolve them and read another blob (decision 013).
            raise refused(what, "nothing, because Azure's client can't ask for a name with `.` or `..` between slashes")
        return what

    def _within(self, limit: ReadLimit, what: str, ask: Callable[[], _Reply]) -> _Reply:
        """Return what asking gives within the limit, asked for again where the reply is cut."""
        errors = azure_errors(
            container=self._container, account=self._account, source=self._source, endpoint=self._endpoint
        )
        with silence_is_of_the_object(what), limit, errors:
            for left in reversed(range(TRIES_OF_A_BODY)):
                try:
                    return ask()
                except (ServiceResponseError, IncompleteReadError):
                    if not left:
                        raise
        raise AssertionError("unreachable")

    def _asked(self, item: StoredObject, what: str, start: int, end: int, limit: ReadLimit) -> bytes:
        with self._sent("GET", item, what, {"x-ms-range": f"bytes={start}-{end - 1}"}) as reply:
            content = limit.whole(reply.iter_raw())
        return checked(content, item, what, content_range=reply.headers.get("Content-Range"), expected=end - start)

    def _asked_about(self, item: StoredObject, what: str) -> ObjectDescription:
        with self._sent("HEAD", item, what, {}) as reply:
            headers = reply.headers
            unchanged(item, what, size=headers.get("Content-Length"), version=None, expected=None)
        metadata = {
            name[len(_METADATA) :]: header_text(text)
            for name, text in headers.items()
            if name.lower().startswith(_METADATA)
        }
        has_tags = int(headers.get("x-ms-tag-count") or 0) > 0
        return ObjectDescription(metadata=metadata, tags=self._tags(item, what) if has_tags else {})

    def _tags(self, item: StoredObject, what: str) -> Mapping[str, str]:
        self._counter.add()
        try:
            tags: Mapping[str, str] = self._client.get_blob_client(item.key).get_blob_tags()
        except HttpResponseError as error:
            raise self._problem(
                error, what, f"{_TAGS_PERMISSION} (role Storage Blob Data Owner; for a SAS, tags, `t`)"
            ) from None
        return tags

    @contextmanager
    def _sent(self, method: str, item: StoredObject, what: str, more: Mapping[str, str]) -> Iterator[HttpResponse]:
        """Send a request about the blob as it was listed, and give the reply; no other version and no refusal."""
        self._counter.add()
        e_tag = unquoted(item.e_tag)
        condition = {} if e_tag is None else {"If-Match": f'"{e_tag}"'}
        headers = {"x-ms-version": str(self._client.api_version), **more, **condition}
        request = HttpRequest(method, self._client.get_blob_client(item.key).url, headers=headers)
        # Through the client's pipeline, which signs and repeats, as in the lister.
        reply: HttpResponse = self._client._client._send_request(request, stream=True)  # noqa: SLF001
        with reply:
            if reply.status_code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                reply.read()
                raise self._problem(HttpResponseError(response=reply), what)
            unchanged(item, what, size=None, version=unquoted(reply.headers.get("ETag")), expected=e_tag)
            yield reply

    def _problem(self, error: HttpResponseError, what: str, needs: str | None = None) -> Exception:
        """Return what an answer says of the blob; the error itself where it is about the container or the credentials."""
        status = int(error.status_code or 0)
        headers = getattr(error.response, "headers", {})
        code = str(headers.get("x-ms-error-code") or status)
        if code in _NO_BLOB:
            return gone(what)
        if status in _CHANGED:
            return changed(what)
        if status == HTTPStatus.FORBIDDEN and code.startswith(_DENIED):
            role = f"{self.permission} (role Storage Blob Data Reader; for a SAS, read, `r`)"
            return denied(what, code, needs or role)
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return not_now(what, code)
        if status in {HTTPStatus.CONFLICT, HTTPStatus.BAD_REQUEST}:
            return refused(what, code)  # Azure's texts may hold signatures
        return error
