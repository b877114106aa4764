"""Lists an S3 bucket with ListObjectsV2, keys byte for byte, in many places at once.

What does not belong here: building the client (``project/clients/``) and its options (``client_config.py``), single pages
(``requests.py``, ``page.py``) and who lists which keys (``ranges/``).
"""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Self

from registration_pipeline.inventory.bounds import PAGE_SECONDS
from registration_pipeline.inventory.ranges.boundaries import find_boundaries
from registration_pipeline.inventory.ranges.fan_out import in_many_places
from registration_pipeline.inventory.ranges.key_space import KeySpace
from registration_pipeline.inventory.ranges.lister import KeyRange
from registration_pipeline.inventory.s3.requests import S3Requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from mypy_boto3_s3 import S3Client

    from registration_pipeline.inventory.s3.processes.pool import WhenToStart

CONCURRENCY = 16
"""Requests at once: S3 serves 5,500 a second for each prefix (user guide, "Optimizing Amazon S3 performance")."""

FAN_OUT_AFTER = 2000
"""Objects that are listed one page after the other before there is more than one request at once: two full pages."""


class S3Lister:
    """``DivisibleLister`` of the objects of a bucket below a prefix.

    Keys are asked for in URL encoding, because keys with control characters are not legal XML, and are decoded here
    rather than by botocore, which would put U+FFFD in the place of bytes that are not UTF-8.

    Args:
        client: a boto3 S3 client; it owns credentials, region, retries and timeouts.
        bucket: its name.
        prefix: keys start with it; not necessarily a folder.
        source: the source's name, for error texts.
        page_size: keys per request; 1,000 is the most that S3 gives (API reference, ListObjectsV2).
        concurrency: the most requests at once; 1 lists page after page with nothing but continuation tokens.
        fan_out_after: objects that must have been listed before there is more than one request at once.
        page_seconds: the whole time that one page may take, repetitions included.
        when: other processes fetch and read pages too; None: once this one is busy with it, one for each core.
    """

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        prefix: str = "",
        *,
        source: str = "<name>",
        page_size: int = 1000,
        concurrency: int = CONCURRENCY,
        fan_out_after: int = FAN_OUT_AFTER,
        page_seconds: float = PAGE_SECONDS,
        when: WhenToStart | None = None,
    ) -> None:
        self._bucket, self._prefix = bucket, prefix
        self._concurrency, self._fan_out_after = concurrency, fan_out_after
        self._new_requests = partial(
            S3Requests,
            client,
            bucket,
            prefix,
            source=source,
            page_size=page_size,
            page_seconds=page_seconds,
            concurrency=concurrency,
            when=when,
        )
        self._requests = self._new_requests()
        self._after: str = ""
        self._until: str | None = None

    @property
    def requests(self) -> int:
        """How many requests were made so far, those that botocore repeats included."""
        return self._requests.made

    @property
    def description(self) -> str:
        """The bucket, the prefix and the API."""
        return f"s3://{self._bucket}/{self._prefix} via ListObjectsV2"

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
            NotFoundError: no such bucket, at least not in this region.
            PermissionDeniedError: the principal may not list it.
            CredentialsError: there are no usable credentials.
            ServiceUnavailableError: the endpoint does not answer, after the client's retries.
            ListingError: the answer can't be recorded exactly.
        """
        with self._requests:
            rest, space = KeyRange(self._after, self._until), KeySpace(self._prefix)
            yield from in_many_places(
                self._requests, space, rest, concurrency=self._concurrency, fan_out_after=self._fan_out_after
            )
