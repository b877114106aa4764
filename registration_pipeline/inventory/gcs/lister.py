"""Lists a bucket of Google Cloud Storage through its JSON API, keys byte for byte.

What does not belong here: building the client (``project/clients/``) and what its errors mean (``errors.py``).
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from google.api_core.exceptions import from_http_response
from google.cloud.storage.retry import DEFAULT_RETRY

from registration_pipeline.errors import ListingError
from registration_pipeline.inventory.gcs.errors import gcs_errors, not_google
from registration_pipeline.inventory.schema import inventory_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from google.cloud.storage import Client

_FIELDS = "kind,nextPageToken,items(name,size,updated,md5Hash,crc32c,etag,contentType,storageClass,generation)"
_TIMEOUT = (10, 60)
"""Seconds to connect and to wait for a reply, as for S3."""
_RETRY_SECONDS = 120
"""The library's own default: how long a request is repeated while the reply is 408, 429 or 5xx or the line is cut."""


class GCSLister:
    """``ObjectLister`` of the live objects of a bucket below a prefix, page after page.

    Google lists names in lexicographic order of their UTF-8 (JSON API reference, "Objects: list").

    Args:
        client: a google-cloud-storage client; it owns credentials, endpoint and connections.
        bucket: its name.
        prefix: keys start with it; not necessarily a folder.
        source: the source's name, for error texts.
        page_size: keys per request; 1,000 is the most that the JSON API gives.
        retry_seconds: how long one request is repeated while the store is busy or can't be reached.
        user_project: the project that pays for the requests, for buckets whose owner does not (JSON API reference,
            "Objects: list", ``userProject``).

    Attributes:
        requests: how many requests were made so far, repeated ones included.
    """

    def __init__(
        self,
        client: Client,
        bucket: str,
        prefix: str = "",
        *,
        source: str = "<name>",
        page_size: int = 1000,
        retry_seconds: float = _RETRY_SECONDS,
        user_project: str | None = None,
    ) -> None:
        # The session alone: the client's own list_blobs asks for the bucket's metadata besides, for traces, and makes an
        # object of each entry.
        self._session = client._http  # noqa: SLF001 - the client has no other way to lend it
        self._endpoint = str(client.api_endpoint)
        self._url = f"{client.api_endpoint}/storage/v1/b/{bucket}/o"
        self._bucket, self._prefix, self._source, self._page_size = bucket, prefix, source, page_size
        self._payer = {} if user_project is None else {"userProject": user_project}
        self._retry = DEFAULT_RETRY.with_timeout(retry_seconds)
        self.requests = 0

    @property
    def description(self) -> str:
        """The bucket, the prefix and the API."""
        return f"gs://{self._bucket}/{self._prefix} via Objects: list"

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """See ``ObjectLister.list_objects``; a batch is a page.

        Raises:
            NotFoundError: no such bucket.
            PermissionDeniedError: the principal may not list it.
            CredentialsError: there are no usable credentials.
            ServiceUnavailableError: the endpoint does not answer, after the library's retries.
            ListingError: the answer can't be recorded exactly.
        """
        token: str | None = None
        while True:
            page = self._page(token)
            if items := page.get("items"):
                yield self._batch(items)
            following = page.get("nextPageToken")
            if not following:
                return
            if following == token:
                raise ListingError(
                    f"{self.description}: the store gives the same page again and again. Run again; if it happens again, "
                    f"what answers at `sources.{self._source}.storage.endpoint_url` is broken."
                )
            token = following

    def _page(self, token: str | None) -> dict[str, Any]:
        query = {"prefix": self._prefix, "maxResults": str(self._page_size), "fields": _FIELDS, **self._payer}
        if token is not None:
            query["pageToken"] = token
        with gcs_errors(bucket=self._bucket, source=self._source, endpoint=self._endpoint):
            page = self._retry(self._ask)(query)
        if not isinstance(page, dict) or page.get("kind") != "storage#objects":
            # Any object without items would else pass for an empty bucket.
            raise not_google(self._bucket, self._source)
        return page

    def _ask(self, query: dict[str, str]) -> Any:
        self.requests += 1
        reply = self._session.get(self._url, params=query, timeout=_TIMEOUT)
        if reply.status_code != HTTPStatus.OK:
            refusal: Exception = from_http_response(reply)  # type: ignore[no-untyped-call]
            raise refusal
        return reply.json()

    def _batch(self, items: list[dict[str, Any]]) -> pa.RecordBatch:
        try:
            return inventory_batch(
                keys=[item["name"] for item in items],
                sizes=[int(item["size"]) for item in items],
                last_modified=[datetime.fromisoformat(item["updated"]) for item in items],
                e_tags=[_e_tag(item) for item in items],
                storage_classes=[item.get("storageClass") for item in items],
                content_types=[item.get("contentType") for item in items],
                versions=[item.get("generation") for item in items],
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            # A lone surrogate in a name is a UnicodeEncodeError, which is a ValueError.
            raise ListingError(
                f"The listing of bucket {self._bucket} can't be recorded exactly ({type(error).__name__}: {error}): an "
                "object lacks its name, size or time, or its name is not Unicode. Copy the object to another key and "
                f"delete it, or narrow the prefix in `sources.{self._source}.uri`."
            ) from None


def _e_tag(item: dict[str, Any]) -> str | None:
    """Return what changes exactly when the content does; see ``INVENTORY_SCHEMA``.

    Google's own etag changes with the metadata too, and objects composed of others have no MD5.
    """
    md5, crc32c = item.get("md5Hash"), item.get("crc32c")
    return md5 or (f"crc32c:{crc32c}" if crc32c else item.get("etag"))
