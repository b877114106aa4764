"""A start is sent only by a process that holds its lease in the moment before the request is complete."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import signal
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from obstore.store import MemoryStore

from registration_pipeline.errors import LeaseLostError
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.lease import hold_lease
from registration_pipeline.submission.encord.gateway import EncordGateway
from registration_pipeline.submission.encord.guarded_connection import UNDELIVERED_SECONDS
from registration_pipeline_tests.integration.narrow_gateway import Listening, NarrowGateway
from registration_pipeline_tests.integration.paused_child import register

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registration_pipeline_tests.integration.conftest import MakeSandboxFleet, SandboxFleet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

CHILD = Path(__file__).with_name("paused_child.py")
LEASE_SECONDS = 4.0
FOLDER = "b9257b04-94ab-4d8f-8f2a-1f6c4d3ad1c0"


def start_child(fleet: SandboxFleet, url: str) -> subprocess.Popen[str]:
    key = str(fleet.sandbox.private_key_path)
    command = [sys.executable, str(CHILD), fleet.store.uri, url, key, str(LEASE_SECONDS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def other_host(fleet: SandboxFleet) -> threading.Thread:
    """Register the same source beside it, with a connection of its own."""
    gateway = EncordGateway(
        ssh_private_key=fleet.sandbox.private_key_path.read_text(encoding="utf-8"), domain=fleet.sandbox.url
    )
    thread = threading.Thread(target=register, args=(fleet.store, gateway, LEASE_SECONDS), daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("resumes", ["while the other's job runs", "when the other has finished"])
def test_a_process_that_is_paused_in_the_middle_of_its_start_does_not_finish_it(
    sandbox_fleet: MakeSandboxFleet, resumes: str
):
    fleet = sandbox_fleet(objects=300, images=300, job_seconds=2.0)
    gateway = NarrowGateway(fleet.sandbox.url)
    child = start_child(fleet, gateway.url)
    try:
        assert gateway.is_waiting.wait(600)
        child.send_signal(signal.SIGSTOP)
        other = other_host(fleet)
        while not fleet.sandbox.jobs():
            time.sleep(0.05)
        if resumes.startswith("when"):
            other.join()
        gateway.open.set()
        child.send_signal(signal.SIGCONT)
        said, _ = child.communicate(timeout=600)
        other.join()
    finally:
        child.kill()
        gateway.close()

    assert child.returncode == 4, said
    assert len(fleet.sandbox.jobs()) == 1
    fleet.assert_exactly_once()


def test_a_process_that_is_not_paused_finishes_a_start_that_the_network_takes_slowly(sandbox_fleet: MakeSandboxFleet):
    fleet = sandbox_fleet(objects=300, images=300, job_seconds=0.1)
    gateway = NarrowGateway(fleet.sandbox.url)
    child = start_child(fleet, gateway.url)
    try:
        assert gateway.is_waiting.wait(600)
        time.sleep(2 * LEASE_SECONDS)  # it beats meanwhile
        gateway.open.set()
        child.communicate(timeout=600)
    finally:
        child.kill()
        gateway.close()

    assert child.returncode == 0
    fleet.assert_exactly_once()


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "chunk.json"
    entries = [{"objectUrl": f"s3://bucket/{number}.jpg", "title": str(number)} for number in range(2_000)]
    path.write_text(json.dumps({"images": entries, "skip_duplicate_urls": True}))
    return path


@pytest.fixture
def send(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], None]], None]:
    """Start a job at a URL."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    key = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )

    def start(url: str, may_send: Callable[[], None]) -> None:
        gateway = EncordGateway(ssh_private_key=key.decode(), domain=url, timeout_seconds=5)
        gateway.start_job(folder_uuid=FOLDER, integration_uuid=None, manifest=manifest, may_send=may_send)

    return start


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's TLS, which the client trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(certificate.public_bytes(pem) + private)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


class Boat:
    """A clock that a test moves on."""

    seconds = 0.0

    def drift(self) -> None:
        self.seconds += 67.0


@pytest.fixture
def clock() -> Boat:
    return Boat()


@pytest.fixture
def check(clock: Boat) -> Iterator[Callable[[], None]]:
    """The question of a holder whose state does not answer, so that its lease only ages."""
    store = BucketStateStore(MemoryStore(), "memory://state")
    with hold_lease(
        store,
        "fleet",
        clock=lambda: dt.datetime.now(dt.UTC),
        notify=lambda _: None,
        stop=threading.Event(),
        monotonic=lambda: clock.seconds,
    ) as lease:
        yield lease.check


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_time_that_is_lost_while_the_connection_is_made_ends_the_start(
    send: Callable[..., None], tls: ssl.SSLContext, clock: Boat, check: Callable[[], None], scheme: str
):
    server = Listening(clock.drift, tls if scheme == "https" else None)

    def asked() -> None:
        if scheme == "http":
            clock.drift()  # plain connections stand before the server can do anything
        check()

    with pytest.raises(LeaseLostError, match="could not be renewed"):
        send(server.url, asked)

    assert not is_whole(server.end())


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("good", [0, 1], ids=["before the head", "before the end of the body"])
def test_a_request_is_never_completed_after_the_right_to_send_was_lost(
    send: Callable[..., None], tls: ssl.SSLContext, good: int, scheme: str
):
    server, left = Listening(lambda: None, tls if scheme == "https" else None), [good]

    def asked() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise LeaseLostError("fleet", "another process took it over")

    with pytest.raises(LeaseLostError):
        send(server.url, asked)

    received = server.end()
    assert not is_whole(received)
    assert (b"externalFiles" in received) == bool(good)


def is_whole(request: bytes) -> bool:
    head, separator, body = request.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-l")), 0
    )
    return bool(separator) and len(body) >= length


def test_what_the_network_holds_back_is_dropped_before_another_process_may_take_over():
    assert UNDELIVERED_SECONDS <= 60.0 * 0.25
