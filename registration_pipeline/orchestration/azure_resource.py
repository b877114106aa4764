"""dagster-azure's blob resource with the client options that listing needs, and the credentials that users expect.

What does not belong here: which source gets which client (``project/clients/listers.py``).
"""

from collections.abc import Mapping
from typing import Any

from azure.storage.blob import BlobServiceClient, ContainerClient
from dagster_azure.blob import (
    AzureBlobStorageAnonymousCredential,
    AzureBlobStorageDefaultCredential,
    AzureBlobStorageKeyCredential,
    AzureBlobStorageResource,
    AzureBlobStorageSASTokenCredential,
)

_RETRIES = 5


class ListingAzureResource(AzureBlobStorageResource):
    """``AzureBlobStorageResource`` that gives a client of one container, with timeouts.

    dagster-azure 0.29 gives clients only for the length of a ``with`` block, without options, and takes the account of a
    shared key from the host name, where emulators do not have it.

    Args:
        account: the storage account.
    """

    account: str

    def container_client(self, container: str, *, retries: int = _RETRIES) -> ContainerClient:
        """Return a client of a container; it is closed with the process.

        Args:
            container: its name.
            retries: repetitions per request, with growing pauses, on 408, 429, 5xx and cut connections.

        Raises:
            ValueError: the credential is malformed.
        """
        credential: Any = self._raw_credential()
        if isinstance(self.credential, AzureBlobStorageKeyCredential):
            credential = {"account_name": self.account, "account_key": self.credential.key}
        service = BlobServiceClient(
            account_url=self.account_url,
            credential=credential,
            connection_timeout=10,
            read_timeout=60,
            retry_total=retries,
        )
        return service.get_container_client(container)


def azure_resource(account: str, endpoint_url: str | None, environ: Mapping[str, str]) -> ListingAzureResource:
    """Return the resource of an account with the credentials of the environment.

    A connection string or key of another account is ignored. Without either, and without a SAS, it is
    ``DefaultAzureCredential``; an endpoint of plain http, where no token may be sent, is asked anonymously.

    Args:
        account: the storage account.
        endpoint_url: of an emulator or a private endpoint; by default where the connection string says, else Azure's.
        environ: the environment.
    """
    connection = _connection(environ.get("AZURE_STORAGE_CONNECTION_STRING", ""), account)
    url = endpoint_url or connection.get("blobendpoint") or f"https://{account}.blob.core.windows.net"
    is_account = environ.get("AZURE_STORAGE_ACCOUNT", account) == account
    key = environ.get("AZURE_STORAGE_KEY") or environ.get("AZURE_STORAGE_ACCOUNT_KEY") if is_account else None
    sas = environ.get("AZURE_STORAGE_SAS_TOKEN") if is_account else None
    credential: Any
    if chosen_key := connection.get("accountkey") or key:
        credential = AzureBlobStorageKeyCredential(key=chosen_key)
    elif chosen_sas := connection.get("sharedaccesssignature") or sas:
        credential = AzureBlobStorageSASTokenCredential(token=chosen_sas.removeprefix("?"))
    elif url.startswith("http://"):
        credential = AzureBlobStorageAnonymousCredential()
    else:
        credential = AzureBlobStorageDefaultCredential()
    return ListingAzureResource(account=account, account_url=url, credential=credential)


def _connection(text: str, account: str) -> dict[str, str]:
    """Return the parts of a connection string by lower-case name; nothing if it is of another account."""
    parts = {name.strip().lower(): value for name, _, value in (part.partition("=") for part in text.split(";"))}
    return parts if parts.get("accountname", account) == account else {}
