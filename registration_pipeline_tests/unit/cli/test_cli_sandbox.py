"""The ``sandbox`` command as a process: with ``--read`` and ``--open`` it reads how files begin."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.cli.sandbox import readers_for
from registration_pipeline.errors import UsageError
from registration_pipeline.sandbox.config import LocalObjects, S3Objects

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace


def started(workplace: Workplace, *options: str) -> subprocess.Popen[str]:
    arguments = ["sandbox", "--port", "0", "--admin-port", "0", "--data", "own", "--json", *options]
    return subprocess.Popen(
        [sys.executable, "-m", "registration_pipeline", *arguments],
        cwd=workplace.root,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "failed"), [((), 0), (("--read", "files"), 1), (("--open",), 1)], ids=["unread", "read", "open"]
)
def test_a_broken_file_fails_only_if_files_are_opened(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], failed: int
) -> None:
    workplace.put("broken.jpg", body=b"not an image")
    workplace.put("cut.jpg", body=b"\xff\xd8\xff\xe0, and no more of it")
    process = started(workplace, *options)
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "}\n")
        connection = json.loads("".join(lines) + "}")
        monkeypatch.setenv("ENCORD_DOMAIN", connection["domain"])
        monkeypatch.setenv("ENCORD_SSH_KEY_FILE", connection["ssh_key_file"])
        workplace.register()
    finally:
        process.terminate()
        process.communicate(timeout=30)

    numbers = workplace.run("status", "--json").document["sources"]["fleet-cameras"]
    assert (numbers["failed"], numbers["registered"]) == (failed, 2 - failed), "what is cut later is registered"


def test_a_directory_to_read_that_does_not_exist_is_refused(workplace: Workplace) -> None:
    said = workplace.run("sandbox", "--read", "missing")

    assert said.status == 2
    assert "--read missing is not a directory" in said.words


S3 = {"uri": "s3://fleet-bucket/raw/", "storage": {"endpoint_url": "http://127.0.0.1:9000", "region": "eu-west-2"}}


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")


def test_the_stores_of_the_sources_are_opened_with_the_credentials_of_the_machine(
    workplace: Workplace, credentials: None
) -> None:
    assert readers_for(workplace.config, directory=None, is_open=True) == (LocalObjects(),)
    workplace.configure(**S3)
    store = S3Objects(endpoint_url="http://127.0.0.1:9000", region="eu-west-2")
    assert readers_for(workplace.config, directory=None, is_open=True) == (store,)
    assert readers_for(workplace.config, directory=None, is_open=False) == ()


def test_without_a_configuration_files_and_the_endpoint_of_the_environment_are_opened(
    workplace: Workplace, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace.config.unlink()
    assert readers_for(None, directory=None, is_open=True) == (LocalObjects(),)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    opened = readers_for(None, directory=workplace.root / "files", is_open=True)
    assert opened == (LocalObjects(root=workplace.root / "files"), S3Objects(endpoint_url="http://127.0.0.1:9000"))


def test_a_store_without_credentials_is_refused_at_the_start(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(workplace.root / "nothing"))
    workplace.configure(**S3)
    with pytest.raises(
        UsageError, match=r"--open needs credentials for the store at http://127[.]0[.]0[.]1:9000: there"
    ):
        readers_for(workplace.config, directory=None, is_open=True)


def test_a_source_that_can_not_be_opened_is_named(
    workplace: Workplace, credentials: None, capsys: pytest.CaptureFixture[str]
) -> None:
    workplace.configure(uri="gs://fleet-bucket/raw/")
    assert readers_for(workplace.config, directory=None, is_open=True) == ()
    assert "source fleet-cameras are accepted unopened: the sandbox can't open gs://fleet-bucket/raw/" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_port_that_is_in_use_is_named(workplace: Workplace) -> None:
    port = int(workplace.sandbox.url.rpartition(":")[2])
    said = workplace.run("sandbox", "--port", str(port), "--data", "own")
    assert said.status == 2
    assert f"can't listen on 127.0.0.1:{port}: Address already in use; choose another port, or 0" in said.words
