"""From a source's settings to the lister of its store; a provider's libraries load only where a source names it.

What does not belong here: listing itself (``inventory/``).
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from registration_pipeline.errors import ConfigurationError, CredentialsError
from registration_pipeline.settings.addresses import SourceScheme
from registration_pipeline.urls import obs_endpoint

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


def make_lister(
    source: "SourceSettings",
    environ: Mapping[str, str] = os.environ,
    *,
    notify: Callable[[str], None] = lambda _: None,
) -> "ObjectLister":
    """Return the lister of a source; nothing is requested yet.

    Args:
        source: its settings.
        environ: where Azure's keys are looked up; the other providers' clients read the process's own environment.
        notify: called with texts for people of the listing.

    Raises:
        ConfigurationError: the AWS profile does not exist, or the provider's extra is not installed.
        CredentialsError: there are none for Google, or those for Azure are malformed.
    """
    location = source.location
    if source.storage.inventory_report is not None:
        from registration_pipeline.project.clients.reports import make_report_lister

        return make_report_lister(source, notify=notify)
    if location.scheme is SourceScheme.FILE:
        from registration_pipeline.inventory.local import LocalLister

        assert location.path is not None
        return LocalLister(location.path, source=source.name)
    if location.scheme is SourceScheme.GS:
        with _extra("gcs", source):
            return _gcs_lister(source)
    if location.scheme is SourceScheme.AZ:
        with _extra("azure", source):
            return _azure_lister(source, environ)
    from registration_pipeline.inventory.s3.lister import S3Lister

    storage = source.storage
    if location.scheme is SourceScheme.OBS:
        # An endpoint of one's own also means path addressing, which needs no wildcard certificate for dotted buckets.
        storage = storage.model_copy(update={"endpoint_url": obs_endpoint(source)})
    client = make_s3_client(storage, source=source.name)
    if storage.versions:
        from registration_pipeline.inventory.s3.versions import S3VersionLister

        return S3VersionLister(client, location.bucket, location.prefix, source=source.name)
    return S3Lister(client, location.bucket, location.prefix, source=source.name, concurrency=storage.concurrency)


@contextmanager
def _extra(name: str, source: "SourceSettings") -> Iterator[None]:
    """Turn a missing library into the name of the extra that brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{source.location.scheme}:// needs {error.name}, which is not installed; install it with "
            f"`pip install 'registration-pipeline[{name}]'`",
            key=f"sources.{source.name}.uri",
        ) from None


def _gcs_lister(source: "SourceSettings") -> "ObjectLister":
    from registration_pipeline.inventory.gcs.errors import gcs_errors
    from registration_pipeline.inventory.gcs.lister import GCSLister
    from registration_pipeline.orchestration.gcs_resource import ListingGCSResource

    location = source.location
    with gcs_errors(bucket=location.bucket, source=source.name):
        client = ListingGCSResource(endpoint_url=source.storage.endpoint_url).get_client()
    return GCSLister(client, location.bucket, location.prefix, source=source.name)


def _azure_lister(source: "SourceSettings", environ: Mapping[str, str]) -> "ObjectLister":
    from registration_pipeline.inventory.azure.lister import AzureLister
    from registration_pipeline.orchestration.azure_resource import azure_resource

    location = source.location
    resource = azure_resource(location.account, source.storage.endpoint_url, environ)
    try:
        client = resource.container_client(location.bucket)
    except ValueError:
        raise CredentialsError(
            f"The key, SAS or connection string of account {location.account} is malformed. Copy it again from the "
            "account's page «Access keys» into AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_KEY."
        ) from None
    return AzureLister(client, location.account, location.prefix, source=source.name)
