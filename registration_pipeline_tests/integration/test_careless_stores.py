"""A state is begun only in a store that creates each name once; ``check`` says so before."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from obstore.store import AzureStore, GCSStore, MemoryStore

from registration_pipeline.errors import ConfigurationError, StateError
from registration_pipeline.state import bucket as bucket_module
from registration_pipeline.state.bucket import BucketStateStore, open_bucket_state_store
from registration_pipeline.state.trial import try_writing
from registration_pipeline.state.version import ensure_layout, require_layout
from registration_pipeline_tests.in_process import run_here
from registration_pipeline_tests.integration.careless_store import Care, CarelessStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registration_pipeline_tests.conftest import S3Bucket

pytestmark = pytest.mark.slow

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PLAIN: Any = {"allow_http": True}
QUICK: Any = {"max_retries": 1, "retry_timeout": timedelta(seconds=5)}


@pytest.fixture(params=["s3", "gs", "az"])
def store_of(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, aws_environment: str
) -> Iterator[Callable[[Care], BucketStateStore]]:
    """Open a state in a store of that care, in the words of each provider."""
    servers: list[CarelessStore] = []
    monkeypatch.setattr(bucket_module, "_RETRIES", QUICK)

    def make(care: Care) -> BucketStateStore:
        server = CarelessStore(care)
        servers.append(server)
        if request.param == "s3":
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
            return open_bucket_state_store("s3://bucket/state")
        if request.param == "gs":
            account = (
                f'{{"gcs_base_url": "{server.url}", "disable_oauth": true, "client_email": "", "private_key": "", '
            )
            account += '"private_key_id": ""}'
            google = GCSStore(
                "bucket",
                prefix="state",
                config={"service_account_key": account},
                client_options=PLAIN,
                retry_config=QUICK,
            )
            return BucketStateStore(google, "gs://bucket/state")
        config: Any = {
            "account_name": "account",
            "account_key": base64.b64encode(b"key").decode(),
            "endpoint": server.url,
        }
        azure = AzureStore("container", prefix="state", config=config, client_options=PLAIN, retry_config=QUICK)
        return BucketStateStore(azure, "az://container@account/state")

    yield make
    for server in servers:
        server.close()


def test_a_state_is_begun_where_each_name_is_created_once(store_of: Callable[[Care], BucketStateStore]):
    store = store_of(Care.HONOURS)

    ensure_layout(store, "fleet", NOON)

    assert require_layout(store, "fleet")


CARELESS = [
    pytest.param(Care.IGNORES, "created the same file 5 times", id="ignores the condition"),
    pytest.param(Care.CHECKS_FIRST, r"created the same file \d+ times", id="checks first and writes later"),
    pytest.param(Care.ACCEPTS_SILENTLY, "created the same file 5 times", id="calls every write a success"),
    pytest.param(Care.REFUSES, "does not know writes that are made only if", id="does not know the condition"),
]


@pytest.mark.parametrize(("care", "problem"), CARELESS)
def test_a_state_is_not_begun_elsewhere(store_of: Callable[[Care], BucketStateStore], care: Care, problem: str):
    store = store_of(care)

    with pytest.raises(ConfigurationError, match=problem) as caught:
        ensure_layout(store, "fleet", NOON)

    assert str(caught.value).startswith("state: ")
    assert "register every object twice" in str(caught.value)
    assert not store.exists("fleet/state.json")


@pytest.mark.usefixtures("aws_environment")
def test_check_says_what_is_wrong_with_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    server = CarelessStore(Care.IGNORES)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    config = tmp_path / "registration.yaml"
    source = {"uri": tmp_path.as_uri(), "encord": {"folder": "fleet"}}
    config.write_text(yaml.safe_dump({"state": "s3://bucket/state", "sources": {"fleet": source}}))
    command = [sys.executable, "-m", "registration_pipeline", "check", "--config", str(config)]

    environment = os.environ | {"ENCORD_SSH_KEY": "", "DAGSTER_HOME": str(tmp_path)}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    server.close()

    line = next(line for line in found.stdout.splitlines() if line.startswith("fleet: state: "))
    assert line.startswith("fleet: state: problem: state: the store at s3://bucket/state created the same file 5 times")


@pytest.mark.usefixtures("aws_environment")
def test_check_and_verify_notice_a_store_whose_listing_is_always_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = CarelessStore(Care.HONOURS)
    for name, value in {"AWS_ENDPOINT_URL": server.url, "ENCORD_SSH_KEY": "", "DAGSTER_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    source = {"uri": tmp_path.as_uri(), "encord": {"folder": "fleet"}}
    (tmp_path / "registration.yaml").write_text(
        yaml.safe_dump({"state": "s3://bucket/state", "sources": {"fleet": source}})
    )

    checked = run_here(tmp_path, "check")
    unused = run_here(tmp_path, "state", "fleet", "--verify")
    ensure_layout(open_bucket_state_store("s3://bucket/state"), "fleet", NOON)
    used = run_here(tmp_path, "state", "fleet", "--verify")
    server.close()

    line = next(line for line in checked.out.splitlines() if line.startswith("fleet: state: "))
    assert checked.status == 4
    assert re.search(
        r"problem: s3://bucket/state/_probe/\S+ was written and can be read, and the store does not list", line
    )
    assert unused.status == 0
    assert "fleet: nothing is stored at s3://bucket/state/fleet/, so nothing was verified." in " ".join(
        unused.out.split()
    )
    assert used.status == 4
    assert "state.json is there, but a listing of its folder left it out: the listing is broken" in " ".join(
        used.out.split()
    )
    assert "1 file of the state of source fleet at s3://bucket/state/fleet/ is not listed" in used.err


class WithoutFolders(BucketStateStore):
    """A bucket that answers listings with a delimiter with nothing, and all others rightly."""

    def folders(self, _prefix: str) -> list[str]:
        return []


def test_a_store_that_lists_no_folders_is_noticed() -> None:
    there = MemoryStore()
    try_writing(BucketStateStore(there, "memory://state"))

    with pytest.raises(StateError, match="the store does not list it"):
        try_writing(WithoutFolders(there, "memory://state"))

    assert list(BucketStateStore(there, "memory://state").names("")) == []


def test_a_store_that_honours_conditions_is_left_as_it_was(s3_bucket: Callable[[], S3Bucket]):
    bucket = s3_bucket()
    store = open_bucket_state_store(f"s3://{bucket.name}/state")

    store.require_exclusive_create()

    assert list(store.names("")) == []
