"""Clients of the storage resources that a code location was given; for all other sources, those of their settings.

What does not belong here: the resources themselves; and nothing of a provider is imported here, as most have only one.
"""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from registration_pipeline.settings.addresses import SourceScheme

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from azure.storage.blob import BlobServiceClient, ContainerClient
    from google.cloud.storage import Client as GCSClient
    from mypy_boto3_s3 import S3Client

    from registration_pipeline.project.clients.stores import StoreClients
    from registration_pipeline.settings import SourceSettings

RESOURCE_KEYS = ("s3", "gcs", "azure")
"""Resources of these names list sources."""


class ClientResource(Protocol):
    """What ``dagster_aws.s3.S3Resource`` and ``dagster_gcp.GCSResource`` are, and their subclasses."""

    def get_client(self) -> Any:
        """Return the provider's client."""


class BlobResource(Protocol):
    """What ``dagster_azure.blob.AzureBlobStorageResource`` is, and its subclasses."""

    @property
    def account_url(self) -> str:
        """The account's address, e.g. ``https://fleetmedia.blob.core.windows.net``."""

    def get_client(self) -> "AbstractContextManager[BlobServiceClient]":
        """Give a client of the account for the length of a block."""


class ResourceClients:
    """Clients of resources, where there are any. Azure's are open as long as this object lives.

    Args:
        default: gives the clients of all other sources.
        s3: for sources in ``s3://``; those in ``obs://`` are another store.
        gcs: for sources in ``gs://``.
        azure: for sources in ``az://`` that are in its account.
    """

    def __init__(
        self,
        default: "StoreClients",
        *,
        s3: ClientResource | None = None,
        gcs: ClientResource | None = None,
        azure: BlobResource | None = None,
    ) -> None:
        self._default, self._s3, self._gcs, self._azure = default, s3, gcs, azure
        self._open = ExitStack()

    def s3(self, source: "SourceSettings") -> "S3Client":
        """See ``StoreClients.s3``."""
        if self._s3 is None or source.location.scheme is not SourceScheme.S3:
            return self._default.s3(source)
        client: S3Client = self._s3.get_client()
        return client

    def gcs(self, source: "SourceSettings") -> "GCSClient":
        """See ``StoreClients.gcs``."""
        if self._gcs is None:
            return self._default.gcs(source)
        client: GCSClient = self._gcs.get_client()
        return client

    def azure(self, source: "SourceSettings") -> "ContainerClient":
        """See ``StoreClients.azure``."""
        location = source.location
        if self._azure is None or location.account not in _accounts(self._azure.account_url):
            return self._default.azure(source)
        service = self._open.enter_context(self._azure.get_client())
        return service.get_container_client(location.bucket)


def _accounts(account_url: str) -> tuple[str, str]:
    """Return what may be the account's name: the host's first label, or in emulators the first folder."""
    parts = urlsplit(account_url)
    return (parts.hostname or "").partition(".")[0], parts.path.strip("/").partition("/")[0]
