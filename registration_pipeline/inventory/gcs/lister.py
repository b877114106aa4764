"""Lists a bucket of Google Cloud Storage through its JSON API, keys byte for byte, in many places at once.

What does not belong here: building the client (``project/clients/``), single pages (``requests.py``, ``page.py``), who lists
which keys (``ranges/``) and what errors mean (``errors.py``).
"""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Self

from registration_pipeline.inventory.bounds import PAGE_SECONDS
from registration_pipeline.inventory.gcs.requests import RETRY_SECONDS, GCSRequests
from registration_pipeline.inventory.ranges.boundaries import find_boundaries
from registration_pipeline.inventory.ranges.fan_out import CONCURRENCY, FAN_OUT_PAGES, in_many_places
from registration_pipeline.inventory.ranges.key_space import KeySpace
from registration_pipeline.inventory.ranges.lister import KeyRange

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from google.cloud.storage import Client


class GCSLister:
    """``DivisibleLister`` of the live objects of a bucket below a prefix.

    Google lists names in lexicographic order of their UTF-8 (JSON API reference, "Objects: list"), and from any name on
    (``startOffset``), which need not exist.

    Args:
        client: a google-cloud-storage client; it owns credentials, endpoint and connections.
        bucket: its name.
        prefix: keys start with it; not necessarily a folder.
        source: the source's name, for error texts.
        page_size: keys per request; 1,000 is the most that the JSON API gives.
        concurrency: the most requests at once; 1 lists page after page with nothing but page tokens.
        fan_out_after: objects that must have been listed before there is more than one request at once; None: two full
            pages.
        retry_seconds: how long one request is repeated while the store is busy or can't be reached.
        user_project: the project that pays for the requests, for buckets whose owner does not (JSON API reference,
            "Objects: list", ``userProject``).
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
        concurrency: int = CONCURRENCY,
        fan_out_after: int | None = None,
        retry_seconds: float = RETRY_SECONDS,
        user_project: str | None = None,
        page_seconds: float = PAGE_SECONDS,
    ) -> None:
        self._prefix, self._concurrency = prefix, concurrency
        self._fan_out_after = FAN_OUT_PAGES * page_size if fan_out_after is None else fan_out_after
        self._new_requests = partial(
            GCSRequests,
            client,
            bucket,
            prefix,
            source=source,
            page_size=page_size,
            retry_seconds=retry_seconds,
            user_project=user_project,
            page_seconds=page_seconds,
        )
        self._requests = self._new_requests()
        self._after: str = ""
        self._until: str | None = None

    @property
    def requests(self) -> int:
        """How many requests were made so far, repeated ones included."""
        return self._requests.made

    @property
    def description(self) -> str:
        """The bucket, the prefix and the API."""
        return self._requests.what()

    def boundaries(self, ranges: int) -> Sequence[str]:
        """See ``DivisibleLister.boundaries``."""
        with self._requests:
            return find_boundaries(self._requests, ranges)

    def between(self, after: str | None, until: str | None) -> Self:
        """See ``DivisibleLister.between``; its requests are counted on their own."""
        lister = copy(self)
        lister._requests = self._new_requests()  # noqa: SLF001 - of this class
        lister._after, lister._until = after or "", until  # noqa: SLF001 - of this class
        return lister

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """See ``ObjectLister.list_objects``; a batch is a page, or what of it belongs to the range that it was asked for.

        Raises:
            NotFoundError: no such bucket.
            PermissionDeniedError: the principal may not list it.
            CredentialsError: there are no usable credentials.
            ServiceUnavailableError: the endpoint does not answer, after the library's retries.
            ListingError: the answer can't be recorded exactly.
        """
        with self._requests:
            yield from in_many_places(
                self._requests,
                KeySpace(self._prefix),
                KeyRange(self._after, self._until),
                concurrency=self._concurrency,
                fan_out_after=self._fan_out_after,
            )
