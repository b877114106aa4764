"""Encord whose replies never end or hold gigabytes, from the sandbox: calls end in time, and nothing is doubled."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import AmbiguousError, NotFoundError, TransientError
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.faults.values import Effect, Fault, When
from registration_pipeline.sandbox.server import Sandbox
from registration_pipeline.submission.encord.gateway import EncordGateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECONDS = 2
LATE = 60


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        with Sandbox(SandboxConfig(data=tmp_path_factory.mktemp("encord"), job_seconds=0)) as running:
            yield running


@pytest.fixture
def gateway(sandbox: Sandbox) -> Iterator[EncordGateway]:
    yield EncordGateway(
        ssh_private_key=sandbox.private_key_path.read_text(), domain=sandbox.url, timeout_seconds=SECONDS
    )
    sandbox.clear_faults()


def the_manifest(folder: Path) -> Path:
    path = folder / "chunk.json"
    path.write_text(json.dumps({"images": [{"objectUrl": f"s3://b/{folder.name}.jpg"}]}))
    return path


READS: dict[Endpoint, Callable[[EncordGateway, str], object]] = {
    Endpoint.FOLDER_SUMMARY: lambda gateway, folder: gateway.count_items(folder),
    Endpoint.LIST_ITEMS: lambda gateway, folder: gateway.items_page(folder, None),
    Endpoint.LIST_INTEGRATIONS: lambda gateway, _: gateway.resolve_integration("sandbox"),
    Endpoint.LIST_FOLDERS: lambda gateway, _: gateway.find_folder("fleet"),
}


@pytest.mark.parametrize("endpoint", READS, ids=str)
@pytest.mark.parametrize("effect", [Effect.DRIP, Effect.BOMB], ids=str)
def test_every_read_ends_in_time(sandbox: Sandbox, gateway: EncordGateway, effect: Effect, endpoint: Endpoint) -> None:
    folder = gateway.create_folder(f"{effect} {endpoint}")
    gateway.count_items(folder)
    sandbox.script(Fault(effect=effect, endpoint=endpoint))
    began = time.monotonic()

    with pytest.raises(TransientError, match=r"no whole reply within 2 s|larger than 128 MB"):
        READS[endpoint](gateway, folder)

    assert time.monotonic() - began < LATE
    READS[endpoint](gateway, folder)


@pytest.mark.parametrize("effect", [Effect.DRIP, Effect.BOMB], ids=str)
@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER], ids=str)
def test_a_start_with_such_a_reply_is_in_doubt(
    sandbox: Sandbox, gateway: EncordGateway, effect: Effect, when: When, tmp_path: Path
) -> None:
    folder = gateway.create_folder(f"start {effect} {when}")
    sandbox.script(Fault(effect=effect, when=when, endpoint=Endpoint.START_JOB))

    with pytest.raises(AmbiguousError):
        gateway.start_job(
            folder_uuid=folder, integration_uuid=sandbox.integration_uuid(), manifest=the_manifest(tmp_path)
        )


@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER], ids=str)
def test_a_search_for_a_folder_that_never_ends_is_an_error_with_a_way_out(
    sandbox: Sandbox, gateway: EncordGateway, when: When, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registration_pipeline.submission.encord.gateway._MOST_FOLDER_PAGES", 5)
    sandbox.script(Fault(effect=Effect.ENDLESS, when=when, endpoint=Endpoint.LIST_FOLDERS, times=None))

    with pytest.raises(NotFoundError, match=r"without an end. Set encord.folder"):
        gateway.find_folder("fleet")
