"""Reads ranges of blobs in Azure Blob Storage, keys byte for byte.

What does not belong here: building the client (``project/clients/``), and errors that concern all blobs of the container
(``inventory/azure/errors.py``).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from azure.core.exceptions import HttpResponseError, IncompleteReadError, ServiceResponseError
from azure.core.rest import HttpRequest

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
    unquoted,
)
from registration_pipeline.inventory.azure.errors import azure_errors

if TYPE_CHECKING:
    from azure.core.rest import HttpResponse
    from azure.storage.blob import ContainerClient

    from registration_pipeline.facts.reader import StoredObject

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

    def read(self, item: StoredObject, start: int, length: int) -> bytes:
        """See ``ObjectReader.read``."""
        what = f"az://{self._container}@{self._account}/{item.key}"
        if _DOTS & set(item.key.split("/")):
            # Azure's client would resolve them and read another blob (decision 013).
            raise refused(what, "nothing, because Azure's client can't ask for a name with `.` or `..` between slashes")
        end = min(start + length, item.size)
        limit = ReadLimit(what, end - start, self._seconds)
        errors = azure_errors(
            container=self._container, account=self._account, source=self._source, endpoint=self._endpoint
        )
        with silence_is_of_the_object(what), limit, errors:
            for left in reversed(range(TRIES_OF_A_BODY)):
                try:
                    return self._asked(item, what, start, end, limit)
                except (ServiceResponseError, IncompleteReadError):
                    if not left:
                        raise
        raise AssertionError("unreachable")

    def _asked(self, item: StoredObject, what: str, start: int, end: int, limit: ReadLimit) -> bytes:
        self._counter.add()
        headers = {"x-ms-version": str(self._client.api_version), "x-ms-range": f"bytes={start}-{end - 1}"}
        e_tag = unquoted(item.e_tag)
        if e_tag is not None:
            headers["If-Match"] = f'"{e_tag}"'
        request = HttpRequest("GET", self._client.get_blob_client(item.key).url, headers=headers)
        # Through the client's pipeline, which signs and repeats, as in the lister.
        reply: HttpResponse = self._client._client._send_request(request, stream=True)  # noqa: SLF001
        with reply:
            if reply.status_code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                reply.read()
                raise self._problem(HttpResponseError(response=reply), what)
            found = unquoted(reply.headers.get("ETag"))
            if e_tag is not None and found is not None and found != e_tag:
                raise changed(what)
            content = limit.whole(reply.iter_raw())
        return checked(content, item, what, content_range=reply.headers.get("Content-Range"), expected=end - start)

    def _problem(self, error: HttpResponseError, what: str) -> Exception:
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
            return denied(what, code, role)
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return not_now(what, code)
        if status in {HTTPStatus.CONFLICT, HTTPStatus.BAD_REQUEST}:
            return refused(what, code)  # Azure's texts may hold signatures
        return error
