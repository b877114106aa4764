"""What fails while clients of Google's and Azure's stores are made, as errors that name the variable or file.

What does not belong here: AWS's (``settings/aws_problems.py``, which the state needs too), and what requests raise. No text
quotes a value of the environment but paths: it may be a secret.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from registration_pipeline.errors import ConfigurationError, CredentialsError, RegistrationPipelineError

if TYPE_CHECKING:
    from registration_pipeline.settings import SourceSettings

_GOOGLE_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
_GOOGLE_LOG_IN = (
    "run `gcloud auth application-default login`, or run where a service account is attached, or set "
    "GOOGLE_APPLICATION_CREDENTIALS to a key file"
)
_AZURE_SECRETS = (
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
)
_AZURE_IDENTITY = (
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TOKEN_CREDENTIALS",
)


def google_problem(error: Exception, source: "SourceSettings", environ: Mapping[str, str]) -> RegistrationPipelineError:
    """Return what an exception means that was raised while a client of Google Cloud Storage was made."""
    bucket, why = f"bucket {source.location.bucket} of source {source.name}", _reason(error)
    if "universe domain" in str(error):
        return ConfigurationError(
            f"the credentials for {bucket} are of another cloud than the one it names; correct or unset it",
            key="GOOGLE_CLOUD_UNIVERSE_DOMAIN",
        )
    if file := environ.get(_GOOGLE_FILE):
        return CredentialsError(
            f"{_GOOGLE_FILE} names {file}, which can't be used as Google credentials for {bucket} ({why}). Give it the path "
            f"of a key file in JSON that this user may read, or unset it and {_GOOGLE_LOG_IN}."
        )
    if type(error).__name__ == "DefaultCredentialsError":
        return CredentialsError(f"There are no Google credentials for {bucket}: {_GOOGLE_LOG_IN}.")
    if source.storage.endpoint_url is None and environ.get("STORAGE_EMULATOR_HOST"):
        return ConfigurationError(
            f"there is no client for {bucket} ({why}); correct or unset it", key="STORAGE_EMULATOR_HOST"
        )
    return CredentialsError(f"The Google credentials for {bucket} can't be used ({why}): {_GOOGLE_LOG_IN}.")


def azure_problem(error: Exception, source: "SourceSettings", environ: Mapping[str, str]) -> RegistrationPipelineError:
    """Return what an exception means that was raised while a client of Azure Blob Storage was made."""
    account, why = source.location.account, _reason(error)
    secrets = [name for name in _AZURE_SECRETS if environ.get(name)]
    if secrets and not isinstance(error, OSError):
        return CredentialsError(
            f"The key, SAS or connection string of account {account} in {' or '.join(secrets)} is malformed ({why}). Copy it "
            "again from the account's page «Access keys» into AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_KEY."
        )
    named = [name for name in _AZURE_IDENTITY if environ.get(name)]
    if isinstance(error, OSError) and error.filename is not None:
        named = [name for name in named if environ[name] == str(error.filename)] or named
        why = f"{error.filename}: {why}"
    return CredentialsError(
        f"There are no usable Azure credentials for account {account} of source {source.name} ({why}). Correct or unset "
        f"{' and '.join(named) or 'the AZURE_… variables'}, or set AZURE_STORAGE_CONNECTION_STRING, or log in with `az login`."
    )


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
