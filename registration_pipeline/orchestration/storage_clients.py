"""From a source's settings to the lister of its store; a provider's libraries load only where a source names it.

What does not belong here: listing itself (``inventory/``).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings_location import SourceScheme

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from registration_pipeline.inventory.lister import ObjectLister
    from registration_pipeline.settings import SourceSettings, StorageSettings


def make_s3_client(storage: "StorageSettings", *, source: str = "<name>") -> "S3Client":
    """Return a boto3 client with a source's profile, region and endpoint; credentials come from botocore's chain.

    Args:
        storage: the source's ``storage`` settings.
        source: the source's name, for error texts.

    Raises:
        ConfigurationError: the profile does not exist.
    """
    from botocore.exceptions import ProfileNotFound

    from registration_pipeline.orchestration.s3_resource import ListingS3Resource

    resource = ListingS3Resource(
        profile_name=storage.profile, region_name=storage.region, endpoint_url=storage.endpoint_url
    )
    try:
        client: S3Client = resource.get_client()
    except ProfileNotFound:
        raise ConfigurationError(
            "this profile is not in the AWS configuration of this machine; name one that `aws configure list-profiles` "
            "shows, or remove the key to use the default credentials",
            key=f"sources.{source}.storage.profile",
        ) from None
    return client


def make_lister(source: "SourceSettings", *, notify: Callable[[str], None] = lambda _: None) -> "ObjectLister":
    """Return the lister of a source; nothing is requested yet.

    Args:
        source: the source.
        notify: tells people what they should know of the listing.

    Raises:
        ConfigurationError: the AWS profile does not exist.
    """
    location = source.location
    if source.storage.inventory_report is not None:
        from registration_pipeline.orchestration.report_clients import make_report_lister

        return make_report_lister(source, notify=notify)
    if location.scheme is SourceScheme.FILE:
        from registration_pipeline.inventory.local import LocalLister

        assert location.path is not None
        return LocalLister(location.path, source=source.name)
    from registration_pipeline.inventory.s3 import S3Lister

    client = make_s3_client(source.storage, source=source.name)
    return S3Lister(client, location.bucket, location.prefix, source=source.name)
