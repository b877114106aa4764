"""How an S3 client must be configured for listing, wherever it is built.

What does not belong here: credentials and building the client (``project/clients/s3.py``).
"""

from __future__ import annotations

from botocore import UNSIGNED
from botocore.config import Config

ATTEMPTS = 5
"""Tries per request in botocore's standard mode, the first included: what dagster-aws sets too."""

_CONNECTIONS = 64
"""Kept open at most: as many as ``storage.concurrency`` may be; botocore's default of 10 would open more again each time."""


def client_config(*, endpoint_url: str | None, attempts: int = ATTEMPTS, is_unsigned: bool = False) -> Config:
    """Return the options.

    Checksums only where S3 requires them: since boto3 1.36 they are sent by default, which S3-compatible stores reject.
    Path addressing for an endpoint of one's own: its host name rarely has a wildcard for buckets.

    Args:
        endpoint_url: of an S3-compatible store or emulator; None for Amazon's.
        attempts: tries per request, the first included.
        is_unsigned: send requests without credentials, for public buckets.
    """
    return Config(
        signature_version=UNSIGNED if is_unsigned else "s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=_CONNECTIONS,
        s3={"addressing_style": "path"} if endpoint_url else None,
    )
