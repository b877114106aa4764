"""dagster-gcp's GCS resource with the client options that listing needs.

What does not belong here: which source gets which client (``project/clients/listers.py``).
"""

from typing import Any

from dagster_gcp import GCSResource
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage

_NO_PROJECT = "none"
"""Listing names no project, and without this the client would search for one and fail where there is none."""


class ListingGCSResource(GCSResource):
    """``GCSResource`` whose client may have an endpoint of its own, and there needs no credentials.

    dagster-gcp 0.29 builds the client from ``project`` alone, so ``get_client`` is the one place to put more.

    Args:
        endpoint_url: of an emulator or a private endpoint; None for Google's.
    """

    endpoint_url: str | None = None

    def get_client(self) -> storage.Client:
        """Return a client with the application default credentials.

        An endpoint of plain http, where no token may be sent, is asked anonymously; one of https is if there are none.

        Raises:
            DefaultCredentialsError: there are none, and the endpoint is Google's.
        """
        project = self.project or _NO_PROJECT
        if self.endpoint_url is None:
            return storage.Client(project=project)
        options = {"api_endpoint": self.endpoint_url}
        if not self.endpoint_url.startswith("http://"):
            try:
                return storage.Client(project=project, client_options=options)
            except DefaultCredentialsError:
                pass
        anonymous: Any = AnonymousCredentials
        return storage.Client(project=project, client_options=options, credentials=anonymous())
