"""What Azure's client raises, as errors that say which setting to change.

What does not belong here: retries, which the client does, and errors of the state (``state/bucket.py``).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from registration_pipeline.errors import (
    CredentialsError,
    HaltError,
    ListingError,
    NotFoundError,
    PermissionDeniedError,
    ServiceUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# Codes: Azure's REST reference, "Common REST API error codes" and "Blob service error codes".
_NO_CONTAINER = {
    "ContainerNotFound",
    "ContainerBeingDeleted",
    "ContainerDisabled",
    "InvalidResourceName",
    "ResourceNotFound",
}
_BAD_CREDENTIALS = {
    "AuthenticationFailed",
    "InvalidAuthenticationInfo",
    "KeyBasedAuthenticationNotPermitted",
    "NoAuthenticationInformation",
}
_NOT_NOW = {"InternalError", "OperationTimedOut", "ServerBusy"}
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY_REQUESTS, _SERVER_ERROR = 401, 403, 404, 429, 500
_LOG_IN = (
    "Set AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or log in with `az login`, or run "
    "where a managed identity is attached"
)
_PERMISSION = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"


@contextmanager
def azure_errors(*, container: str, account: str, source: str, endpoint: str) -> Iterator[None]:
    """Translate the exceptions of azure-storage-blob and azure-identity for one container.

    Only Azure's own code is quoted: its texts hold signatures and the string that was signed.

    Args:
        container: its name.
        account: the storage account.
        source: the source's name, for the settings to change.
        endpoint: that is asked.

    Raises:
        HaltError: the subclass that fits.
    """
    place = f"container {container} of account {account}"
    try:
        yield
    except DecodeError:
        raise ListingError(
            f"What answers for {place} does not speak Azure's Blob API. Check `sources.{source}.storage.endpoint_url`."
        ) from None
    except HttpResponseError as error:
        raise _from_answer(error, place, account, source) from None
    except (ServiceRequestError, ServiceResponseError) as error:
        raise ServiceUnavailableError(
            f"Azure can't be reached at {endpoint} for {place} ({type(error).__name__}), after retries. Check the network, "
            f"the account in `sources.{source}.uri` and `sources.{source}.storage.endpoint_url`, then run again."
        ) from None
    except AzureError as error:
        raise ServiceUnavailableError(
            f"Azure's client failed for {place} ({type(error).__name__}). Run again; if it happens again, check "
            f"`sources.{source}.storage`."
        ) from None


def _from_answer(error: HttpResponseError, place: str, account: str, source: str) -> HaltError:
    status = int(error.status_code or 0)
    headers = getattr(error.response, "headers", {})  # none where azure-identity had no reply
    code = str(headers.get("x-ms-error-code") or status)
    if status == 0:
        # azure-identity raises these without a reply of the store.
        return CredentialsError(
            f"There are no usable Azure credentials for {place} ({type(error).__name__}). {_LOG_IN}."
        )
    if code in _NO_CONTAINER or status == _NOT_FOUND:
        return NotFoundError(
            f"There is no {place} ({code}). Fix `sources.{source}.uri`, or `sources.{source}.storage.endpoint_url`."
        )
    if code in _BAD_CREDENTIALS or status == _UNAUTHORIZED:
        return CredentialsError(f"Azure refused the credentials for {place} ({code}). {_LOG_IN}.")
    if status == _FORBIDDEN or isinstance(error, ClientAuthenticationError):
        return PermissionDeniedError(
            f"Not allowed to list {place} ({code}): these credentials lack {_PERMISSION}. Grant the role Storage Blob Data "
            f"Reader on account {account}, or for a SAS read and list (`rl`) on the container; if the account has a "
            "firewall, let this machine's address in."
        )
    if code in _NOT_NOW or status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR:
        return ServiceUnavailableError(
            f"Azure gave no usable reply for {place} ({code}), after retries. Run again later; if it lasts, check "
            f"`sources.{source}.storage.endpoint_url`."
        )
    return ListingError(
        f"Azure refused to list {place} ({code}). Check `sources.{source}.uri` and `sources.{source}.storage`."
    )
