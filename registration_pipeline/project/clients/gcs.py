"""Clients of Google Cloud Storage with the options that listing needs.

What does not belong here: which source gets which client (``stores.py``).
"""

from collections.abc import Mapping
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage
from requests.adapters import HTTPAdapter

from registration_pipeline.errors import ConfigurationError

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


def keep_connections(client: storage.Client, number: int) -> None:
    """Let a client keep so many connections open; its session's own 10 would open others again for each request.

    An adapter that is not the plain one stays: it may hold a client certificate.

    Args:
        client: of a source.
        number: of threads that use it.
    """
    session = client._http  # noqa: SLF001 - the client has no other way to lend it
    for scheme in ("https://", "http://"):
        if type(session.adapters.get(scheme)) is HTTPAdapter:
            session.mount(scheme, HTTPAdapter(pool_maxsize=number))


def billed_project(client: storage.Client, environ: Mapping[str, str], *, source: str) -> str:
    """Return the project that pays for the requests of a source whose bucket says that requesters pay.

    ``GOOGLE_CLOUD_PROJECT``, else the project that pays for these credentials' requests, else the client's, else theirs.

    Args:
        client: of the source.
        environ: the environment.
        source: the source's name, for the error.

    Raises:
        ConfigurationError: none of them is there.
    """
    credentials = client._credentials  # noqa: SLF001 - the client has no other way to lend them
    named = (
        environ.get("GOOGLE_CLOUD_PROJECT"),
        getattr(credentials, "quota_project_id", None),
        client.project if client.project != _NO_PROJECT else None,
        getattr(credentials, "project_id", None),
    )
    found = next(filter(None, named), None)
    if found is None:
        raise ConfigurationError(
            "Google bills what requesters pay to a project, and none is known here; set GOOGLE_CLOUD_PROJECT to one in which "
            "these credentials may use services (serviceusage.services.use)",
            key=f"sources.{source}.storage.requester_pays",
        )
    return str(found)
