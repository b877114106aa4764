"""Asks a container of Azure Blob Storage for single pages, from any place, and checks each for itself.

What does not belong here: reading a page's XML (``page.py``, ``alike.py``), which pages are asked for (``lister.py``,
``ranges/``), places (``places.py``) and what errors mean (``errors.py``).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from azure.core.exceptions import HttpResponseError, IncompleteReadError, ServiceResponseError
from azure.core.rest import HttpRequest

from registration_pipeline.errors import HaltError, ListingError
from registration_pipeline.inventory.azure.alike import PageReader
from registration_pipeline.inventory.azure.errors import azure_errors
from registration_pipeline.inventory.azure.places import askable, has_wide, key_at, place_of
from registration_pipeline.inventory.bounds import PAGE_SECONDS, PageLimit
from registration_pipeline.inventory.key_order import disorder
from registration_pipeline.inventory.ranges.page import Page
from registration_pipeline.inventory.ranges.requests import Chain, PageRequests

if TYPE_CHECKING:
    import pyarrow as pa
    from azure.core.rest import HttpResponse
    from azure.storage.blob import ContainerClient

    from registration_pipeline.inventory.azure.page import AzurePage

_STARTING_VERSION = "2026-02-06"
"""Of the service, the first that can start a listing at a name (azure-sdk-for-java, azure-storage-blob 12.33)."""

_TRIES_OF_A_BODY = 3
"""The client repeats a request whose reply does not begin; a reply that is cut midway is read here, and asked for again."""

_MOST_EMPTY = 10  # pages without blobs that are read to see where a listing starts


class OtherOrderError(Exception):
    """The container has directories, or does not list in the order of UTF-16: folders must be walked."""


class AzureRequests(PageRequests):
    """Asks for pages of one container and prefix, from several threads at once; keys of a ``PageSource`` are places here.

    Args:
        client: of the container; it owns credentials, endpoint, retries and timeouts.
        account: the storage account, which the client knows only from Azure's own host names.
        prefix: of the keys.
        source: the source's name, for error texts.
        page_size: blobs per request.
        page_seconds: the whole time that one page may take, repetitions included.

    Attributes:
        prefix: the place of the prefix.
        is_hierarchical: an answer showed that the account has a hierarchical namespace.
    """

    def __init__(
        self,
        client: ContainerClient,
        account: str,
        prefix: str = "",
        *,
        source: str = "<name>",
        page_size: int = 5000,
        page_seconds: float = PAGE_SECONDS,
    ) -> None:
        super().__init__("azure", place_of(prefix), source)
        self._client, self._account, self._prefix, self._page_size = client, account, prefix, page_size
        self._container, self._page_seconds = client.container_name, page_seconds
        parts = urlsplit(client.url)  # its query may be a SAS
        self._endpoint = f"{parts.scheme}://{parts.netloc}"
        self._version = str(client.api_version)
        self._pages, self.is_hierarchical = PageReader(), False

    def page(self, *, after: str = "", token: str | None = None) -> Page:
        """Return the page that follows a place or a token, or the first one.

        Args:
            after: only blobs of a greater place; the empty text is before all. Of a text that is not the place of a name, the
                nearest one that is.
            token: of the page before; then ``after`` is its last place, and only checked.

        Raises:
            HaltError: as ``AzureLister.list_objects``.
            OtherOrderError: the page can't be part of a listing in the order of places.
        """
        after = askable(after)
        chain = Chain.of(after, token)
        content = self._ask(self._prefix, marker=chain.token or None, start=chain.start)
        return self._read_apart(self._read, content, chain, after=after, token=token)

    def _read(self, content: bytes, chain: Chain, *, after: str, token: str | None) -> Page:
        answer = self._answer(content)
        if answer.has_directories:
            raise OtherOrderError
        following = chain.following(answer.marker)
        self._require_progress(following, token, is_empty=answer.is_empty)
        batch, keys = self._batch(answer), answer.columns[0]
        if keys and token is None and after and place_of(str(keys[0])) == after:
            batch, keys = batch.slice(1), keys[1:]  # Azure starts with the name that it is given
        if not keys:
            return Page(batch, None, None, following, place_of)
        page = Page(batch, place_of(str(keys[0])), place_of(str(keys[-1])), following, place_of)
        self._check(page, after)
        return page

    def folders(self, prefix: str) -> list[str]:
        """Return the places of the common prefixes up to the next slash, of the first page, for deciding where to split.

        Args:
            prefix: a place.

        Raises:
            HaltError: as ``page``.
        """
        return [place_of(folder) for folder in self.level(key_at(prefix)).folders]

    def level(self, prefix: str, marker: str | None = None) -> AzurePage:
        """Return a page of what lies directly below a prefix: blobs, and common prefixes.

        Args:
            prefix: of the level, itself and not its place.
            marker: of the page before.

        Raises:
            HaltError: as ``page``.
        """
        content = self._ask(prefix, marker=marker, delimiter="/")
        return self._answered(content)

    def can_start_at(self, place: str) -> bool:
        """Return whether the store starts a listing where it is asked to. Stores that do not know how ignore the question.

        Args:
            place: of a blob that others come before.
        """
        if self._version < _STARTING_VERSION:
            return False
        marker: str | None = None
        try:
            for _ in range(_MOST_EMPTY):
                answer = self._answered(self._ask(self._prefix, marker=marker, start=place, size=1))
                if answer.columns[0] or answer.marker is None:
                    break
                marker = answer.marker
        except HaltError:
            return False  # what is really wrong shows in the pages
        return bool(answer.columns[0]) and place_of(str(answer.columns[0][0])) >= place

    def notice_hierarchy(self) -> None:
        """Ask for the first entry alone, which says what it is if the account has a hierarchical namespace.

        Raises:
            HaltError: as ``page``.
        """
        answer = self._answered(self._ask(self._prefix, marker=None, size=1))
        self.is_hierarchical = self.is_hierarchical or answer.has_directories

    def what(self) -> str:
        """Return what is listed, for people."""
        return f"az://{self._container}@{self._account}/{self._prefix} via List Blobs"

    def _ask(
        self, prefix: str, *, marker: str | None, start: str = "", delimiter: str = "", size: int | None = None
    ) -> bytes:
        asked = {"prefix": prefix, "delimiter": delimiter, "marker": marker, "startFrom": key_at(start)}
        query = {"restype": "container", "comp": "list", "include": "metadata"}
        query |= {"maxresults": str(size or self._page_size), **{name: value for name, value in asked.items() if value}}
        headers = {"x-ms-version": self._version, "Accept": "application/xml"}
        # azure-core writes parameters into the URL as they are.
        encoded = {name: quote(value, safe="") for name, value in query.items()}
        request = HttpRequest("GET", self._client.url, params=encoded, headers=headers)
        self._mine.was_throttled = False
        limit = PageLimit(self.what(), self._source, seconds=self._page_seconds)
        errors = azure_errors(
            container=self._container, account=self._account, source=self._source, endpoint=self._endpoint
        )
        with limit, errors:
            return self._content(request, limit)

    def _content(self, request: HttpRequest, limit: PageLimit) -> bytes:
        for left in reversed(range(_TRIES_OF_A_BODY)):
            # Through the client's pipeline, which signs and repeats; its own list_blobs makes objects of every blob.
            reply: HttpResponse = self._client._client._send_request(  # noqa: SLF001
                request, stream=True, raw_response_hook=self._notice_answer
            )
            with reply:
                if reply.status_code != HTTPStatus.OK:
                    reply.read()
                    raise HttpResponseError(response=reply)
                try:
                    return limit.whole(reply.iter_bytes())
                except (ServiceResponseError, IncompleteReadError):
                    if not left:
                        raise
        raise AssertionError("unreachable")

    def _notice_answer(self, answer: Any) -> None:
        """Take note of an answer; the client calls this for every try."""
        self._count()
        self._note_status(answer.http_response.status_code)

    def _answered(self, content: bytes) -> AzurePage:
        return self._read_apart(self._answer, content)

    def _answer(self, content: bytes) -> AzurePage:
        try:
            answer = self._pages.read(content)
        except ValueError as error:
            raise ListingError(
                f"What answers for container {self._container} of account {self._account} gives no listing of Azure's Blob "
                f"API ({error}). Check `sources.{self._source}.storage.endpoint_url`."
            ) from None
        self.is_hierarchical = self.is_hierarchical or answer.is_hierarchical
        return answer

    def _batch(self, answer: AzurePage) -> pa.RecordBatch:
        try:
            return answer.batch
        except (ValueError, OverflowError) as error:
            raise ListingError(
                f"{self.what()} can't be recorded exactly ({type(error).__name__}: {error}). Copy the blob to another name "
                f"and delete it, or narrow the prefix in `sources.{self._source}.uri`."
            ) from None

    def _check(self, page: Page, after: str) -> None:
        """Require that a page's places increase and are after what they were asked for.

        Raises:
            OtherOrderError: they do not.
        """
        assert page.first is not None
        assert page.last is not None
        keys = page.batch.column("key")
        if not page.first > after:
            raise OtherOrderError
        if disorder(keys) is not None or has_wide(page.batch):  # else the order of UTF-8 is that of UTF-16
            places = [place_of(key) for key in keys.to_pylist()]
            if not all(map(str.__lt__, places, places[1:])):
                raise OtherOrderError
        if not page.first.startswith(self.prefix) or not page.last.startswith(self.prefix):
            raise ListingError(
                f"{self.what()}: the store answered with names that do not start with the prefix, from {page.first!r} to "
                f"{page.last!r}. Nothing was recorded. Run again; if it happens again, what answers at "
                f"`sources.{self._source}.storage.endpoint_url` can't be relied on."
            )
