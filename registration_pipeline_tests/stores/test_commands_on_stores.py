"""``check`` and ``sync`` as processes on buckets in Google's and Azure's emulators, up to the URLs in the sandbox."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.project.clients.listers import make_lister
from registration_pipeline.settings import SourceSettings
from registration_pipeline_tests.e2e.command_project import CommandProject, configure, open_sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline_tests.stores.hostile_stores import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KEYS = ["raw/a b.jpg", "raw/\u65e5\u672c/\U0001f600.jpg", "raw/\u65e5\u672c/\uff21.jpg", "other/c.jpg"]


@pytest.mark.parametrize("store", ["azurite", "gcs_emulator"], indirect=True)
def test_a_sync_registers_what_the_prefix_holds_and_check_says_that_it_can(
    store: Store, tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    name, bucket = store.bucket()
    for key in KEYS:
        bucket.put(key)
    configure(tmp_path, uri=store.uri.format(bucket=name) + "raw/", storage={"endpoint_url": store.endpoint_url})
    with open_sandbox(tmp_path, clean_environment, job_seconds=0.0) as sandbox:
        project = CommandProject(tmp_path, sandbox)

        check = project.finish(project.start("check"))
        sync = project.sync()

        assert (check.status, "readable" in check.said + check.out) == (0, True), check
        assert sync.status == 0, sync.said
        assert (sync.numbers["objects"], sync.numbers["registered"]) == (3, 3)
        written = {"a%20b.jpg", "%E6%97%A5%E6%9C%AC/%F0%9F%98%80.jpg", "%E6%97%A5%E6%9C%AC/%EF%BC%A1.jpg"}
        base = f"{store.endpoint_url}/{name}/"  # where it was listed, and not where the provider's own store is
        assert project.registered() == {f"{base}raw/{key}": 1 for key in written}


@pytest.mark.parametrize("store", ["azurite"], indirect=True)
def test_check_names_the_setting_when_there_is_no_such_bucket(
    store: Store, tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    configure(tmp_path, uri=store.uri.format(bucket="not-there"), storage={"endpoint_url": store.endpoint_url})
    with open_sandbox(tmp_path, clean_environment) as sandbox:
        project = CommandProject(tmp_path, sandbox)

        check = project.finish(project.start("check"))

    assert check.status == 4
    assert "not-there" in check.out + check.said
    assert "sources.fleet.uri" in "".join((check.out + check.said).split())


@pytest.mark.parametrize(
    ("uri", "library", "extra"),
    [("gs://bucket/", "google.auth.credentials", "gcs"), ("az://box@account1/", "azure.storage.blob", "azure")],
    ids=["gcs", "azure"],
)
def test_a_missing_library_is_an_error_that_names_the_extra(
    uri: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"registration_pipeline.project.clients.{extra}", raising=False)
    monkeypatch.setitem(sys.modules, library, None)  # what Python itself does to make an import fail

    with pytest.raises(
        ConfigurationError, match=rf"^sources\.fleet\.uri: .*{library}.*registration-pipeline\[{extra}\]"
    ):
        make_lister(SourceSettings(name="fleet", uri=uri))
