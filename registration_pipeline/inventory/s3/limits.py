"""The limit of one reply of S3: botocore has classes of connections of its own, which are to be watched too.

What does not belong here: how long and how large a reply may be (``inventory/bounds.py``).
"""

from __future__ import annotations

from botocore.awsrequest import AWSHTTPConnectionPool, AWSHTTPSConnectionPool

from registration_pipeline.bounds.connections import watch_pools
from registration_pipeline.inventory.bounds import PAGE_BYTES, PAGE_SECONDS, PageLimit


def s3_limit(what: str, source: str, *, seconds: float = PAGE_SECONDS, most_bytes: int = PAGE_BYTES) -> PageLimit:
    """Return the limit of one request of boto3, those that it repeats included.

    Args:
        what: what is asked for, for people.
        source: the source's name, for the settings to change.
        seconds: for all of it.
        most_bytes: of the reply.
    """
    watch_pools(AWSHTTPConnectionPool, AWSHTTPSConnectionPool)
    return PageLimit(what, source, seconds=seconds, most_bytes=most_bytes)
