"""Storage resources that a code location is given list its sources; without them, clients of the settings do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from registration_pipeline.inventory.inventory import latest_inventory
from registration_pipeline.orchestration.definitions import build_definitions
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.storage.clients import ResourceClients
from registration_pipeline.orchestration.storage.s3 import ListingS3Resource
from registration_pipeline.project.clients.stores import SettingsClients
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registration_pipeline_tests.conftest import S3Bucket

UNREACHABLE = "http://127.0.0.1:9"
OWN = SourceNames("fleet")


@pytest.fixture
def bucket(s3_bucket: Callable[[], S3Bucket], monkeypatch: pytest.MonkeyPatch) -> S3Bucket:
    """A bucket with one object, which the environment leads nobody to."""
    made = s3_bucket()
    made.client.put_object(Bucket=made.name, Key="raw/a.jpg", Body=b"12345")
    monkeypatch.setenv("AWS_ENDPOINT_URL", UNREACHABLE)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    return made


def config_of(folder: Path, bucket: S3Bucket, endpoint_url: str | None = None) -> Path:
    config = folder / "registration.yaml"
    config.write_text(
        f"state: {folder / 'state'}\nsources:\n  fleet:\n    uri: s3://{bucket.name}/\n"
        f"    storage: {{region: eu-west-2, endpoint_url: {endpoint_url or 'null'}}}\n    encord: {{integration: sandbox}}\n"
    )
    return config


def list_source(config: Path, resources: dict[str, dg.ConfigurableResource[object]]) -> dg.ExecuteInProcessResult:
    definitions = build_definitions(load_settings(config, {}), resources=resources)
    with dg.DagsterInstance.ephemeral() as instance:
        return definitions.get_job_def(OWN.inventory_job).execute_in_process(instance=instance, raise_on_error=False)


@pytest.mark.parametrize("resource_class", [S3Resource, ListingS3Resource], ids=["dagster-aws", "for listings"])
def test_an_s3_resource_lists_the_source(
    resource_class: type[S3Resource], bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path, bucket, bucket.endpoint_url)
    monkeypatch.setenv("SECRET_OF_THE_HOST", "testing")

    ran = list_source(
        config,
        {
            "s3": resource_class(
                endpoint_url=bucket.endpoint_url,
                region_name="eu-west-2",
                aws_access_key_id="testing",
                aws_secret_access_key=dg.EnvVar("SECRET_OF_THE_HOST"),
            )
        },
    )

    assert ran.success
    inventory = latest_inventory(Project.load(config, {}).store, "fleet")
    assert inventory is not None
    assert (inventory.objects, inventory.bytes) == (1, 5)


def test_without_a_resource_the_settings_and_the_environment_count(bucket: S3Bucket, tmp_path: Path) -> None:
    assert not list_source(config_of(tmp_path, bucket), {}).success


def test_a_resource_at_another_store_than_the_urls_is_refused(bucket: S3Bucket, tmp_path: Path) -> None:
    resource = S3Resource(endpoint_url=bucket.endpoint_url, region_name="eu-west-2")

    ran = list_source(config_of(tmp_path, bucket), {"s3": resource})

    assert not ran.success
    said = str(ran.get_step_failure_events()[0].step_failure_data.user_failure_data)
    for part in (bucket.endpoint_url, "resource `s3`", "sources.fleet.storage.endpoint_url", "lead to Amazon S3"):
        assert part in said
    assert latest_inventory(Project.load(tmp_path / "registration.yaml", {}).store, "fleet") is None


def test_other_resources_stay_in_the_code_location(bucket: S3Bucket, tmp_path: Path) -> None:
    s3, other = S3Resource(region_name="eu-west-2"), S3Resource(region_name="eu-west-1")

    definitions = build_definitions(
        load_settings(config_of(tmp_path, bucket), {}), resources={"s3": s3, "other": other}
    )

    assert definitions.resources is not None
    assert definitions.resources.keys() == {"s3", "other", "registration_project_fleet"}


def test_a_source_in_another_store_than_the_resource_keeps_its_own_client(aws_environment: str) -> None:
    del aws_environment
    clients = ResourceClients(SettingsClients({}), s3=S3Resource(endpoint_url=UNREACHABLE))
    obs = SourceSettings.model_validate({"name": "fleet", "uri": "obs://bucket/", "storage": {"region": "eu-de"}})

    assert clients.s3(obs).meta.endpoint_url == "https://obs.eu-de.otc.t-systems.com"
