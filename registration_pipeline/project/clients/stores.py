"""Which client lists a source: what the core asks for, and the default, made from the source's settings and the environment.

What does not belong here: listers (``listers.py``), and clients of Dagster resources (``orchestration/storage/``).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from registration_pipeline.settings.addresses import SourceScheme
from registration_pipeline.urls import obs_endpoint

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient
    from google.cloud.storage import Client as GCSClient
    from mypy_boto3_s3 import S3Client

    from registration_pipeline.settings import SourceSettings


class StoreClients(Protocol):
    """Gives the client that lists a source; a provider's libraries load only when it is asked for one.

    Implementations raise whatever the libraries raise; ``CheckedClients`` says what that means.
    """

    def s3(self, source: "SourceSettings") -> "S3Client":
        """Return the client of a source in ``s3://`` or ``obs://``, and of the bucket with its inventory reports."""

    def gcs(self, source: "SourceSettings") -> "GCSClient":
        """Return the client of a source in ``gs://``."""

    def azure(self, source: "SourceSettings") -> "ContainerClient":
        """Return the client of the container of a source in ``az://``."""


class SettingsClients:
    """Clients with the source's own ``storage`` settings.

    Args:
        environ: where Azure's keys are read from; the other providers' clients read the process's own environment.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def s3(self, source: "SourceSettings") -> "S3Client":
        """See ``StoreClients.s3``."""
        from registration_pipeline.project.clients.s3 import make_s3_client

        storage = source.storage
        if source.location.scheme is SourceScheme.OBS:
            # An endpoint of one's own also means path addressing, which needs no wildcard certificate for dotted buckets.
            storage = storage.model_copy(update={"endpoint_url": obs_endpoint(source)})
        return make_s3_client(storage)

    def gcs(self, source: "SourceSettings") -> "GCSClient":
        """See ``StoreClients.gcs``."""
        from registration_pipeline.project.clients.gcs import open_gcs

        return open_gcs(endpoint_url=source.storage.endpoint_url)

    def azure(self, source: "SourceSettings") -> "ContainerClient":
        """See ``StoreClients.azure``."""
        from registration_pipeline.project.clients.azure import open_container

        location = source.location
        return open_container(location.account, location.bucket, source.storage.endpoint_url, self._environ)
