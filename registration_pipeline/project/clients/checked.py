"""Clients that list a source where its URLs lead to, or are refused; and what fails while they are made, by name.

Every lister gets its client through here, whatever made it: settings, or resources of a code location (decision 027).
What does not belong here: making clients (``stores.py``), and what requests raise (``inventory/``).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from registration_pipeline.errors import ConfigurationError, RegistrationPipelineError
from registration_pipeline.project.clients.problems import azure_problem, google_problem
from registration_pipeline.settings.addresses import SourceScheme
from registration_pipeline.settings.aws_problems import aws_problem, endpoint_setting
from registration_pipeline.settings.endpoints import amazon_endpoint, azure_endpoint, store_at
from registration_pipeline.settings.models import UrlStyle
from registration_pipeline.urls import stores_of_urls

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient
    from google.cloud.storage import Client as GCSClient
    from mypy_boto3_s3 import S3Client

    from registration_pipeline.project.clients.stores import StoreClients
    from registration_pipeline.settings import SourceSettings

_GOOGLE_VARIABLES = ("STORAGE_EMULATOR_HOST", "API_ENDPOINT_OVERRIDE", "GOOGLE_CLOUD_UNIVERSE_DOMAIN")
_PAYER_HEADER = "x-amz-request-payer"


class CheckedClients:
    """``StoreClients`` that lead to the store of the source's URLs.

    Args:
        clients: make them.
        environ: the environment, for the variable to name in errors.
        has_urls: False for buckets whose objects are not registered, such as tables': those may be anywhere.
    """

    def __init__(self, clients: "StoreClients", environ: Mapping[str, str], *, has_urls: bool = True) -> None:
        self._clients, self._environ, self._has_urls = clients, environ, has_urls

    @classmethod
    def of(cls, clients: "StoreClients", environ: Mapping[str, str]) -> "CheckedClients":
        """Return clients that are checked once: those that were given if they are checked already, as they are."""
        return clients if isinstance(clients, CheckedClients) else cls(clients, environ)

    def s3(self, source: "SourceSettings") -> "S3Client":
        """See ``StoreClients.s3``.

        Raises:
            ConfigurationError: the configuration of AWS is wrong, or leads to another store than the URLs.
            CredentialsError: the credentials can't be had.
        """
        storage = source.storage
        with _made(lambda error: self._aws_problem(error, source)):
            client = self._clients.s3(source)
        diverted_by = "the resource `s3` of the code location"
        if storage.endpoint_url is None and source.location.scheme is SourceScheme.S3:
            diverted_by = f"{endpoint_setting(self._environ, storage.profile)} (or {diverted_by})"
        self._require_same_store(source, client.meta.endpoint_url, diverted_by)
        if storage.requester_pays:
            client.meta.events.register("before-call.s3", _say_who_pays)
        if (
            self._has_urls
            and storage.region
            and storage.endpoint_url is None
            and source.url_style in {UrlStyle.VIRTUAL_HOSTED, UrlStyle.PATH}
        ):
            client.meta.events.register("after-call.s3", _RegionOfUrls(source))
        return client

    def gcs(self, source: "SourceSettings") -> "GCSClient":
        """See ``StoreClients.gcs``.

        Raises:
            ConfigurationError: the environment leads to another store than the URLs.
            CredentialsError: the credentials can't be had.
        """
        with _made(lambda error: google_problem(error, source, self._environ)):
            client = self._clients.gcs(source)
        diverted_by = " or ".join(
            [
                *(name for name in _GOOGLE_VARIABLES if self._environ.get(name)),
                "the resource `gcs` of the code location",
            ]
        )
        self._require_same_store(source, str(client.api_endpoint), diverted_by)
        return client

    def azure(self, source: "SourceSettings") -> "ContainerClient":
        """See ``StoreClients.azure``.

        Raises:
            ConfigurationError: the environment leads to another store than the URLs.
            CredentialsError: the credentials can't be had.
        """
        with _made(lambda error: azure_problem(error, source, self._environ)):
            client = self._clients.azure(source)
        listed = client.url.partition("?")[0].removesuffix(f"/{quote(source.location.bucket)}")
        variable = "AZURE_STORAGE_CONNECTION_STRING (BlobEndpoint or EndpointSuffix)"
        resource = "the resource `azure` of the code location"
        diverted_by = f"{variable} or {resource}" if self._environ.get(variable.partition(" ")[0]) else resource
        self._require_same_store(source, listed, diverted_by)
        return client

    def _require_same_store(self, source: "SourceSettings", listed: str, diverted_by: str) -> None:
        if self._has_urls:
            _require_same_store(source, listed, diverted_by)

    def _aws_problem(self, error: Exception, source: "SourceSettings") -> RegistrationPipelineError:
        return aws_problem(
            error,
            self._environ,
            what=f"bucket {source.location.bucket} of source {source.name}",
            profile=source.storage.profile,
            profile_key=f"sources.{source.name}.storage.profile",
        )


@contextmanager
def _made(problem: Callable[[Exception], RegistrationPipelineError]) -> Iterator[None]:
    """Translate whatever a provider's library raises while it makes a client: none of it is a bug of ours."""
    try:
        yield
    except (RegistrationPipelineError, ModuleNotFoundError):
        raise
    except Exception as error:  # noqa: BLE001 - see above
        raise problem(error) from None


def _require_same_store(source: "SourceSettings", listed: str, diverted_by: str) -> None:
    """Refuse a client that lists another store than the URLs lead to.

    Raises:
        ConfigurationError: names both settings, and the two ways out.
    """
    stores = stores_of_urls(source)
    if store_at(source.location, listed) in stores:
        return
    shown = _without_secrets(listed)
    raise ConfigurationError(
        f"the source would be listed at {shown}, as {diverted_by} says, but its URLs (url_style {source.url_style}) lead to "
        f"{' or '.join(sorted(stores))}. If the objects are at {shown}, set storage.endpoint_url to it and url_style to path; "
        f"else {_way_back(source)}",
        key=f"sources.{source.name}.storage.endpoint_url",
    )


def _way_back(source: "SourceSettings") -> str:
    """Return how the source is listed where its URLs lead to, although the environment says something else."""
    storage, style = source.storage, source.url_style
    if source.location.scheme is SourceScheme.AZ:
        own: str | None = azure_endpoint(source.location.account)
    elif source.location.scheme is SourceScheme.GS:
        own = "https://storage.googleapis.com"
    else:
        own = amazon_endpoint(storage.region) if storage.region else None
    if storage.endpoint_url is not None or own is None:
        return "take that setting away"
    return f"take that setting away, or set storage.endpoint_url to {own} and url_style to {style}"


def _without_secrets(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _say_who_pays(params: dict[str, Any], **_: object) -> None:
    """Handle botocore's event before a request of any kind is signed."""
    params["headers"][_PAYER_HEADER] = "requester"


class _RegionOfUrls:
    """Handles botocore's event after each answer: a bucket in another region than its URLs name is refused.

    botocore follows S3 to the right region by itself, so the listing alone would never show it.
    """

    def __init__(self, source: "SourceSettings") -> None:
        self._source = source

    def __call__(self, http_response: Any, parsed: Mapping[str, Any], **_: object) -> None:
        found, wanted = http_response.headers.get("x-amz-bucket-region"), self._source.storage.region
        if found and found != wanted and parsed.get("Name") == self._source.location.bucket:
            raise ConfigurationError(
                f"bucket {self._source.location.bucket} is in region {found}, but its URLs would name {wanted}; set it to "
                f"{found}",
                key=f"sources.{self._source.name}.storage.region",
            )
