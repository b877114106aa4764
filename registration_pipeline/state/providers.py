"""From the environment to obstore's stores: endpoint, region and credentials of each provider.

What does not belong here: what is done with a store and what its errors say (``bucket.py``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from obstore.store import AzureStore, GCSStore, S3Store

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings.addresses import parse_endpoint
from registration_pipeline.settings.aws_problems import aws_problem
from registration_pipeline.settings.azure_connection import connection_endpoint, connection_parts
from registration_pipeline.settings.values import given

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_LOOPBACK: Final = {"127.0.0.1", "localhost", "::1"}
_ENDPOINTS: Final = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
    "gs": ("STORAGE_EMULATOR_HOST", "GOOGLE_BASE_URL"),
}
"""Variables that hold an endpoint, the first of them wins; obstore panics over one that is not an address."""
_ALLOW_HTTP: Final = {"s3": "AWS_ALLOW_HTTP", "az": "AZURE_ALLOW_HTTP", "gs": "GOOGLE_ALLOW_HTTP"}
_CONNECTION: Final = "AZURE_STORAGE_CONNECTION_STRING"
_KEYS: Final = ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY")
_SAS: Final = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")


def open_provider(
    scheme: str,
    bucket: str,
    account: str | None,
    prefix: str | None,
    environ: Mapping[str, str],
    *,
    client: ClientConfig,
    retries: RetryConfig,
) -> ObjectStore:
    """Return obstore's store for a bucket; nothing is asked yet.

    Args:
        scheme: ``s3``, ``gs`` or ``az``.
        bucket: its name; of Azure the container.
        account: the storage account of Azure, if the state's place names one.
        prefix: of all names in the bucket.
        environ: holds endpoint, region and keys.
        client: timeouts of a request.
        retries: repetitions of a request.

    Raises:
        ConfigurationError: the endpoint is not an address, or plain http beyond this machine; names the variable.
        CredentialsError: AWS credentials can't be had.
        obstore.exceptions.BaseError: obstore can't use what the environment says.
    """
    endpoint = _endpoint(scheme, environ)
    if scheme == "az":
        account = account or environ.get("AZURE_STORAGE_ACCOUNT_NAME") or environ.get("AZURE_STORAGE_ACCOUNT")
        endpoint = endpoint or _azure_endpoint(account or "", environ)
    allowed: ClientConfig = {"allow_http": True} if endpoint.startswith("http://") else {}
    options: Any = {
        "prefix": prefix,
        "config": _config(scheme, account, endpoint, environ),
        "client_options": {**client, **allowed},
        "retry_config": retries,
    }
    if scheme == "gs":
        return GCSStore(bucket, **options)
    if scheme == "az":
        return AzureStore(bucket, **options)
    return S3Store(bucket, credential_provider=_aws_credentials(environ), **options)


def _config(scheme: str, account: str | None, endpoint: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what is said explicitly; the rest obstore reads in the environment."""
    if scheme == "gs":
        # Over plain http Google's own client sends no token either. obstore asks for one all the same when it writes, unless
        # a service account says that it needs none (with `skip_signature` it leaves it out of reads only).
        without_key = {"client_email": "", "private_key": "", "private_key_id": "", "disable_oauth": True}
        key = {"service_account_key": json.dumps(without_key | {"gcs_base_url": endpoint})}
        return {"base_url": endpoint, **(key if endpoint.startswith("http://") else {})} if endpoint else {}
    if scheme == "az":
        return _azure_config(account or "", endpoint, environ)
    # Explicitly, because the region of the profile, which comes with the credentials, would win over the variable.
    return {"region": environ["AWS_REGION"]} if environ.get("AWS_REGION") else {}


def _azure_config(account: str, endpoint: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return account, endpoint and key as a listing of Azure reads them: connection string, key, SAS, in this order.

    Without any of them obstore takes what it finds: a service principal, a workload's or a managed identity.
    """
    connection = connection_parts(environ.get(_CONNECTION, ""), account)
    is_account = environ.get("AZURE_STORAGE_ACCOUNT", account) == account
    key, sas = (next(filter(None, map(environ.get, names)), "") if is_account else "" for names in (_KEYS, _SAS))
    found = {"account_name": account, "endpoint": endpoint}
    if chosen_key := connection.get("accountkey") or key:
        found["account_key"] = chosen_key
    elif chosen_sas := connection.get("sharedaccesssignature") or sas:
        found["sas_key"] = chosen_sas.removeprefix("?")
    return {name: value for name, value in found.items() if value}


def _endpoint(scheme: str, environ: Mapping[str, str]) -> str:
    """Return where the provider is asked, or nothing for its own address."""
    found = ""
    for name in filter(environ.get, _ENDPOINTS[scheme]):
        # Google's client takes it without a scheme, too.
        text = environ[name] if "://" in environ[name] or scheme != "gs" else f"http://{environ[name]}"
        try:
            parse_endpoint(text)
        except ValueError as error:
            raise ConfigurationError(f"the endpoint of the state {error}{given(environ[name])}", key=name) from None
        if not found:
            _require_safe(text, name, _ALLOW_HTTP[scheme], environ)
            found = text.rstrip("/")
    return found


def _azure_endpoint(account: str, environ: Mapping[str, str]) -> str:
    found = connection_endpoint(connection_parts(environ.get(_CONNECTION, ""), account)) or ""
    _require_safe(found, _CONNECTION, _ALLOW_HTTP["az"], environ)
    return found


def _require_safe(endpoint: str, variable: str, allow_variable: str, environ: Mapping[str, str]) -> None:
    parts = urlsplit(endpoint)
    is_allowed = environ.get(allow_variable, "").lower() in {"1", "true", "yes", "on"}
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not is_allowed:
        raise ConfigurationError(
            "the endpoint of the state is plain http on another machine, where everyone on the way can read and change the "
            f"state; write https://…, or set {allow_variable}=true if that network is yours alone",
            key=variable,
        )


def _aws_credentials(environ: Mapping[str, str]) -> Any:
    """Return botocore's credentials for obstore, or None to leave it to obstore's own chain."""
    import boto3
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        session = boto3.session.Session()
        if session.get_credentials() is None:
            return None
        provider = Boto3CredentialProvider(session)
        provider()  # now, because obstore says of what is raised later only that it was refused
    except Exception as error:  # noqa: BLE001 - whatever is wrong in the environment is no bug of ours
        raise aws_problem(error, environ, what="the state") from None
    return provider
