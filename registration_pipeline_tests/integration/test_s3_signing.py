"""Requests that are made without boto3's client are those that it would make, and go over to it where they may not be."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.compat
import pytest
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.session import get_session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from registration_pipeline.errors import CredentialsError
from registration_pipeline.inventory.s3.lister import S3Lister
from registration_pipeline_tests.hostile_http import HostileServer
from registration_pipeline_tests.integration.listing_store import ListingStore, Reply, error_body, running

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from registration_pipeline_tests.hostile_http import Connection

pytestmark = pytest.mark.slow

KEYS = [f"raw/é +%{number:04d}.jpg" for number in range(1_000)]
PAGES = 20
OF_THE_TIME = {"X-Amz-Date", "Authorization", "amz-sdk-invocation-id"}


def lister_of(store: ListingStore, client: Any = None, **options: Any) -> S3Lister:
    chosen: dict[str, Any] = {"page_size": len(KEYS) // PAGES, "concurrency": 1, "source": "fleet"} | options
    return S3Lister(client or store.client(), "bucket", **chosen)


def keys_of(lister: S3Lister) -> list[str]:
    return [key for batch in lister.list_objects() for key in batch.column("key").to_pylist()]


def without_the_client(lister: S3Lister) -> int:
    return lister._requests.plain.made


def client_with(credentials: Any, endpoint_url: str, **config: Any) -> Any:
    session: Any = get_session()
    session._credentials = credentials
    chosen = Config(s3={"addressing_style": "path"}, **config)
    return session.create_client("s3", region_name="eu-west-2", endpoint_url=endpoint_url, config=chosen)


def test_they_have_the_same_headers_and_a_signature_that_the_store_accepts(aws_environment: str) -> None:
    with running(ListingStore(KEYS)) as store:
        lister = lister_of(store)
        assert keys_of(lister) == KEYS

    assert without_the_client(lister) == PAGES - 2
    by_client, *ours = store.headers[1:]
    for sent, asked in zip(ours, store.asked[2:], strict=True):
        assert sorted(sent) == sorted(by_client)
        assert {name: sent[name] for name in sent if name not in OF_THE_TIME} == {
            name: by_client[name] for name in by_client if name not in OF_THE_TIME
        }
        assert sent["Authorization"] == signature_of(sent, asked, store.endpoint_url)


def signature_of(sent: Mapping[str, str], asked: Mapping[str, str], endpoint_url: str) -> str:
    """Sign the request as it came, with the date that it came with, by botocore's own class."""
    query = {name: value for name, value in asked.items() if name != "method"}
    request = botocore.awsrequest.AWSRequest("GET", url=f"{endpoint_url}/bucket", params=query)
    request.headers["X-Amz-Date"], request.context["timestamp"] = sent["X-Amz-Date"], sent["X-Amz-Date"]
    request.headers["X-Amz-Content-SHA256"] = sent["X-Amz-Content-SHA256"]
    credentials = get_session().get_credentials()
    assert credentials is not None
    auth: Any = botocore.auth.S3SigV4Auth(credentials, "s3", "eu-west-2")
    if "X-Amz-Security-Token" in sent:
        request.headers["X-Amz-Security-Token"] = sent["X-Amz-Security-Token"]
    text = auth.string_to_sign(request, auth.canonical_request(request))
    auth._inject_signature_to_request(request, auth.signature(text, request))
    return str(request.headers["Authorization"])


def test_credentials_that_rotate_are_followed(aws_environment: str) -> None:
    turns: list[int] = []

    def rotated() -> dict[str, str]:
        turns.append(1)
        soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)  # within the time in which botocore renews them
        return {
            "access_key": f"key{len(turns)}",
            "secret_key": "secret",
            "token": f"token{len(turns)}",
            "expiry_time": soon.isoformat(),
        }

    with running(ListingStore(KEYS)) as store:
        credentials = RefreshableCredentials.create_from_metadata(rotated(), rotated, method="test")
        lister = lister_of(store, client_with(credentials, store.endpoint_url))
        assert keys_of(lister) == KEYS

    assert without_the_client(lister) == PAGES - 2
    assert len({headers["X-Amz-Security-Token"] for headers in store.headers}) == PAGES
    for headers in store.headers:
        number = headers["X-Amz-Security-Token"].removeprefix("token")
        assert f"Credential=key{number}/" in headers["Authorization"]


def test_unsigned_requests_stay_unsigned(aws_environment: str) -> None:
    import botocore

    with running(ListingStore(KEYS)) as store:
        client = client_with(None, store.endpoint_url, signature_version=botocore.UNSIGNED)
        lister = lister_of(store, client)
        assert keys_of(lister) == KEYS

    assert without_the_client(lister) == PAGES - 2
    assert not any("Authorization" in headers for headers in store.headers)


@pytest.mark.parametrize(
    "event", ["before-call.s3.ListObjectsV2", "before-sign.s3.ListObjectsV2", "request-created.s3.ListObjectsV2"]
)
def test_headers_that_handlers_of_others_add_are_in_every_request(aws_environment: str, event: str) -> None:
    def add(**given: Any) -> None:
        headers = given["request"].headers if "request" in given else given["params"]["headers"]
        if "X-Company" not in headers:
            headers["X-Company"] = "fleet"

    with running(ListingStore(KEYS)) as store:
        client = store.client()
        client.meta.events.register(event, add)
        assert keys_of(lister_of(store, client)) == KEYS

    assert [headers.get("X-Company") for headers in store.headers] == ["fleet"] * PAGES


def test_a_client_whose_requests_differ_each_time_makes_all_of_them(aws_environment: str) -> None:
    numbers = iter(range(1_000))

    def number(params: dict[str, Any], **_: object) -> None:
        params["headers"]["X-Number"] = str(next(numbers))

    with running(ListingStore(KEYS)) as store:
        client = store.client()
        client.meta.events.register("before-call.s3.ListObjectsV2", number)
        lister = lister_of(store, client)
        assert keys_of(lister) == KEYS

    assert without_the_client(lister) == 0
    assert [headers["X-Number"] for headers in store.headers] == [str(one) for one in range(PAGES)]


def test_a_client_whose_requests_do_not_reach_the_network_makes_all_of_them(aws_environment: str) -> None:
    with running(ListingStore(KEYS)) as store:
        client = store.client()

        def answered(request: Any, **_: object) -> Any:
            asked = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
            body = store.page(asked).body
            raw = Raw(body)
            return botocore.awsrequest.AWSResponse(request.url, 200, botocore.compat.HTTPHeaders(), raw)

        client.meta.events.register("before-send.s3.ListObjectsV2", answered)
        lister = lister_of(store, client)
        assert keys_of(lister) == KEYS

    assert without_the_client(lister) == 0
    assert store.asked == []


class Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> list[bytes]:
        return [self._body]


def test_a_proxy_is_asked_for_every_page(aws_environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ListingStore(KEYS)

    def forward(connection: Connection, request: bytes) -> None:
        target = request.split(b" ", 2)[1].decode("ascii")
        assert target.startswith("http://store.example/bucket?")
        connection.reply(store.page(dict(parse_qsl(urlsplit(target).query, keep_blank_values=True))).body)

    with HostileServer(forward) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        store.endpoint_url = "http://store.example"
        lister = lister_of(store)
        assert keys_of(lister) == KEYS
        assert len(proxy.heads) == PAGES

    assert without_the_client(lister) == 0


def test_a_request_that_is_refused_is_made_again_by_the_client_which_renews_what_it_needs(aws_environment: str) -> None:
    def refuse_once(number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
        return Reply(400, error_body("RequestTimeout")) if number == PAGES // 2 else reply

    with running(ListingStore(KEYS, refuse_once)) as store:
        lister = lister_of(store)
        assert keys_of(lister) == KEYS

    assert len(store.asked) == lister.requests == PAGES + 1
    assert without_the_client(lister) == PAGES + 1 - 4  # two learned from at first, and two after the refusal


def test_credentials_that_expire_midway_are_the_same_error_as_the_clients(aws_environment: str) -> None:
    def expire(number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
        return Reply(400, error_body("ExpiredToken")) if number > PAGES // 2 else reply

    with (
        running(ListingStore(KEYS, expire)) as store,
        pytest.raises(CredentialsError, match=r"refused the credentials for bucket bucket \(ExpiredToken\)"),
    ):
        keys_of(lister_of(store, store.client(attempts=1)))


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path / "authority.pem"
    path.write_bytes(certificate.public_bytes(pem) + private)
    return path


@pytest.mark.parametrize("is_elsewhere", [False, True], ids=["here", "in another process"])
def test_certificates_of_an_authority_of_ones_own_are_checked(
    aws_environment: str,
    authority: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_elsewhere: bool,  # noqa: FBT001
) -> None:
    from registration_pipeline.inventory.s3.processes.pool import WhenToStart

    store = ListingStore(KEYS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)

    def answer(connection: Connection, request: bytes) -> None:
        query = urlsplit(request.split(b" ", 2)[1].decode("ascii")).query
        connection.reply(store.page(dict(parse_qsl(query, keep_blank_values=True))).body)

    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))
    with HostileServer(answer, context) as server:
        store.endpoint_url = server.url
        when = WhenToStart(1, after_pages=1, busy=0, is_awaited=True) if is_elsewhere else WhenToStart(0)
        lister = lister_of(store, concurrency=2, fan_out_after=200, when=when)
        assert keys_of(lister) == KEYS

    assert without_the_client(lister) > PAGES // 2
    assert (lister._requests.plain.made_elsewhere > 0) is is_elsewhere
