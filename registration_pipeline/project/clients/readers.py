"""From a source's settings to the reader of its store; a provider's libraries load only where a source names it.

What does not belong here: reading itself (``facts/readers/``), and making clients (``stores.py``).
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from registration_pipeline.project.clients.checked import CheckedClients
from registration_pipeline.project.clients.listers import extra
from registration_pipeline.project.clients.stores import SettingsClients
from registration_pipeline.settings.addresses import SourceScheme

if TYPE_CHECKING:
    from registration_pipeline.facts.reader import ObjectReader
    from registration_pipeline.project.clients.stores import StoreClients
    from registration_pipeline.settings import SourceSettings


def make_reader(
    source: "SourceSettings",
    clients: "StoreClients | None" = None,
    *,
    environ: Mapping[str, str] = os.environ,
) -> "ObjectReader":
    """Return the reader of a source's objects, with the same client as its lister; nothing is requested yet.

    Args:
        source: its settings.
        clients: give the client of its store; None: those of its settings and the process's environment.
        environ: the environment, for errors to name the variable that is wrong.

    Raises:
        ConfigurationError: as ``make_lister``.
        CredentialsError: the credentials can't be had.
    """
    clients = CheckedClients.of(clients or SettingsClients(environ), environ)
    location = source.location
    if location.scheme is SourceScheme.FILE:
        from registration_pipeline.facts.readers.local import LocalReader

        assert location.path is not None
        return LocalReader(location.path)
    if location.scheme is SourceScheme.GS:
        with extra("gcs", source):
            return _gcs_reader(source, clients, environ)
    if location.scheme is SourceScheme.AZ:
        with extra("azure", source):
            from registration_pipeline.facts.readers.azure import AzureReader

            return AzureReader(clients.azure(source), location.account, source=source.name)
    from registration_pipeline.facts.readers.s3 import S3Reader

    return S3Reader(clients.s3(source), location.bucket, source=source.name, scheme=location.scheme.value)


def _gcs_reader(source: "SourceSettings", clients: "StoreClients", environ: Mapping[str, str]) -> "ObjectReader":
    from registration_pipeline.facts.readers.gcs import GCSReader
    from registration_pipeline.project.clients.gcs import keep_connections

    client, payer = clients.gcs(source), None
    keep_connections(client, source.storage.concurrency)
    if source.storage.requester_pays:
        from registration_pipeline.project.clients.gcs import billed_project

        payer = billed_project(client, environ, source=source.name)
    return GCSReader(client, source.location.bucket, source=source.name, user_project=payer)
