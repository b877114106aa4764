"""dagster-azure's blob resource with the client options that listing needs.

What does not belong here: which source gets which client (``clients.py``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from azure.storage.blob import BlobServiceClient
from dagster_azure.blob import AzureBlobStorageKeyCredential, AzureBlobStorageResource

from registration_pipeline.project.clients.azure import account_key, open_azure


class ListingAzureResource(AzureBlobStorageResource):
    """``AzureBlobStorageResource`` whose client has timeouts.

    dagster-azure 0.29 gives clients without options, and takes the account of a shared key from the host name, where
    emulators do not have it.

    Args:
        account: the storage account.
    """

    account: str

    @contextmanager
    def get_client(self) -> Iterator[BlobServiceClient]:
        """Give a client of the account for the length of the block.

        Raises:
            ValueError: the credential is malformed.
        """
        credential: Any = self._raw_credential()
        if isinstance(self.credential, AzureBlobStorageKeyCredential) and self.credential.key:
            credential = account_key(self.account, self.credential.key)
        with open_azure(self.account_url, credential) as service:
            yield service
