"""Clients of Azure Blob Storage with the options that listing needs, and the credentials that users expect.

What does not belong here: which source gets which client (``stores.py``).
"""

from collections.abc import Mapping
from typing import Any

import requests
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient, ContainerClient
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from registration_pipeline.project.clients.azure_credential import PromptCredential
from registration_pipeline.settings.azure_connection import connection_endpoint, connection_parts
from registration_pipeline.settings.endpoints import azure_endpoint

_RETRIES = 5
_CONNECTIONS = (
    64  # as many as storage.concurrency may be; the session's own 10 would open others again for each request
)
_CONNECT_SECONDS, _READ_SECONDS = 10, 60


def open_azure(account_url: str, credential: Any, *, retries: int = _RETRIES) -> BlobServiceClient:
    """Return a client of an account, with timeouts.

    Args:
        account_url: of the account.
        credential: as ``BlobServiceClient`` takes it.
        retries: repetitions per request, with growing pauses, on 408, 429, 5xx and cut connections.

    Raises:
        ValueError: the credential is malformed.
    """
    session = requests.Session()
    for scheme in ("https://", "http://"):
        # As the transport makes them itself, but for their number: retries are the client's, not the session's.
        retry = Retry(total=False, redirect=False, raise_on_status=False)
        session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS, max_retries=retry))
    return BlobServiceClient(
        account_url=account_url,
        credential=credential,
        transport=RequestsTransport(session=session, connection_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS),
        retry_total=retries,
        # The client's own pauses, 15 s and then three times as long each, add up to seven minutes.
        initial_backoff=1,
        increment_base=2,
    )


def account_key(account: str, key: str) -> dict[str, str]:
    """Return the credential of a shared key; Azure's client takes the account from host names, and emulators' have none."""
    return {"account_name": account, "account_key": key}


def open_container(
    account: str, container: str, endpoint_url: str | None, environ: Mapping[str, str], *, retries: int = _RETRIES
) -> ContainerClient:
    """Return a client of a container with the credentials of the environment; it is closed with the process.

    A connection string or key of another account is ignored. Without either, and without a SAS, it is
    ``DefaultAzureCredential``; an endpoint of plain http, where no token may be sent, is asked anonymously.

    Args:
        account: the storage account.
        container: its container.
        endpoint_url: of an emulator or a private endpoint; by default where the connection string says (which
            ``CheckedClients`` refuses if the URLs lead elsewhere), else Azure's.
        environ: the environment.
        retries: as in ``open_azure``.

    Raises:
        ValueError: the credential is malformed.
    """
    connection = connection_parts(environ.get("AZURE_STORAGE_CONNECTION_STRING", ""), account)
    url = endpoint_url or connection_endpoint(connection) or azure_endpoint(account)
    is_account = environ.get("AZURE_STORAGE_ACCOUNT", account) == account
    key = environ.get("AZURE_STORAGE_KEY") or environ.get("AZURE_STORAGE_ACCOUNT_KEY") if is_account else None
    sas = environ.get("AZURE_STORAGE_SAS_TOKEN") if is_account else None
    credential: Any
    if chosen_key := connection.get("accountkey") or key:
        credential = account_key(account, chosen_key)
    elif chosen_sas := connection.get("sharedaccesssignature") or sas:
        credential = chosen_sas.removeprefix("?")
    elif url.startswith("http://"):
        credential = None
    else:
        credential = PromptCredential(DefaultAzureCredential(), account)
    return open_azure(url, credential, retries=retries).get_container_client(container)
