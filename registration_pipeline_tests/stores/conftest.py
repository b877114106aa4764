"""The four stores, each started once per session and only when a test asks for it; nothing of the user's own is seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from registration_pipeline_tests.stores.hostile_stores import Store, azure_store, gcs_store, s3_store
from registration_pipeline_tests.stores.processes import SWIFT_KEY, SWIFT_USER, azurite, gcs_emulator, swift

if TYPE_CHECKING:
    from collections.abc import Iterator


FOLDER: Final = Path(__file__).parent


@pytest.fixture(scope="session")
def moto_store(moto_server: str) -> Store:
    return s3_store("moto", moto_server, "testing", "testing")


@pytest.fixture(scope="session")
def swift_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with swift(tmp_path_factory.mktemp("swift")) as url:
        yield s3_store("swift", url, SWIFT_USER, SWIFT_KEY)


@pytest.fixture(scope="session")
def azurite_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with azurite(tmp_path_factory.mktemp("azurite")) as url:
        yield azure_store(url)


@pytest.fixture(scope="session")
def gcs_emulator_store() -> Iterator[Store]:
    with gcs_emulator() as url:
        yield gcs_store(url)


@pytest.fixture(params=["moto", "swift", "azurite", "gcs_emulator"])
def store(request: pytest.FixtureRequest, clean_environment: pytest.MonkeyPatch) -> Store:
    """Each store in turn, with what its client reads in the environment."""
    made: Store = request.getfixturevalue(f"{request.param}_store")
    for name, value in made.environ.items():
        clean_environment.setenv(name, value)
    return made


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> pytest.MonkeyPatch:
    """No credentials and no endpoints of the user's own, for one test."""
    for name in (
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AZURE_STORAGE_ACCOUNT",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_CONNECTION_STRING",
        "AZURE_STORAGE_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "STORAGE_EMULATOR_HOST",
    ):
        monkeypatch.delenv(name, raising=False)
    nothing = f"{tmp_path}/nothing"
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "CLOUDSDK_CONFIG"):
        monkeypatch.setenv(name, nothing)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    return monkeypatch
