"""Clients of S3 with the options that listing needs.

What does not belong here: the options themselves (``inventory/s3/client_config.py``), and which source gets which client.
"""

from typing import TYPE_CHECKING, Any

import boto3

from registration_pipeline.inventory.s3.client_config import ATTEMPTS, client_config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from registration_pipeline.settings import StorageSettings


def open_s3(
    *,
    profile: str | None = None,
    endpoint_url: str | None = None,
    attempts: int = ATTEMPTS,
    is_unsigned: bool = False,
    **client_options: Any,
) -> "S3Client":
    """Return a boto3 client, safe to share between threads.

    Args:
        profile: of the AWS configuration; None for the default credentials.
        endpoint_url: of an S3-compatible store; None for Amazon's.
        attempts: tries per request, the first included.
        is_unsigned: send requests without credentials, for public buckets.
        client_options: boto3's own, for example ``region_name``.

    Raises:
        ProfileNotFound: the profile does not exist.
    """
    config = client_config(endpoint_url=endpoint_url, attempts=attempts, is_unsigned=is_unsigned)
    session = boto3.session.Session(profile_name=profile)
    client: S3Client = session.client("s3", endpoint_url=endpoint_url, config=config, **client_options)
    return client


def make_s3_client(storage: "StorageSettings") -> "S3Client":
    """Return a client with a source's profile, region and endpoint; credentials come from botocore's chain.

    Args:
        storage: the source's ``storage`` settings.

    Raises:
        Exception: whatever botocore raises; ``settings/aws_problems.py`` says what it means.
    """
    return open_s3(profile=storage.profile, endpoint_url=storage.endpoint_url, region_name=storage.region)
