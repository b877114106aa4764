"""From a source's settings to the lister of its store; a provider's libraries load only where a source names it.

What does not belong here: listing itself (``inventory/``), and making clients (``stores.py``).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from registration_pipeline.errors import ConfigurationError, CredentialsError
from registration_pipeline.project.clients.stores import SettingsClients
from registration_pipeline.settings.addresses import SourceScheme

if TYPE_CHECKING:
    from registration_pipeline.inventory.lister import ObjectLister
    from registration_pipeline.project.clients.stores import StoreClients
    from registration_pipeline.settings import SourceSettings


def make_lister(
    source: "SourceSettings",
    clients: "StoreClients | None" = None,
    *,
    notify: Callable[[str], None] = lambda _: None,
) -> "ObjectLister":
    """Return the lister of a source; nothing is requested yet.

    Args:
        source: its settings.
        clients: give the client of its store; None: those of its settings and the process's environment.
        notify: called with texts for people of the listing.

    Raises:
        ConfigurationError: the AWS profile does not exist, or the provider's extra is not installed.
        CredentialsError: there are none for Google, or those for Azure are malformed.
    """
    clients = clients or SettingsClients(os.environ)
    location = source.location
    if source.storage.inventory_report is not None:
        from registration_pipeline.project.clients.reports import make_report_lister

        return make_report_lister(source, clients, notify=notify)
    if location.scheme is SourceScheme.FILE:
        from registration_pipeline.inventory.local import LocalLister

        assert location.path is not None
        return LocalLister(location.path, source=source.name)
    if location.scheme is SourceScheme.GS:
        with _extra("gcs", source):
            return _gcs_lister(source, clients)
    if location.scheme is SourceScheme.AZ:
        with _extra("azure", source):
            return _azure_lister(source, clients)
    from registration_pipeline.inventory.s3.lister import S3Lister

    storage = source.storage
    client = clients.s3(source)
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


def _gcs_lister(source: "SourceSettings", clients: "StoreClients") -> "ObjectLister":
    from registration_pipeline.inventory.gcs.errors import gcs_errors
    from registration_pipeline.inventory.gcs.lister import GCSLister

    location = source.location
    with gcs_errors(bucket=location.bucket, source=source.name):
        client = clients.gcs(source)
    return GCSLister(client, location.bucket, location.prefix, source=source.name)


def _azure_lister(source: "SourceSettings", clients: "StoreClients") -> "ObjectLister":
    from registration_pipeline.inventory.azure.lister import AzureLister

    location = source.location
    try:
        client = clients.azure(source)
    except ValueError:
        raise CredentialsError(
            f"The key, SAS or connection string of account {location.account} is malformed. Copy it again from the "
            "account's page «Access keys» into AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_KEY."
        ) from None
    return AzureLister(client, location.account, location.prefix, source=source.name)
