"""A running sandbox and real SDK clients of it.

``start_sandbox(**settings)`` starts one with any setting of ``SandboxConfig``; ``sandbox``, ``encord_client`` and
``folder`` are the usual ones. ``send_signed`` sends requests that the SDK would never send, signed by the SDK's own signer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from encord import EncordUserClient
from encord.http.constants import RequestsSettings
from encord.http.v2.request_signer import sign_request

from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from encord.orm.storage import UploadLongPollingState
    from encord.storage import StorageFolder


class StartSandbox(Protocol):
    """Starts a sandbox; ``data`` defaults to one directory per test."""

    def __call__(self, **settings: Any) -> Sandbox: ...


class SendSigned(Protocol):
    """Sends one signed request; ``tamper`` changes it after it was signed."""

    def __call__(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, Any] | None = None,
        body: object = None,
        tamper: Callable[[requests.PreparedRequest], None] | None = None,
        timeout_seconds: float = 30,
    ) -> requests.Response: ...


@pytest.fixture(autouse=True)
def no_proxy_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment would otherwise get the requests to the sandbox."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


@pytest.fixture
def start_sandbox(tmp_path: Path) -> Iterator[StartSandbox]:
    """A factory of running sandboxes, all stopped at the end of the test."""
    started: list[Sandbox] = []

    def start(**settings: Any) -> Sandbox:
        running = Sandbox(SandboxConfig(**{"data": tmp_path / "encord", "job_seconds": 0.0, **settings}))
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """A sandbox with the default (hostile) switches whose jobs take no time."""
    return start_sandbox()


@pytest.fixture
def connect() -> Callable[[Sandbox], EncordUserClient]:
    """Makes real SDK clients that do not retry, so that a test sees every answer."""

    def make(running: Sandbox) -> EncordUserClient:
        return EncordUserClient.create_with_ssh_private_key(
            ssh_private_key=running.private_key_path.read_text(),
            domain=running.url,
            requests_settings=RequestsSettings(max_retries=0, connection_retries=0, read_timeout=90),
        )

    return make


@pytest.fixture
def encord_client(sandbox: Sandbox, connect: Callable[[Sandbox], EncordUserClient]) -> EncordUserClient:
    """A real SDK client of ``sandbox``."""
    return connect(sandbox)


@pytest.fixture
def folder(encord_client: EncordUserClient) -> StorageFolder:
    """An empty top-level folder of ``sandbox``."""
    return encord_client.create_storage_folder("fleet")


@pytest.fixture
def submit() -> Callable[..., UploadLongPollingState]:
    """Runs a whole upload job through the SDK: ``submit(sandbox, folder, manifest, ignore_errors=True)``."""

    def run(
        running: Sandbox, target: StorageFolder, manifest: dict[str, Any], *, ignore_errors: bool = True
    ) -> UploadLongPollingState:
        job = target.add_private_data_to_folder_start(running.integration_uuid(), manifest, ignore_errors)
        return target.add_private_data_to_folder_get_result(job, timeout_seconds=30)

    return run


@pytest.fixture
def sign_for() -> Callable[[Sandbox], SendSigned]:
    """Makes senders that sign with the SDK's own signer and a sandbox's key, then let the test tamper."""
    return _sender


def _sender(running: Sandbox) -> SendSigned:
    private_key = load_ssh_private_key(running.private_key_path.read_bytes(), None)
    assert isinstance(private_key, Ed25519PrivateKey)
    key_id = private_key.public_key().public_bytes_raw().hex()

    def send(
        method: str,
        path: str,
        *,
        params: dict[str, Any] | None = None,
        body: object = None,
        tamper: Callable[[requests.PreparedRequest], None] | None = None,
        timeout_seconds: float = 30,
    ) -> requests.Response:
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        url = f"{running.url}/v2/public/{path}"
        request = requests.Request(method, url, params=params, data=data).prepare()
        sign_request(request, key_id, private_key)
        if tamper is not None:
            tamper(request)
        with requests.Session() as session:
            return session.send(request, timeout=timeout_seconds)

    return send


@pytest.fixture
def send_signed(sandbox: Sandbox, sign_for: Callable[[Sandbox], SendSigned]) -> SendSigned:
    """A sender for ``sandbox``."""
    return sign_for(sandbox)
