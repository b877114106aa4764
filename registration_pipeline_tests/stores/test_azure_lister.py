"""Azure's listing: every column, its order, many pages, directories, and what becomes of its refusals."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import (
    ConfigurationError,
    CredentialsError,
    HaltError,
    ListingError,
    NotFoundError,
    PermissionDeniedError,
    ServiceUnavailableError,
)
from registration_pipeline.inventory.azure.lister import AzureLister
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.project.clients.azure import open_container
from registration_pipeline.project.clients.listers import make_lister
from registration_pipeline.settings import SourceSettings, StorageSettings
from registration_pipeline_tests.answers import saying, server
from registration_pipeline_tests.stores.azure_imitation import XML, blob, hierarchical, page
from registration_pipeline_tests.stores.processes import AZURITE_ACCOUNT, AZURITE_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline_tests.stores.hostile_stores import Store

pytestmark = pytest.mark.slow

OTHER_KEY = "c2VjcmV0c2VjcmV0"


def lister_at(endpoint: str, environ: Mapping[str, str] | None = None, **options: Any) -> AzureLister:
    client = open_container("account1", "box", endpoint, environ or {}, retries=0)
    return AzureLister(client, "account1", source="fleet", **options)


def listed(lister: Any) -> list[dict[str, Any]]:
    return [row for batch in lister.list_objects() for row in batch.to_pylist()]


def source_of(store: Store, container: str, prefix: str = "") -> SourceSettings:
    uri = store.uri.format(bucket=container) + prefix
    return SourceSettings(name="fleet", uri=uri, storage=StorageSettings(endpoint_url=store.endpoint_url))


@pytest.fixture
def azure(azurite_store: Store, clean_environment: pytest.MonkeyPatch) -> Store:
    clean_environment.setenv("AZURE_STORAGE_KEY", AZURITE_KEY)
    return azurite_store


def container_of(store: Store) -> tuple[str, Any]:
    """Return a new container and the provider's client of it."""
    name, _ = store.bucket()
    return name, open_container(AZURITE_ACCOUNT, name, store.endpoint_url, store.environ)


def test_every_column_is_what_the_store_says(azure: Store) -> None:
    from azure.storage.blob import ContentSettings, StandardBlobTier

    name, client = container_of(azure)
    put = client.upload_blob(
        "caf\u00e9.jpg",
        b"12345",
        content_settings=ContentSettings(content_type="image/jpeg"),
        standard_blob_tier=StandardBlobTier.COOL,
    )
    lister = make_lister(source_of(azure, name, "caf"))

    [batch] = lister.list_objects()
    [row] = batch.to_pylist()

    assert batch.schema.equals(INVENTORY_SCHEMA)
    assert abs(row.pop("last_modified") - datetime.now(UTC)) < timedelta(minutes=5)
    assert row == {
        "key": "caf\u00e9.jpg",
        "size": 5,
        "e_tag": put.get_blob_properties().etag.strip('"'),
        "storage_class": "Cool",
        "content_type": "image/jpeg",
        "version": None,
    }
    assert lister.requests == 1
    assert lister.description == f"az://{name}@{AZURITE_ACCOUNT}/caf via List Blobs"


def test_azurite_orders_names_by_utf16_and_the_lister_by_utf8(azure: Store) -> None:
    """What the lister puts right is really there; if Azurite changes, the decision wants another check."""
    name, client = container_of(azure)
    keys = ["a/\U00010000", "a/\uff21", "a/\uffee", "a/\U0001f600/x", "a0", "\ue000"]
    for key in keys:
        client.upload_blob(key, b"x")

    assert [found.name for found in client.list_blobs()] == sorted(keys, key=lambda key: key.encode("utf-16-be"))
    assert [row["key"] for row in listed(make_lister(source_of(azure, name)))] == sorted(keys, key=str.encode)


@pytest.mark.parametrize("page_size", [1, 2, 5, 5000])
def test_pages_of_any_size_make_the_same_listing(azure: Store, page_size: int) -> None:
    name, client = container_of(azure)
    keys = ["a", "b/\U0001f600", "b/\uff21", "c", "d"]
    for key in keys:
        client.upload_blob(key, b"x")
    lister = AzureLister(client, AZURITE_ACCOUNT, page_size=page_size, concurrency=1)

    assert [row["key"] for row in listed(lister)] == sorted(keys)
    assert lister.requests == -(-len(keys) // page_size)
    assert name in lister.description
    assert [row["key"] for row in listed(AzureLister(client, AZURITE_ACCOUNT, page_size=page_size))] == sorted(keys)


# A name is a file or a folder, never both; "a" is a folder here, and names go on from it on both sides of the slash.
TREE = {
    *("!first", "a-b", "a.txt", "a/x", "a/x-y", "a/dir/1", "a/dir-2", "a0", "a-c/1", "b/\U0001f600/1", "b/\uff21/1"),
    *("b/\U0001f600-1", "c", "\uff21", "\U00010000", "raw/cam1/a", "raw/cam1-b", "raw/camera", "z/y/x/w/v"),
}


@pytest.mark.parametrize("page_size", [1, 2, 3, 5000])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "raw/cam", "none"])
def test_a_hierarchical_namespace_is_listed_in_the_order_of_keys_without_its_directories(
    page_size: int, prefix: str
) -> None:
    with server(hierarchical(TREE)) as endpoint:
        client = open_container("account1", "box", endpoint, {}, retries=0)
        lister = AzureLister(client, "account1", prefix, page_size=page_size)
        keys = [row["key"] for row in listed(lister)]

    assert keys == sorted(key for key in TREE if key.startswith(prefix))


def test_the_imitation_of_a_hierarchical_namespace_lists_like_a_real_one() -> None:
    """The listing of a real account, as azure-sdk-for-go's issue 24210 shows it, is what the server above says too."""
    files = {"Path A/dat1", "Path A-B/dat2", "Path A-B-C", "Path A-C", "Path A.C/dat3", "Path AB/AB", "Path AB/dat4"}
    files |= {"Path AB.txt", "Path ABC"}
    _, body, _ = hierarchical(files)({"maxresults": "5000"})

    assert re.findall("<Name>(.*?)</Name>", body) == [
        *("Path A", "Path A/dat1", "Path A-B", "Path A-B/dat2", "Path A-B-C", "Path A-C", "Path A.C", "Path A.C/dat3"),
        *("Path AB", "Path AB/AB", "Path AB/dat4", "Path AB.txt", "Path ABC"),
    ]


def test_a_folder_is_known_by_its_metadata_in_any_case_and_only_if_they_say_true() -> None:
    capital = blob("Raw", metadata="<Hdi_isfolder>true</Hdi_isfolder>")
    by_type = blob("Typed").replace("<BlobType>", "<ResourceType>directory</ResourceType><BlobType>")
    no_folder = blob("raw/not", metadata="<hdi_isfolder>false</hdi_isfolder>")
    with saying(200, page(capital, by_type, blob("raw/a.jpg"), no_folder), XML) as endpoint:
        rows = listed(lister_at(endpoint))

    assert [row["key"] for row in rows] == ["raw/a.jpg", "raw/not"]
    assert (rows[0]["storage_class"], rows[0]["last_modified"]) == ("Archive", datetime(2026, 11, 21, 2, tzinfo=UTC))


def test_encoded_names_are_decoded_and_version_ids_kept() -> None:
    encoded = blob("a%EF%BF%BF%252F+", encoded=' Encoded="true"', more="<VersionId>2026-11-21T02:00:00Z</VersionId>")
    with saying(200, page(encoded), XML) as endpoint:
        [row] = listed(lister_at(endpoint))

    assert (row["key"], row["version"]) == ("a\uffff%2F+", "2026-11-21T02:00:00Z")


def test_a_page_without_blobs_is_not_the_end() -> None:
    pages = {None: page(marker="2!+/=%25"), "2!+/=%25": page(blob("a"), marker="3"), "3": page()}
    with server(lambda query: (200, pages[query.get("marker")], XML)) as endpoint:
        lister = lister_at(endpoint)

        assert [row["key"] for row in listed(lister)] == ["a"]
        assert lister.requests == 3


@pytest.mark.parametrize(
    ("status", "code", "error", "words"),
    [
        (404, "ContainerNotFound", NotFoundError, r"no container box of account account1.*sources\.fleet\.uri"),
        (403, "AuthenticationFailed", CredentialsError, r"AZURE_STORAGE_CONNECTION_STRING.*az login"),
        (401, "NoAuthenticationInformation", CredentialsError, r"AZURE_STORAGE_KEY"),
        (
            403,
            "AuthorizationPermissionMismatch",
            PermissionDeniedError,
            r"blobs/read.*Storage Blob Data Reader.*account1",
        ),
        (403, "AuthorizationFailure", PermissionDeniedError, r"AuthorizationFailure.*firewall"),
        (409, "ContainerBeingDeleted", NotFoundError, r"ContainerBeingDeleted"),
        (503, "ServerBusy", ServiceUnavailableError, r"ServerBusy\), after retries"),
        (500, "InternalError", ServiceUnavailableError, r"Run again later"),
        (400, "InvalidQueryParameterValue", ListingError, r"InvalidQueryParameterValue.*sources\.fleet\.storage"),
        (400, "SomethingNew", ListingError, r"SomethingNew.*sources\.fleet\.storage"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isalpha() else None,
)
def test_a_refusal_becomes_an_error_that_names_the_setting(
    status: int, code: str, error: type[HaltError], words: str
) -> None:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>signed with sig=abc</Message></Error>"
    headers = {**XML, "x-ms-error-code": code}
    with saying(status, body, headers) as endpoint, pytest.raises(error, match=words) as caught:
        listed(lister_at(endpoint, {"AZURE_STORAGE_KEY": OTHER_KEY}))

    assert caught.value.__cause__ is None
    assert "sig=" not in str(caught.value)
    assert OTHER_KEY not in str(caught.value)


def test_a_wrong_key_and_a_wrong_container_on_azurite(azure: Store) -> None:
    wrong = open_container(AZURITE_ACCOUNT, "box", azure.endpoint_url, {"AZURE_STORAGE_KEY": OTHER_KEY})

    # Azure says AuthenticationFailed; Azurite has its own word for it, which also stands for a firewall's refusal.
    with pytest.raises(PermissionDeniedError, match="AuthorizationFailure"):
        listed(AzureLister(wrong, AZURITE_ACCOUNT))
    with pytest.raises(NotFoundError, match=r"no container nothing-there .*ContainerNotFound"):
        listed(make_lister(source_of(azure, "nothing-there")))


def test_without_credentials_an_emulator_is_asked_anonymously(
    azure: Store, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.delenv("AZURE_STORAGE_KEY")
    name, client = container_of(azure)
    client.upload_blob("a", b"x")

    # Azurite says that there is no such container, as Azure does to users without access.
    with pytest.raises(HaltError, match=f"container {name}"):
        listed(make_lister(source_of(azure, name)))
    client.set_container_access_policy(signed_identifiers={}, public_access="container")
    assert [row["key"] for row in listed(make_lister(source_of(azure, name)))] == ["a"]


@pytest.mark.parametrize(
    "variable", ["AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN"]
)
def test_credentials_are_taken_from_where_azures_own_tools_take_them(
    azure: Store, clean_environment: pytest.MonkeyPatch, variable: str
) -> None:
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    name, client = container_of(azure)
    client.upload_blob("a", b"x")
    sas = generate_container_sas(
        AZURITE_ACCOUNT,
        name,
        account_key=AZURITE_KEY,
        permission=ContainerSasPermissions(list=True, read=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    values = {
        "AZURE_STORAGE_CONNECTION_STRING": (
            f"AccountName={AZURITE_ACCOUNT};AccountKey={AZURITE_KEY};BlobEndpoint={azure.endpoint_url}"
        ),
        "AZURE_STORAGE_ACCOUNT_KEY": AZURITE_KEY,
        "AZURE_STORAGE_SAS_TOKEN": f"?{sas}",
    }
    clean_environment.delenv("AZURE_STORAGE_KEY")
    clean_environment.setenv(variable, values[variable])
    source = source_of(azure, name)
    if (
        variable == "AZURE_STORAGE_CONNECTION_STRING"
    ):  # it also says where Azure is, which is not where the URLs would lead
        with pytest.raises(ConfigurationError, match=r"storage\.endpoint_url: .*AZURE_STORAGE_CONNECTION_STRING"):
            make_lister(SourceSettings(name="fleet", uri=source.uri))

    assert [row["key"] for row in listed(make_lister(source))] == ["a"]


def test_a_malformed_key_is_said_and_not_shown(clean_environment: pytest.MonkeyPatch) -> None:
    clean_environment.setenv("AZURE_STORAGE_KEY", "not-base64-secret")
    source = SourceSettings(
        name="fleet", uri="az://box@account1/", storage=StorageSettings(endpoint_url="http://127.0.0.1:9")
    )

    with pytest.raises(CredentialsError) as caught:
        listed(make_lister(source))

    assert "not-base64-secret" not in str(caught.value)


def test_an_endpoint_that_does_not_listen_is_unavailable() -> None:
    with saying(200, "") as endpoint:
        pass

    with pytest.raises(ServiceUnavailableError, match=r"ServiceRequestError.*sources\.fleet\.storage\.endpoint_url"):
        listed(lister_at(endpoint))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("<html>hello & goodbye", {"Content-Type": "text/html"}),
        ("<html>hello</html>", {"Content-Type": "text/html"}),
        ("<html>hello</html>", XML),
        ("<ListBucketResult><Name>bucket</Name></ListBucketResult>", XML),
        ("", XML),
        ("{}", {"Content-Type": "application/json"}),
    ],
    ids=["broken page", "page", "page that says it is XML", "S3", "nothing", "JSON"],
)
def test_something_that_is_not_azure_is_not_mistaken_for_an_empty_container(body: str, headers: dict[str, str]) -> None:
    with saying(200, body, headers) as endpoint, pytest.raises(HaltError, match=r"sources\.fleet\.storage\.endpoint"):
        listed(lister_at(endpoint))


def test_a_blob_without_size_is_refused() -> None:
    body = page(blob("a").replace("<Content-Length>5</Content-Length>", ""))
    with saying(200, body, XML) as endpoint, pytest.raises(ListingError, match=r"'a' without Content-Length"):
        listed(lister_at(endpoint))


def test_a_listing_that_goes_round_in_circles_ends() -> None:
    with (
        saying(200, page(blob("a"), marker="same"), XML) as endpoint,
        pytest.raises(ListingError, match="does not end"),
    ):
        listed(lister_at(endpoint))
