"""Clients of Google Cloud Storage with the options that listing needs.

What does not belong here: which source gets which client (``stores.py``).
"""

from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage

_NO_PROJECT = "none"
"""Listing names no project, and without this the client would search for one and fail where there is none."""


def open_gcs(*, endpoint_url: str | None = None, project: str | None = None) -> storage.Client:
    """Return a client with the application default credentials.

    An endpoint of plain http, where no token may be sent, is asked anonymously; one of https is if there are none.

    Args:
        endpoint_url: of an emulator or a private endpoint; None for Google's.
        project: of Google Cloud; listing does not need one.

    Raises:
        DefaultCredentialsError: there are none, and the endpoint is Google's.
    """
    project = project or _NO_PROJECT
    if endpoint_url is None:
        return storage.Client(project=project)
    options = {"api_endpoint": endpoint_url}
    if not endpoint_url.startswith("http://"):
        try:
            return storage.Client(project=project, client_options=options)
        except DefaultCredentialsError:
            pass
    anonymous: Any = AnonymousCredentials
    return storage.Client(project=project, client_options=options, credentials=anonymous())
