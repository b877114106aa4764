"""Lists a bucket of Google Cloud Storage through its JSON API, keys byte for byte, in many places at once.

What does not belong here: building the client (``project/clients/``), single pages (``requests.py``, ``page.py``), who lists
which keys (``ranges/``) and what errors mean (``errors.py``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from registration_pipeline.inventory.bounds import PAGE_SECONDS
from registration_pipeline.inventory.gcs.requests import RETRY_SECONDS, GCSRequests
from registration_pipeline.inventory.ranges.bucket import BucketLister
from registration_pipeline.inventory.ranges.fan_out import CONCURRENCY, FAN_OUT_PAGES

if TYPE_CHECKING:
    from google.cloud.storage import Client


class GCSLister(BucketLister[GCSRequests]):
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
        new_requests = partial(
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
        first = FAN_OUT_PAGES * page_size if fan_out_after is None else fan_out_after
        super().__init__(new_requests, concurrency=concurrency, fan_out_after=first)
