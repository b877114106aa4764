"""What readers make of a store that refuses, changes, cuts, drips or is down, as a real server on 127.0.0.1 plays it."""

from __future__ import annotations

import json
import os
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest

from registration_pipeline.errors import CredentialsError, NotFoundError, ObjectReadError
from registration_pipeline.facts.reader import StoredObject
from registration_pipeline.facts.readers.local import LocalReader
from registration_pipeline.facts.readers.s3 import S3Reader
from registration_pipeline.inventory.local import LocalLister
from registration_pipeline.project.clients.s3 import open_s3
from registration_pipeline_tests.hostile_http import HostileServer, head, seconds_since

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registration_pipeline.facts.reader import ObjectReader
    from registration_pipeline_tests.hostile_http import Connection

    Answer = Callable[[Connection, bytes], object]

pytestmark = pytest.mark.slow  # it waits for real connections or processes

CONTENT: Final = bytes(range(256)) * 8
ITEM: Final = StoredObject(
    key="scans/a b.dcm",
    size=len(CONTENT),
    last_modified=datetime(2026, 11, 21, 2, tzinfo=UTC),
    e_tag="0x1",
    version="17",
)
LATE_SECONDS: Final = 30
"""The clients pause between the tries that they have left after the time is over."""


def s3(url: str, seconds: float) -> ObjectReader:
    client = open_s3(endpoint_url=url, is_unsigned=True, region_name="eu-west-2", attempts=2)
    return S3Reader(client, "fleet", source="clinic", seconds=seconds)


def gcs(url: str, seconds: float) -> ObjectReader:
    pytest.importorskip("google.cloud.storage")
    from registration_pipeline.facts.readers.gcs import GCSReader
    from registration_pipeline.project.clients.gcs import open_gcs

    return GCSReader(open_gcs(endpoint_url=url), "fleet", source="clinic", seconds=seconds)


def azure(url: str, seconds: float) -> ObjectReader:
    pytest.importorskip("azure.storage.blob")
    from registration_pipeline.facts.readers.azure import AzureReader
    from registration_pipeline.project.clients.azure import open_azure

    client = open_azure(f"{url}/account", None, retries=1).get_container_client("fleet")
    return AzureReader(client, "account", source="clinic", seconds=seconds)


READERS: Final[dict[str, Callable[[str, float], ObjectReader]]] = {"s3": s3, "gcs": gcs, "azure": azure}
PERMISSIONS: Final = {
    "s3": "Grant s3:GetObject on arn:aws:s3:::fleet/\\* to these credentials",
    "gcs": r"Grant storage.objects.get .* on gs://fleet to x@y.iam.gserviceaccount.com",
    "azure": r"Grant Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read .*Storage Blob Data Reader",
}
CODES: Final = {
    "s3": {403: "AccessDenied", 404: "NoSuchKey", 412: "PreconditionFailed", 416: "InvalidRange", 503: "SlowDown"},
    "azure": {
        403: "AuthorizationPermissionMismatch",
        404: "BlobNotFound",
        412: "ConditionNotMet",
        416: "InvalidRange",
        503: "ServerBusy",
    },
}


@pytest.fixture(params=READERS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def reader_of(provider: str, server: HostileServer, seconds: float = 20) -> ObjectReader:
    return READERS[provider](server.url, seconds)


def wanted(request: bytes) -> tuple[int, int]:
    found = re.search(rb"(?im)^(?:x-ms-)?range: bytes=(\d+)-(\d+)\r$", request)
    assert found is not None
    return int(found[1]), int(found[2]) + 1


def part(connection: Connection, request: bytes, *, e_tag: str = "0x1", generation: str = "17") -> None:
    """Answer as a store does."""
    start, end = wanted(request)
    body = CONTENT[start:end]
    headers = (f'ETag: "{e_tag}"', f"Content-Range: bytes {start}-{end - 1}/{len(CONTENT)}")
    connection.reply(body, *headers, f"x-goog-generation: {generation}", status="206 Partial Content")


def refusal(provider: str, status: int, code: str | None = None) -> Answer:
    """Return an answer that refuses, in the provider's words."""
    code = code or CODES.get(provider, {}).get(status, "code")
    words = "x@y.iam.gserviceaccount.com does not have storage.objects.get access to it." if status == 403 else "words"
    if provider == "gcs":
        body = json.dumps({"error": {"code": status, "message": words}})
    else:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{words}</Message></Error>"

    def answer(connection: Connection, _: bytes) -> None:
        kind = "application/json" if provider == "gcs" else "application/xml"
        connection.reply(body.encode(), f"x-ms-error-code: {code}", status=f"{status} Said", kind=kind)

    return answer


def in_turn(*answers: Answer) -> Answer:
    """Return an answer that gives each of these once, and the last one again and again."""
    left = list(answers)

    def answer(connection: Connection, request: bytes) -> object:
        return (left.pop(0) if len(left) > 1 else left[0])(connection, request)

    return answer


def test_the_range_is_asked_for_on_condition_that_the_object_is_the_listed_one(provider: str) -> None:
    with HostileServer(part) as server:
        reader = reader_of(provider, server)
        content = reader.read(ITEM, 100, 50)

    assert content == CONTENT[100:150]
    assert wanted(server.heads[0]) == (100, 150)
    condition = b"ifGenerationMatch=17" if provider == "gcs" else b'If-Match: "0x1"'
    assert condition.lower() in server.heads[0].lower()
    assert reader.requests == 1


@pytest.mark.parametrize(("status", "said"), [(404, "gone"), (412, "has changed"), (416, "has changed")], ids=str)
def test_an_object_that_is_another_one_or_gone_is_said_to_be_so(provider: str, status: int, said: str) -> None:
    with HostileServer(refusal(provider, status)) as server, pytest.raises(ObjectReadError, match=said) as raised:
        reader_of(provider, server).read(ITEM, 0, 10)

    assert "fleet" in str(raised.value)
    assert "scans/a b.dcm" in str(raised.value)
    assert (raised.value.is_refused, raised.value.is_silent) == (False, False)


def test_a_refused_object_is_said_with_the_permission_that_is_lacking(provider: str) -> None:
    with HostileServer(refusal(provider, 403)) as server, pytest.raises(ObjectReadError) as raised:
        reader_of(provider, server).read(ITEM, 0, 10)

    assert re.search(PERMISSIONS[provider], str(raised.value))
    assert "scans/a b.dcm" in str(raised.value)
    assert raised.value.is_refused


def test_what_is_encrypted_with_a_key_needs_that_keys_permission_too() -> None:
    def answer(connection: Connection, _: bytes) -> None:
        words = "User: arn:aws:iam::1:role/nightly is not authorized to perform: kms:Decrypt"
        body = f"<Error><Code>AccessDenied</Code><Message>{words}</Message></Error>"
        connection.reply(body.encode(), status="403 Forbidden", kind="application/xml")

    with HostileServer(answer) as server, pytest.raises(ObjectReadError, match=r"kms:Decrypt.* to arn:aws:iam::1:role"):
        s3(server.url, 20).read(ITEM, 0, 10)


def test_objects_of_obs_are_named_as_such() -> None:
    with HostileServer(refusal("s3", 403)) as server:
        client = open_s3(endpoint_url=server.url, is_unsigned=True, region_name="eu-de", attempts=1)
        with pytest.raises(ObjectReadError) as raised:
            S3Reader(client, "fleet", scheme="obs").read(ITEM, 0, 10)

    assert "obs://fleet/scans/a b.dcm" in str(raised.value)
    assert "Grant obs:object:GetObject on fleet/*" in str(raised.value)


def test_a_store_that_is_busy_once_is_asked_again(provider: str) -> None:
    with HostileServer(in_turn(refusal(provider, 503), part)) as server:
        assert reader_of(provider, server).read(ITEM, 0, 20) == CONTENT[:20]
        assert len(server.heads) == 2


def test_a_store_that_stays_busy_is_silent_for_this_object(provider: str) -> None:
    with HostileServer(refusal(provider, 503)) as server, pytest.raises(ObjectReadError) as raised:
        reader_of(provider, server, 4).read(ITEM, 0, 20)

    assert raised.value.is_silent


def test_a_reply_that_is_cut_is_asked_for_again(provider: str) -> None:
    def cut(connection: Connection, request: bytes) -> None:
        start, end = wanted(request)
        headers = (f"Content-Length: {end - start}", f"Content-Range: bytes {start}-{end - 1}/{len(CONTENT)}")
        connection.send(head('ETag: "0x1"', *headers, status="206 Partial Content") + CONTENT[start : end - 5])

    with HostileServer(in_turn(cut, part)) as server:
        assert reader_of(provider, server).read(ITEM, 0, 1000) == CONTENT[:1000]
        assert len(server.heads) == 2


def test_a_reply_that_drips_is_given_up_in_time(provider: str) -> None:
    def drip(connection: Connection, request: bytes) -> None:
        start, end = wanted(request)
        connection.send(
            head(
                f"Content-Length: {end - start}",
                f"Content-Range: bytes {start}-{end - 1}/{len(CONTENT)}",
                'ETag: "0x1"',
                status="206 Partial Content",
            )
        )
        connection.drip_for_ever(b"x")

    began = time.monotonic()
    with HostileServer(drip) as server, pytest.raises(ObjectReadError, match="no whole reply within 1 s") as raised:
        reader_of(provider, server, 1).read(ITEM, 0, len(CONTENT))

    assert seconds_since(began) < LATE_SECONDS
    assert raised.value.is_silent


def test_a_store_that_does_not_know_the_condition_is_found_out_by_its_reply(provider: str) -> None:
    def other(connection: Connection, request: bytes) -> None:
        part(connection, request, e_tag="0x2", generation="18")

    with HostileServer(other) as server, pytest.raises(ObjectReadError, match="has changed since the listing"):
        reader_of(provider, server).read(ITEM, 0, 10)


def test_a_store_that_gives_the_whole_object_for_a_range_is_refused(provider: str) -> None:
    def whole(connection: Connection, _: bytes) -> None:
        connection.reply(CONTENT, 'ETag: "0x1"')

    with HostileServer(whole) as server, pytest.raises(ObjectReadError, match="does not answer ranged reads"):
        reader_of(provider, server).read(ITEM, 100, 50)


def test_a_reply_without_end_is_given_up(provider: str) -> None:
    def endless(connection: Connection, _: bytes) -> None:
        connection.send(head('ETag: "0x1"', "Content-Range: bytes 0-9/2048", status="206 Partial Content"))
        while True:
            connection.send(b"x" * 65536)

    with HostileServer(endless) as server, pytest.raises(ObjectReadError):
        reader_of(provider, server, 10).read(ITEM, 0, 10)


@pytest.mark.parametrize(
    ("status", "codes", "error"),
    [
        (401, {"s3": "InvalidAccessKeyId", "azure": "NoAuthenticationInformation"}, CredentialsError),
        (404, {"s3": "NoSuchBucket", "azure": "ContainerNotFound"}, NotFoundError),
    ],
    ids=["credentials", "bucket"],
)
def test_what_concerns_all_objects_ends_the_reading(
    provider: str, status: int, codes: dict[str, str], error: type[Exception]
) -> None:
    answer = refusal(provider, status, codes.get(provider))
    if provider == "gcs" and status == 404:
        body = b'{"error": {"code": 404, "message": "The specified bucket does not exist."}}'
        answer = lambda connection, _: connection.reply(body, status="404 Not Found")  # noqa: E731
    with HostileServer(answer) as server, pytest.raises(error, match="fleet"):
        reader_of(provider, server).read(ITEM, 0, 10)


def test_azure_is_not_asked_for_names_that_its_client_changes() -> None:
    with HostileServer(part) as server, pytest.raises(ObjectReadError, match="can't ask for a name"):
        azure(server.url, 5).read(StoredObject(key="a/../b.dcm", size=10, last_modified=ITEM.last_modified), 0, 10)

    assert server.heads == []


def test_a_file_that_is_a_pipe_or_denied_now_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    item = StoredObject(key="pipe", size=10, last_modified=ITEM.last_modified)
    with pytest.raises(ObjectReadError, match="has changed"):
        LocalReader(tmp_path).read(item, 0, 10)
    with pytest.raises(ObjectReadError, match="is gone"):
        LocalReader(tmp_path).read(StoredObject(key="no", size=1, last_modified=ITEM.last_modified), 0, 1)


def test_a_file_of_any_time_is_read(tmp_path: Path) -> None:
    for nanoseconds in (-1_500_000_123, 0, 1_700_000_000_123_456_789):
        path = tmp_path / str(nanoseconds)
        path.write_bytes(b"0123")
        os.utime(path, ns=(nanoseconds, nanoseconds))
    items = [item for batch in LocalLister(tmp_path).list_objects() for item in StoredObject.of(batch)]
    assert [LocalReader(tmp_path).read(item, 1, 2) for item in items] == [b"12"] * 3
