"""From a source's settings to the lister of its store; a provider's libraries load only where a source names it.

What does not belong here: listing itself (``inventory/``), and making clients (``stores.py``).
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.project.clients.checked import CheckedClients
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
    environ: Mapping[str, str] = os.environ,
    notify: Callable[[str], None] = lambda _: None,
) -> "ObjectLister":
    """Return the lister of a source; nothing is requested yet.

    Args:
        source: its settings.
        clients: give the client of its store; None: those of its settings and the process's environment.
        environ: the environment, for errors to name the variable that is wrong.
        notify: called with texts for people of the listing.

    Raises:
        ConfigurationError: the provider's configuration is wrong or leads to another store than the source's URLs, or its
            extra is not installed.
        CredentialsError: the credentials can't be had.
    """
    clients = CheckedClients.of(clients or SettingsClients(environ), environ)
    location = source.location
    if source.storage.inventory_report is not None:
        from registration_pipeline.project.clients.reports import make_report_lister

        return make_report_lister(source, clients, environ=environ, notify=notify)
    if location.scheme is SourceScheme.FILE:
        from registration_pipeline.globs import KeyRules
        from registration_pipeline.inventory.local import LocalLister

        assert location.path is not None
        rules = KeyRules(source.include, source.exclude)
        return LocalLister(location.path, source=source.name, rules=rules, notify=notify)
    if location.scheme is SourceScheme.GS:
        with extra("gcs", source):
            return _gcs_lister(source, clients, environ)
    if location.scheme is SourceScheme.AZ:
        with extra("azure", source):
            return _azure_lister(source, clients)
    from registration_pipeline.inventory.s3.lister import S3Lister

    storage = source.storage
    client = clients.s3(source)
    if storage.versions:
        from registration_pipeline.inventory.s3.versions import S3VersionLister

        return S3VersionLister(client, location.bucket, location.prefix, source=source.name)
    return S3Lister(
        client,
        location.bucket,
        location.prefix,
        source=source.name,
        concurrency=storage.concurrency,
        is_counted=storage.key_count,
    )


@contextmanager
def extra(name: str, source: "SourceSettings") -> Iterator[None]:
    """Turn a missing library into the name of the extra that brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{source.location.scheme}:// needs {error.name}, which is not installed; install it with "
            f"`pip install 'registration-pipeline[{name}]'`",
            key=f"sources.{source.name}.uri",
        ) from None


def _gcs_lister(source: "SourceSettings", clients: "StoreClients", environ: Mapping[str, str]) -> "ObjectLister":
    from registration_pipeline.inventory.gcs.lister import GCSLister
    from registration_pipeline.project.clients.gcs import billed_project, keep_connections

    location, client = source.location, clients.gcs(source)
    keep_connections(client, source.storage.concurrency)
    payer = billed_project(client, environ, source=source.name) if source.storage.requester_pays else None
    return GCSLister(
        client,
        location.bucket,
        location.prefix,
        source=source.name,
        concurrency=source.storage.concurrency,
        user_project=payer,
    )


def _azure_lister(source: "SourceSettings", clients: "StoreClients") -> "ObjectLister":
    from registration_pipeline.inventory.azure.lister import AzureLister

    location, client = source.location, clients.azure(source)
    return AzureLister(
        client, location.account, location.prefix, source=source.name, concurrency=source.storage.concurrency
    )
