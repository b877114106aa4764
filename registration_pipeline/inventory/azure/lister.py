"""Lists a container of Azure Blob Storage, keys byte for byte.

What does not belong here: building the client (``project/clients/``), reading a page (``page.py``), the order of
names (``order.py``), the way through folders (``walk.py``) and what errors mean (``errors.py``).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest

from registration_pipeline.errors import ListingError
from registration_pipeline.inventory.azure.errors import azure_errors
from registration_pipeline.inventory.azure.order import KeyOrder
from registration_pipeline.inventory.azure.page import Blob, Page, read_page
from registration_pipeline.inventory.azure.walk import Entry, walk
from registration_pipeline.inventory.schema import BATCH_ROWS, inventory_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from azure.core.rest import HttpResponse
    from azure.storage.blob import ContainerClient

MOST_HELD = 1_000_000
"""Rows that may wait for their turn, about 1 GB; see ``KeyOrder``."""


class AzureLister:
    """``ObjectLister`` of the blobs of a container below a prefix, page after page.

    Directories of accounts with a hierarchical namespace are listed as blobs without content whose metadata say
    ``hdi_isfolder=true``. They are left out, and at the first of them the lister turns to walking folder by folder,
    because such accounts list in another order.

    Args:
        client: of the container; it owns credentials, endpoint, retries and timeouts.
        account: the storage account, which the client knows only from Azure's own host names.
        prefix: keys start with it; not necessarily a folder.
        source: the source's name, for error texts.
        page_size: blobs per request; 5,000 is the most that Azure gives (REST reference, "List Blobs").

    Attributes:
        requests: how many pages were asked for so far.
    """

    def __init__(
        self,
        client: ContainerClient,
        account: str,
        prefix: str = "",
        *,
        source: str = "<name>",
        page_size: int = 5000,
    ) -> None:
        self._client, self._account, self._prefix = client, account, prefix
        self._source, self._page_size = source, page_size
        self._container = client.container_name
        parts = urlsplit(client.url)  # its query may be a SAS
        self._endpoint = f"{parts.scheme}://{parts.netloc}"
        self.requests = 0

    @property
    def description(self) -> str:
        """The container, the account, the prefix and the API."""
        return f"az://{self._container}@{self._account}/{self._prefix} via List Blobs"

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """See ``ObjectLister.list_objects``; a batch is a page, but for what is held back for its order.

        Raises:
            NotFoundError: no such container.
            PermissionDeniedError: the principal may not list it.
            CredentialsError: there are no usable credentials.
            ServiceUnavailableError: the endpoint does not answer, after the client's retries.
            ListingError: the answer can't be recorded exactly.
        """
        last: str | None = None
        order = KeyOrder[Blob]()
        for page in self._pages(self._prefix):
            if page.has_directories:
                # What is held back and this page are listed again; before the first folder both orders are the same.
                yield from self._walked(after=last)
                return
            blobs = [ready for blob in page.blobs for ready in order.push(blob.key, blob)]
            self._check_held(order.held)
            yield from _batches(blobs)
            last = blobs[-1].key if blobs else last
        yield from _batches(order.finish())

    def _walked(self, *, after: str | None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of an account that has folders, but for those up to a key."""
        blobs: list[Blob] = []
        for name, blob in walk(self._level, self._prefix):
            if after is None or name > after:
                blobs.append(blob)
            if len(blobs) >= self._page_size:
                yield from _batches(blobs)
                blobs = []
        yield from _batches(blobs)

    def _level(self, prefix: str) -> Iterator[list[Entry[Blob]]]:
        for page in self._pages(prefix, delimiter="/"):
            yield [*(Entry(blob.key, blob) for blob in page.blobs), *(Entry(folder) for folder in page.folders)]

    def _pages(self, prefix: str, *, delimiter: str | None = None) -> Iterator[Page]:
        query = {"restype": "container", "comp": "list", "include": "metadata", "maxresults": str(self._page_size)}
        if prefix:
            query["prefix"] = prefix
        if delimiter:
            query["delimiter"] = delimiter
        while True:
            page = self._page(query)
            yield page
            if page.marker is None:
                return
            if page.marker == query.get("marker"):
                raise ListingError(
                    f"{self.description}: the store gives the same page again and again. Run again; if it happens again, "
                    f"what answers at `sources.{self._source}.storage.endpoint_url` is broken."
                )
            query["marker"] = page.marker

    def _page(self, query: dict[str, str]) -> Page:
        self.requests += 1
        headers = {"x-ms-version": str(self._client.api_version), "Accept": "application/xml"}
        # azure-core writes parameters into the URL as they are.
        encoded = {name: quote(value, safe="") for name, value in query.items()}
        request = HttpRequest("GET", self._client.url, params=encoded, headers=headers)
        with azure_errors(
            container=self._container, account=self._account, source=self._source, endpoint=self._endpoint
        ):
            # Through the client's pipeline, which signs and repeats; its own list_blobs makes objects of every blob.
            reply: HttpResponse = self._client._client._send_request(request)  # noqa: SLF001
            if reply.status_code != HTTPStatus.OK:
                raise HttpResponseError(response=reply)
        try:
            return read_page(reply.content)
        except ValueError as error:
            raise ListingError(
                f"What answers for container {self._container} of account {self._account} gives no listing of Azure's Blob "
                f"API ({error}). Check `sources.{self._source}.storage.endpoint_url`."
            ) from None

    def _check_held(self, held: int) -> None:
        if held > MOST_HELD:
            raise ListingError(
                f"{self.description}: more than {MOST_HELD:,} names have emoji or rare ideographs at the same place, and "
                "Azure's order of them can't be turned into that of an inventory. Make several sources, each of "
                f"a longer prefix than `sources.{self._source}.uri` has."
            )


def _batches(blobs: list[Blob]) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(blobs), BATCH_ROWS):
        some = blobs[start : start + BATCH_ROWS]
        keys, sizes, last_modified, e_tags, storage_classes, content_types, versions = zip(*some, strict=True)
        yield inventory_batch(
            keys=keys,
            sizes=sizes,
            last_modified=last_modified,
            e_tags=e_tags,
            storage_classes=storage_classes,
            content_types=content_types,
            versions=versions,
        )
