"""The lister of a bucket over its pages, whatever the store: which keys it lists, and where it can be divided.

What does not belong here: single pages (``requests.py`` of each provider) and who lists which keys (``fan_out.py``).
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from registration_pipeline.inventory.ranges.boundaries import find_boundaries
from registration_pipeline.inventory.ranges.fan_out import in_many_places
from registration_pipeline.inventory.ranges.key_space import KeySpace
from registration_pipeline.inventory.ranges.lister import KeyRange
from registration_pipeline.inventory.ranges.requests import PageRequests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

Requests = TypeVar("Requests", bound=PageRequests)


class BucketLister(Generic[Requests]):
    """``DivisibleLister`` of a store that lists in the order of keys, and from any key on, which need not exist.

    Args:
        new_requests: makes what asks for pages; each counts its own.
        concurrency: the most requests at once; 1 lists page after page with nothing but the store's tokens.
        fan_out_after: objects that must have been listed before there is more than one request at once.
    """

    def __init__(self, new_requests: Callable[[], Requests], *, concurrency: int, fan_out_after: int) -> None:
        self._new_requests, self._concurrency, self._fan_out_after = new_requests, concurrency, fan_out_after
        self._requests = new_requests()
        self._after: str | None = None
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
        lister._after, lister._until = after, until  # noqa: SLF001 - of this class
        return lister

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """See ``ObjectLister.list_objects``; a batch is a page, or what of it belongs to the range that it was asked for.

        Raises:
            NotFoundError: no such bucket, at least not in this region.
            PermissionDeniedError: the principal may not list it.
            CredentialsError: there are no usable credentials.
            ServiceUnavailableError: the endpoint does not answer, after the client's retries.
            ListingError: the answer can't be recorded exactly.
        """
        with self._requests as requests:
            yield from in_many_places(
                requests,
                KeySpace(requests.prefix),
                KeyRange(self._after or "", self._until),
                concurrency=self._concurrency,
                fan_out_after=self._fan_out_after,
            )
