"""dagster-gcp's and dagster-azure's resources list the sources of their store, those of another account excepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dagster_azure.blob import AzureBlobStorageKeyCredential

from registration_pipeline.orchestration.storage.azure import ListingAzureResource
from registration_pipeline.orchestration.storage.clients import ResourceClients
from registration_pipeline.orchestration.storage.gcs import ListingGCSResource
from registration_pipeline.project.clients.listers import make_lister
from registration_pipeline.project.clients.stores import SettingsClients
from registration_pipeline.settings import SourceSettings, StorageSettings
from registration_pipeline_tests.stores.processes import AZURITE_ACCOUNT, AZURITE_KEY

if TYPE_CHECKING:
    from registration_pipeline_tests.stores.hostile_stores import Store

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("clean_environment")]


def keys_of(source: SourceSettings, clients: ResourceClients) -> list[str]:
    return [key for batch in make_lister(source, clients).list_objects() for key in batch.column("key").to_pylist()]


def test_a_gcs_resource_lists_the_source(gcs_emulator_store: Store) -> None:
    name, bucket = gcs_emulator_store.bucket()
    bucket.put("a.jpg")
    clients = ResourceClients(SettingsClients({}), gcs=ListingGCSResource(endpoint_url=gcs_emulator_store.endpoint_url))

    source = SourceSettings(
        name="fleet", uri=f"gs://{name}/", storage=StorageSettings(endpoint_url=gcs_emulator_store.endpoint_url)
    )
    assert keys_of(source, clients) == ["a.jpg"]


def test_an_azure_resource_lists_the_source(azurite_store: Store) -> None:
    name, bucket = azurite_store.bucket()
    bucket.put("a.jpg")
    resource = ListingAzureResource(
        account=AZURITE_ACCOUNT,
        account_url=str(azurite_store.endpoint_url),
        credential=AzureBlobStorageKeyCredential(key=AZURITE_KEY),
    )
    clients = ResourceClients(SettingsClients({}), azure=resource)

    source = SourceSettings(
        name="fleet",
        uri=f"az://{name}@{AZURITE_ACCOUNT}/",
        storage=StorageSettings(endpoint_url=azurite_store.endpoint_url),
    )
    assert keys_of(source, clients) == ["a.jpg"]


@pytest.mark.parametrize(
    ("account", "host"),
    [("fleetmedia", "resource.example.com"), ("other", "other.blob.core.windows.net")],
    ids=["of the resource", "another"],
)
def test_an_azure_resource_is_for_its_own_account(account: str, host: str) -> None:
    resource = ListingAzureResource(
        account="fleetmedia",
        account_url="https://resource.example.com/fleetmedia",
        credential=AzureBlobStorageKeyCredential(key="c2VjcmV0"),
    )
    clients = ResourceClients(SettingsClients({"AZURE_STORAGE_KEY": "c2VjcmV0"}), azure=resource)
    source = SourceSettings(name="fleet", uri=f"az://box@{account}/")

    assert clients.azure(source).primary_hostname.partition("/")[0] == host
