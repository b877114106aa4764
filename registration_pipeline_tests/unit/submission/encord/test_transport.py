"""Replies of Encord that never end or grow without limit, from a real server: each ends within its time and size."""

from __future__ import annotations

import gzip
import re
import ssl
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from registration_pipeline.errors import AmbiguousError, SubmissionError, TransientError
from registration_pipeline.submission.encord.gateway import EncordGateway
from registration_pipeline.submission.encord.transport import REPLY_BYTES
from registration_pipeline_tests.hostile_http import HostileServer, bomb, head, seconds_since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registration_pipeline_tests.hostile_http import Connection

    Answer = Callable[[Connection, bytes], object]

pytestmark = pytest.mark.slow  # it waits for real connections or processes

FOLDER = "6a1b1f2e-0000-4000-8000-000000000001"
TOO_LARGE = (REPLY_BYTES >> 20) + 1
MB = 1 << 20
LATE_SECONDS = 5  # after one second, on a busy machine


@pytest.fixture(autouse=True)
def no_proxy_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def key() -> str:
    made = Ed25519PrivateKey.generate()
    return made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def drip_the_body(connection: Connection, _request: bytes) -> None:
    connection.send(head())
    connection.drip_for_ever()


def drip_the_head(connection: Connection, _request: bytes) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\nX-Endless: ")
    connection.drip_for_ever(b"x")


def drip_chunks(connection: Connection, _request: bytes) -> None:
    connection.send(head("Transfer-Encoding: chunked"))
    connection.drip_for_ever(b"1\r\n \r\n")


def drip_an_error(connection: Connection, _request: bytes) -> None:
    connection.send(head(status="503 Service Unavailable", kind="text/html"))
    connection.drip_for_ever()


def stay_silent(connection: Connection, _request: bytes) -> None:
    connection.stay_silent()


ENDLESS: Final[dict[str, Answer]] = {
    "a byte at a time": drip_the_body,
    "a header at a time": drip_the_head,
    "a chunk at a time": drip_chunks,
    "an error at a time": drip_an_error,
    "nothing": stay_silent,
}


def given_up(answer: Answer, key: str, call: Callable[[EncordGateway], object]) -> tuple[float, Exception]:
    """Return after how many seconds a call was given up, and with what error."""
    with HostileServer(answer) as server:
        gateway = EncordGateway(ssh_private_key=key, domain=server.url, timeout_seconds=1)
        began = time.monotonic()
        with pytest.raises(SubmissionError) as caught:
            call(gateway)
        return seconds_since(began), caught.value


@pytest.fixture(scope="module")
def endings(key: str) -> Iterator[dict[str, tuple[float, Exception]]]:
    """All at once, because each takes its second."""
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor() as pool:
        patch.setenv("NO_PROXY", "127.0.0.1")
        reads = {
            name: pool.submit(given_up, answer, key, lambda gateway: gateway.count_items(FOLDER))
            for name, answer in ENDLESS.items()
        }
        start = pool.submit(given_up, drip_the_body, key, lambda gateway: gateway.create_folder("fleet"))
        yield {name: future.result() for name, future in {**reads, "a start": start}.items()}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_reply_that_does_not_end_is_given_up_when_its_time_is_over(
    name: str, endings: dict[str, tuple[float, Exception]]
) -> None:
    seconds, error = endings[name]

    assert isinstance(error, TransientError)
    assert re.search(r"no whole reply within 1 s|timed out", str(error))
    assert seconds < LATE_SECONDS


def test_what_may_have_had_its_effect_is_in_doubt(endings: dict[str, tuple[float, Exception]]) -> None:
    _, error = endings["a start"]

    assert isinstance(error, AmbiguousError)
    assert "no whole reply within 1 s" in str(error)


def in_chunks(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)


def deflated(megabytes: int) -> bytes:
    return zlib.compress(b'"' + b" " * (megabytes << 20) + b'"', 9)


LARGE: Final[dict[str, tuple[Callable[[], bytes], *tuple[str, ...]]]] = {
    "gzip": (lambda: bomb(TOO_LARGE), "Content-Encoding: gzip"),
    "in chunks": (lambda: in_chunks(bomb(TOO_LARGE)), "Content-Encoding: gzip", "Transfer-Encoding: chunked"),
    "twice": (lambda: bomb(TOO_LARGE, rounds=2), "Content-Encoding: gzip, gzip"),
    "deflate": (lambda: deflated(TOO_LARGE), "Content-Encoding: deflate"),
    "not compressed": (lambda: b'"' + b" " * (TOO_LARGE * MB),),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_reply_that_is_too_large_is_not_taken_into_memory(name: str, key: str) -> None:
    make, *headers = LARGE[name]
    body = make()

    def answer(connection: Connection, _request: bytes) -> None:
        connection.send(head(*headers))
        connection.send(body)

    with HostileServer(answer) as server:
        gateway = EncordGateway(ssh_private_key=key, domain=server.url, timeout_seconds=30)
        tracemalloc.start()
        with pytest.raises(TransientError, match=f"the reply is larger than {REPLY_BYTES >> 20} MB"):
            gateway.count_items(FOLDER)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < REPLY_BYTES + 40 * MB


def test_an_error_keeps_its_status_however_long_its_page_is(key: str) -> None:
    page = gzip.compress(b"<p>" * (TOO_LARGE * MB // 3))
    headers = head("Content-Encoding: gzip", f"Content-Length: {len(page)}", status="429 Too Many", kind="text/html")
    with HostileServer(lambda connection, _: connection.send(headers + page)) as server:
        gateway = EncordGateway(ssh_private_key=key, domain=server.url, timeout_seconds=30)
        with pytest.raises(SubmissionError) as caught:
            gateway.count_items(FOLDER)

    assert type(caught.value).__name__ == "ThrottledError"
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b'{"a": ' * 100_000, b"9" * 500_000, b"\xff\xfe" * 1_000_000, b"<p>" * 10_000_000],
    ids=["brackets", "objects", "a number", "not UTF-8", "a page"],
)
def test_what_no_parser_takes_is_one_short_error(body: bytes, key: str) -> None:
    with HostileServer(lambda connection, _: connection.reply(body, kind="text/plain")) as server:
        gateway = EncordGateway(ssh_private_key=key, domain=server.url, timeout_seconds=30)
        began = time.monotonic()
        with pytest.raises(TransientError) as caught:
            gateway.count_items(FOLDER)

    assert len(str(caught.value)) < 2000
    assert seconds_since(began) < 10


def certified(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return the context of a server on 127.0.0.1, and the certificate that shows it."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    path = folder / "both.pem"
    path.write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, path


@pytest.mark.parametrize("name", ["a byte at a time", "a header at a time", "nothing"])
def test_https_makes_no_difference(name: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, certificate = certified(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with HostileServer(ENDLESS[name], context) as server:
        gateway = EncordGateway(ssh_private_key=key, domain=server.url, timeout_seconds=1)
        began = time.monotonic()
        with pytest.raises(TransientError, match=r"no whole reply within 1 s|timed out"):
            gateway.count_items(FOLDER)
        assert seconds_since(began) < LATE_SECONDS
    assert server.heads
