"""A credential of azure-identity that says once that there is none, and is not asked again and again.

What does not belong here: which credential is used (``azure.py``).
"""

from typing import Any

from azure.core.exceptions import ClientAuthenticationError

from registration_pipeline.errors import CredentialsError


class PromptCredential:
    """Gives the tokens of another credential, and an error of ours when it has none.

    The storage client takes an error of azure-identity for one of the network: it repeats the request, and with it the search
    through all ways to log in.

    Args:
        credential: of azure-identity.
        account: the storage account, for error texts.
    """

    def __init__(self, credential: Any, account: str) -> None:
        self._credential, self._account = credential, account

    def get_token(self, *scopes: str, **options: Any) -> Any:
        """Return a token; the protocol of azure-core.

        Raises:
            CredentialsError: there are no usable credentials.
        """
        try:
            return self._credential.get_token(*scopes, **options)
        except ClientAuthenticationError as error:
            raise self._none(error) from None

    def get_token_info(self, *scopes: str, **options: Any) -> Any:
        """Return a token with its times; the newer protocol of azure-core.

        Raises:
            CredentialsError: there are no usable credentials.
        """
        try:
            return self._credential.get_token_info(*scopes, **options)
        except ClientAuthenticationError as error:
            raise self._none(error) from None

    def _none(self, error: ClientAuthenticationError) -> CredentialsError:
        return CredentialsError(
            f"There are no usable Azure credentials for account {self._account} ({type(error).__name__}). Set "
            "AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or log in with `az login`, or "
            "run where a managed identity is attached."
        )
