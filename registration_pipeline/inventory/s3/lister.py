"""Lists an S3 bucket with ListObjectsV2, keys byte for byte, in many places at once.

What does not belong here: building the client (``project/clients/``) and its options (``client_config.py``), single pages
(``requests.py``, ``page.py``) and who lists which keys (``ranges/``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from registration_pipeline.inventory.bounds import PAGE_SECONDS
from registration_pipeline.inventory.ranges.bucket import BucketLister
from registration_pipeline.inventory.ranges.fan_out import CONCURRENCY
from registration_pipeline.inventory.s3.requests import S3Requests

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from registration_pipeline.inventory.s3.processes.pool import WhenToStart

FAN_OUT_AFTER = 2000
"""Objects that are listed one page after the other before there is more than one request at once: two full pages."""


class S3Lister(BucketLister[S3Requests]):
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
        is_counted: refuse a page that says another number of entries than it has.
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
        is_counted: bool = True,
    ) -> None:
        new_requests = partial(
            S3Requests,
            client,
            bucket,
            prefix,
            source=source,
            page_size=page_size,
            page_seconds=page_seconds,
            concurrency=concurrency,
            when=when,
            is_counted=is_counted,
        )
        super().__init__(new_requests, concurrency=concurrency, fan_out_after=fan_out_after)
