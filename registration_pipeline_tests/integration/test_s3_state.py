"""The state in a bucket behind a real HTTP endpoint: what goes wrong there, and what the texts say."""

from __future__ import annotations

import os
import socket
import traceback
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import MemoryStore

from registration_pipeline.errors import (
    ConfigurationError,
    CredentialsError,
    StateConflictError,
    StateError,
    StateNotFoundError,
)
from registration_pipeline.state import bucket as bucket_module
from registration_pipeline.state.bucket import BucketStateStore, open_bucket_state_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registration_pipeline_tests.conftest import S3Bucket

pytestmark = pytest.mark.slow


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_missing_bucket_is_not_mistaken_for_a_missing_file(aws_environment: str) -> None:
    store = open_bucket_state_store("s3://no-such-bucket/state")

    for act in (
        lambda: store.read("fleet/a"),
        lambda: store.create("fleet/a", b"x"),
        lambda: list(store.names("")),
        lambda: store.folders(""),
    ):
        with pytest.raises(StateError, match=r"no-such-bucket|NoSuchBucket") as caught:
            act()
        assert not isinstance(caught.value, StateNotFoundError)


def test_a_store_that_does_not_answer_is_a_state_error_without_secrets(
    monkeypatch: pytest.MonkeyPatch, aws_environment: str
) -> None:
    monkeypatch.setattr(bucket_module, "_RETRIES", {"max_retries": 1})
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASECRETID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecretkey")
    store = open_bucket_state_store("s3://bucket/state")

    with pytest.raises(StateError, match=r"did not serve s3://bucket/state/fleet/a .*AWS_ENDPOINT_URL") as caught:
        store.read("fleet/a")
    text = "".join(traceback.format_exception(caught.value))
    assert "verysecretkey" not in text
    assert "AKIASECRETID" not in text


def test_credentials_come_from_a_botocore_profile(
    s3_bucket: Callable[[], S3Bucket], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket = s3_bucket()
    (tmp_path / "credentials").write_text("[mine]\naws_access_key_id = a\naws_secret_access_key = b\n")
    (tmp_path / "config").write_text("[profile mine]\nregion = eu-west-2\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    store = open_bucket_state_store(f"s3://{bucket.name}/state")

    store.create("fleet/a", b"x")

    assert bucket.client.get_object(Bucket=bucket.name, Key="state/fleet/a")["Body"].read() == b"x"


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("none", (ConfigurationError, "AWS_PROFILE names a profile that is not on this machine")),
        ("broken", (CredentialsError, "CredentialRetrievalError.*Log in again")),
    ],
    ids=["no such profile", "no credentials behind it"],
)
def test_a_profile_without_credentials_says_what_to_do(
    aws_environment: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    profile: str,
    expected: tuple[type[Exception], str],
) -> None:
    (tmp_path / "config").write_text("[profile broken]\ncredential_process = false\n")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_PROFILE", profile)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    with pytest.raises(expected[0], match=expected[1]):
        open_bucket_state_store("s3://bucket/state")


def test_the_region_variable_wins_over_the_profile(
    aws_environment: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[profile mine]\nregion = us-west-1\n")
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_REGION", "eu-west-2")

    store: Any = open_bucket_state_store("s3://bucket/state")._store

    assert store.config["region"] == "eu-west-2"


def test_a_long_file_goes_up_in_parts_and_still_conflicts(
    s3_bucket: Callable[[], S3Bucket], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bucket_module, "CONDITIONAL_UPLOAD_BYTES", 1 << 20)
    store = open_bucket_state_store(f"s3://{s3_bucket().name}/state")
    data = os.urandom(6 << 20)
    (tmp_path / "long").write_bytes(data)

    store.create_from_file("fleet/long", tmp_path / "long")

    assert store.read("fleet/long") == data
    with pytest.raises(StateConflictError):
        store.create_from_file("fleet/long", tmp_path / "long")


def test_trouble_while_parquet_is_read_keeps_its_own_class(tmp_path: Path) -> None:
    pq.write_table(pa.table({"key": [str(index) * 20 for index in range(200_000)]}), tmp_path / "t.parquet")
    bucket = MemoryStore()
    BucketStateStore(bucket, "memory://state").create_from_file("t.parquet", tmp_path / "t.parquet")
    store = BucketStateStore(bucket, "memory://state")  # of another process: what it wrote itself it has in memory

    with store.open("t.parquet") as file:
        parquet = pq.ParquetFile(file)
        store.delete("t.parquet")
        with pytest.raises(StateNotFoundError, match=r"t\.parquet"):
            parquet.read()
