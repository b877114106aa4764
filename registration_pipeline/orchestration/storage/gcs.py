"""dagster-gcp's GCS resource with the client options that listing needs.

What does not belong here: which source gets which client (``clients.py``).
"""

from dagster_gcp import GCSResource
from google.cloud import storage

from registration_pipeline.project.clients.gcs import open_gcs


class ListingGCSResource(GCSResource):
    """``GCSResource`` whose client may have an endpoint of its own, and there needs no credentials.

    dagster-gcp 0.29 builds the client from ``project`` alone, so ``get_client`` is the one place to put more.

    Args:
        endpoint_url: of an emulator or a private endpoint; None for Google's.
    """

    endpoint_url: str | None = None

    def get_client(self) -> storage.Client:
        """Return a client with the application default credentials.

        Raises:
            DefaultCredentialsError: there are none, and the endpoint is Google's.
        """
        return open_gcs(endpoint_url=self.endpoint_url, project=self.project)
