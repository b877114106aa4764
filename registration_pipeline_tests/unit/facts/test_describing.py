"""What readers ask about the metadata and tags of an object, and what they make of refusals, as a real server plays it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest

from registration_pipeline.errors import CredentialsError, ObjectReadError
from registration_pipeline.facts.reader import ObjectDescription, StoredObject
from registration_pipeline.facts.readers.s3 import S3Reader
from registration_pipeline.project.clients.s3 import open_s3
from registration_pipeline_tests.hostile_http import HostileServer, head

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.facts.reader import ObjectReader
    from registration_pipeline_tests.hostile_http import Connection

    Answer = Callable[[Connection, bytes], object]

pytestmark = pytest.mark.slow  # it waits for real connections

ITEM: Final = StoredObject(
    key="scans/a b.png",
    size=2048,
    last_modified=datetime(2026, 11, 21, 2, tzinfo=UTC),
    e_tag="0x1",
    version="17",
)


def s3(url: str) -> ObjectReader:
    client = open_s3(endpoint_url=url, is_unsigned=True, region_name="eu-west-2", attempts=2)
    return S3Reader(client, "fleet", source="clinic", seconds=20)


def gcs(url: str) -> ObjectReader:
    pytest.importorskip("google.cloud.storage")
    from registration_pipeline.facts.readers.gcs import GCSReader
    from registration_pipeline.project.clients.gcs import open_gcs

    return GCSReader(open_gcs(endpoint_url=url), "fleet", source="clinic", seconds=20)


def azure(url: str) -> ObjectReader:
    pytest.importorskip("azure.storage.blob")
    from registration_pipeline.facts.readers.azure import AzureReader
    from registration_pipeline.project.clients.azure import open_azure

    client = open_azure(f"{url}/account", None, retries=1).get_container_client("fleet")
    return AzureReader(client, "account", source="clinic", seconds=20)


READERS: Final[dict[str, Callable[[str], ObjectReader]]] = {"s3": s3, "gcs": gcs, "azure": azure}
PREFIXES: Final = {"s3": "x-amz-meta-", "azure": "x-ms-meta-"}
COUNTS: Final = {"s3": "x-amz-tagging-count", "azure": "x-ms-tag-count"}
S3_TAG: Final = "<Tag><Key>{}</Key><Value>{}</Value></Tag>"


@pytest.fixture(params=READERS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def described(
    provider: str,
    metadata: dict[str, str],
    tags: dict[str, str] | None = None,
    *,
    e_tag: str = "0x1",
    size: int = 2048,
    generation: str = "17",
    more: tuple[str, ...] = (),
) -> Answer:
    """Return an answer as the provider describes an object; tags None: the reply does not count them."""

    def answer(connection: Connection, request: bytes) -> None:
        if provider == "gcs":
            own = {"metadata": metadata} if metadata else {}
            connection.reply(json.dumps({"generation": generation, "size": str(size), **own}).encode())
        elif b"tagging" in request.split(b"\r\n")[0] or b"comp=tags" in request.split(b"\r\n")[0]:
            found = "".join(S3_TAG.format(*pair) for pair in (tags or {}).items())
            name = "Tagging" if provider == "s3" else "Tags"
            body = f"<?xml version='1.0' encoding='utf-8'?><{name}><TagSet>{found}</TagSet></{name}>".encode()
            connection.reply(body, kind="application/xml")
        else:
            lines = [f"{PREFIXES[provider]}{name}: {text}" for name, text in metadata.items()]
            lines += [] if tags is None else [f"{COUNTS[provider]}: {len(tags)}"]
            connection.send(head(f"Content-Length: {size}", f'ETag: "{e_tag}"', *lines, *more))

    return answer


def refusal(provider: str, status: int, code: str) -> Answer:
    """Return an answer that refuses; HEAD gets no body."""

    def answer(connection: Connection, request: bytes) -> None:
        words = "x@y.iam.gserviceaccount.com does not have storage.objects.get access to it."
        xml = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>words</Message></Error>"
        body = json.dumps({"error": {"code": status, "message": words}}) if provider == "gcs" else xml
        kind = "application/json" if provider == "gcs" else "application/xml"
        is_head = request.startswith(b"HEAD")
        connection.reply(
            b"" if is_head else body.encode(), f"x-ms-error-code: {code}", status=f"{status} Said", kind=kind
        )

    return answer


def either(is_about_tags: Answer, otherwise: Answer) -> Answer:
    def answer(connection: Connection, request: bytes) -> object:
        line = request.split(b"\r\n")[0]
        return (is_about_tags if b"tagging" in line or b"comp=tags" in line else otherwise)(connection, request)

    return answer


def asked(server: HostileServer) -> list[str]:
    return [
        request.split(b" ")[0].decode() + (" tags" if b"tag" in request.split(b" ")[1] else "")
        for request in server.heads
    ]


def test_metadata_is_asked_for_on_condition_that_the_object_is_the_listed_one(provider: str) -> None:
    with HostileServer(described(provider, {"site": "west"}, {})) as server:
        reader = READERS[provider](server.url)
        found = reader.describe(ITEM)

    assert found == ObjectDescription(metadata={"site": "west"})
    condition = b"ifGenerationMatch=17" if provider == "gcs" else b'If-Match: "0x1"'
    assert condition.lower() in server.heads[0].lower()
    assert asked(server) == ["GET" if provider == "gcs" else "HEAD"]
    assert reader.requests == 1


@pytest.mark.parametrize("provider", ["s3", "azure"], indirect=True)
def test_tags_are_asked_for_where_there_are_some(provider: str) -> None:
    tags = {"team": "blue", "größe": "1"}
    with HostileServer(described(provider, {}, tags)) as server:
        reader = READERS[provider](server.url)
        assert reader.describe(ITEM) == ObjectDescription(tags=tags)

    assert asked(server) == ["HEAD", "GET tags"]
    assert reader.requests == 2


def test_tags_of_amazons_services_are_left_out() -> None:
    tags = {"aws:cloudformation:stack-name": "x", "team": "blue"}
    with HostileServer(described("s3", {}, tags)) as server:
        assert s3(server.url).describe(ITEM).tags == {"team": "blue"}


def test_a_store_that_counts_no_tags_is_asked_for_them_unless_it_has_none_at_all() -> None:
    answers = {"counts none": described("s3", {"A": "b"}, None), "has none": refusal("s3", 501, "NotImplemented")}
    for name, expected in (("counts none", ["HEAD", "GET tags"] * 2), ("has none", ["HEAD", "GET tags", "HEAD"])):
        with HostileServer(either(answers[name], answers["counts none"])) as server:
            reader = s3(server.url)
            assert [reader.describe(ITEM) for _ in range(2)] == [ObjectDescription(metadata={"a": "b"})] * 2
            assert asked(server) == expected


CHANGES: Final[dict[str, dict[str, Any]]] = {
    "e_tag": {"e_tag": "0x2", "generation": "18"},
    "size": {"size": 2049},
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_version_than_the_listed_one_is_not_described(provider: str, change: str) -> None:
    with (
        HostileServer(described(provider, {"site": "west"}, {}, **CHANGES[change])) as server,
        pytest.raises(ObjectReadError, match="has changed since the listing") as raised,
    ):
        READERS[provider](server.url).describe(ITEM)

    assert raised.value.is_changed
    assert "scans/a b.png" in str(raised.value)


@pytest.mark.parametrize(
    ("status", "codes", "said"),
    [(404, {"s3": "NoSuchKey", "azure": "BlobNotFound"}, "gone"), (412, {"azure": "ConditionNotMet"}, "has changed")],
    ids=["gone", "changed"],
)
def test_an_object_that_is_gone_or_another_one_is_said_to_be_so(
    provider: str, status: int, codes: dict[str, str], said: str
) -> None:
    answer = refusal(provider, status, codes.get(provider, "PreconditionFailed"))
    with HostileServer(answer) as server, pytest.raises(ObjectReadError, match=said) as raised:
        READERS[provider](server.url).describe(ITEM)

    assert not raised.value.is_refused


PERMISSIONS: Final = {
    "s3": "Grant s3:GetObject on arn:aws:s3:::fleet/\\*",
    "gcs": r"Grant storage.objects.get .* on gs://fleet to x@y.iam.gserviceaccount.com",
    "azure": r"Grant Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read ",
}


def test_a_refusal_says_the_permission_that_is_lacking(provider: str) -> None:
    code = {"s3": "AccessDenied", "azure": "AuthorizationPermissionMismatch"}.get(provider, "")
    with HostileServer(refusal(provider, 403, code)) as server, pytest.raises(ObjectReadError) as raised:
        READERS[provider](server.url).describe(ITEM)

    assert raised.value.is_refused
    assert re.search(PERMISSIONS[provider], str(raised.value))


@pytest.mark.parametrize("provider", ["s3", "azure"], indirect=True)
def test_refused_tags_say_the_permission_for_tags(provider: str) -> None:
    code = {"s3": "AccessDenied", "azure": "AuthorizationPermissionMismatch"}[provider]
    answer = either(refusal(provider, 403, code), described(provider, {"a": "b"}, {"team": "blue"}))
    with HostileServer(answer) as server, pytest.raises(ObjectReadError) as raised:
        READERS[provider](server.url).describe(ITEM)

    permission = {
        "s3": "s3:GetObjectTagging on arn:aws:s3:::fleet/*",
        "azure": "blobs/tags/read (role Storage Blob Data Owner",
    }
    assert permission[provider] in str(raised.value)
    assert raised.value.is_refused


def test_tags_that_are_not_counted_for_want_of_a_permission_are_noticed() -> None:
    answer = either(refusal("s3", 403, "AccessDenied"), described("s3", {"a": "b"}, None))
    with HostileServer(answer) as server, pytest.raises(ObjectReadError, match="Grant s3:GetObjectTagging"):
        s3(server.url).describe(ITEM)


@pytest.mark.parametrize(("status", "code"), [(403, "InvalidAccessKeyId"), (400, "ExpiredToken")], ids=str)
def test_bad_credentials_are_found_out_though_a_head_request_does_not_say_so(status: int, code: str) -> None:
    with HostileServer(refusal("s3", status, code)) as server, pytest.raises(CredentialsError):
        s3(server.url).describe(ITEM)

    assert asked(server)[0] == "HEAD"


def test_metadata_that_http_cant_carry_is_not_left_out_in_silence() -> None:
    answer = described("s3", {"a": "b"}, {}, more=("x-amz-missing-meta: 2",))
    with (
        HostileServer(answer) as server,
        pytest.raises(ObjectReadError, match="2 values of its metadata can't be sent"),
    ):
        s3(server.url).describe(ITEM)


def test_google_that_answers_something_else_is_asked_again_the_next_time() -> None:
    with (
        HostileServer(lambda connection, _: connection.reply(b"<html>")) as server,
        pytest.raises(ObjectReadError, match="not a description of an object") as raised,
    ):
        gcs(server.url).describe(ITEM)

    assert raised.value.is_silent


def test_azure_is_not_asked_about_names_that_its_client_changes() -> None:
    with (
        HostileServer(described("azure", {}, {})) as server,
        pytest.raises(ObjectReadError, match="can't ask for a name"),
    ):
        azure(server.url).describe(StoredObject(key="a/../b", size=10, last_modified=ITEM.last_modified))

    assert server.heads == []


def test_permissions_name_what_describing_needs() -> None:
    with HostileServer(described("s3", {}, {})) as server:
        found = {name: make(server.url).description_permission for name, make in READERS.items()}

    assert found == {
        "s3": "s3:GetObject and s3:GetObjectTagging",
        "gcs": "storage.objects.get",
        "azure": "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read and "
        "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/tags/read",
    }
