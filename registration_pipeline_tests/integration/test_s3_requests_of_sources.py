"""What every request of a source says besides: who pays for it; and what an answer says of the bucket's region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import ConfigurationError, ListingError
from registration_pipeline.project.clients.checked import CheckedClients
from registration_pipeline.project.clients.listers import make_lister
from registration_pipeline.project.clients.stores import SettingsClients
from registration_pipeline.settings import SourceSettings
from registration_pipeline_tests.integration.listing_store import ListingStore, Reply, running

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("aws_environment")]

VERSIONS = (
    '<?xml version="1.0" encoding="UTF-8"?><ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket'
    "</Name><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated><Version>{version}</Version></ListVersionsResult>"
)
GOOD = {
    "Key": "raw/a.jpg",
    "VersionId": "1",
    "IsLatest": "true",
    "LastModified": "2026-11-21T02:00:00.000Z",
    "ETag": "&quot;1&quot;",
    "Size": "5",
}


def source_at(endpoint: str, uri: str = "s3://bucket/raw/", **storage: Any) -> SourceSettings:
    values = {"name": "fleet", "uri": uri, "storage": {"endpoint_url": endpoint, "region": "eu-west-2", **storage}}
    return SourceSettings.model_validate(values)


def keys_of(source: SourceSettings) -> list[str]:
    return [key for batch in make_lister(source).list_objects() for key in batch.column("key").to_pylist()]


@pytest.mark.parametrize("concurrency", [1, 16])
@pytest.mark.parametrize("pays", [True, False])
def test_every_request_of_a_listing_says_who_pays(pays: bool, concurrency: int) -> None:  # noqa: FBT001
    store = ListingStore([f"raw/{number:05d}.jpg" for number in range(5_000)])
    with running(store):
        assert len(keys_of(source_at(store.endpoint_url, requester_pays=pays, concurrency=concurrency))) == 5_000

    assert len(store.headers) >= 5
    assert {headers.get("x-amz-request-payer") for headers in store.headers} == ({"requester"} if pays else {None})
    if pays:
        assert all("x-amz-request-payer" in headers["Authorization"] for headers in store.headers), "not signed"


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"LastModified": ""}, id="empty time"),
        pytest.param({"LastModified": "yesterday"}, id="time that is none"),
        pytest.param({"LastModified": None}, id="no time"),
        pytest.param({"Size": ""}, id="empty size"),
        pytest.param({"Size": None}, id="no size"),
        pytest.param({"Size": "99999999999999999999"}, id="size beyond all"),
        pytest.param({"IsLatest": None}, id="not said whether it is the latest"),
        pytest.param({"Key": None}, id="no key"),
    ],
)
def test_a_version_that_can_not_be_recorded_exactly_ends_the_listing(changed: dict[str, str | None]) -> None:
    fields = {name: text for name, text in (GOOD | changed).items() if text is not None}
    body = VERSIONS.format(version="".join(f"<{name}>{text}</{name}>" for name, text in fields.items()))
    store = ListingStore([], interfere=lambda _number, _asked, _reply: Reply(200, body.encode()))

    with running(store), pytest.raises(ListingError, match=r"ListObjectVersions can't be recorded exactly"):
        keys_of(source_at(store.endpoint_url, versions=True))


def test_a_good_version_is_listed() -> None:
    body = VERSIONS.format(version="".join(f"<{name}>{text}</{name}>" for name, text in GOOD.items()))
    store = ListingStore([], interfere=lambda _number, _asked, _reply: Reply(200, body.encode()))

    with running(store):
        assert keys_of(source_at(store.endpoint_url, versions=True)) == ["raw/a.jpg"]


class _AtAmazon(SettingsClients):
    """A client whose requests end at a store on loopback, as if a network led Amazon's names there."""

    def __init__(self, endpoint: str) -> None:
        super().__init__({})
        self._endpoint = endpoint

    def s3(self, source: SourceSettings) -> S3Client:
        client = super().s3(source)

        def redirect(request: Any, **_: object) -> None:
            request.url = request.url.replace("https://bucket.s3.eu-west-2.amazonaws.com", f"{self._endpoint}")

        client.meta.events.register("before-send.s3", redirect)
        return client


@pytest.mark.parametrize(
    ("style", "region", "is_refused"),
    [("virtual-hosted", "us-west-2", True), ("virtual-hosted", "eu-west-2", False), ("s3", "us-west-2", False)],
    ids=["another region", "the same region", "URLs without region"],
)
def test_a_bucket_in_another_region_than_its_urls_is_refused(
    style: str,
    region: str,
    is_refused: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")

    def say_region(_number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
        return Reply(reply.status, reply.body, {"x-amz-bucket-region": region})

    store = ListingStore(["raw/a.jpg"], interfere=say_region)
    values = {"name": "fleet", "uri": "s3://bucket/raw/", "storage": {"region": "eu-west-2"}, "url_style": style}
    source = SourceSettings.model_validate(values)
    with running(store):
        lister = make_lister(source, _AtAmazon(store.endpoint_url))
        if is_refused:
            with pytest.raises(ConfigurationError, match=r"storage\.region: bucket bucket is in region us-west-2"):
                list(lister.list_objects())
        else:
            assert sum(batch.num_rows for batch in lister.list_objects()) == 1


def test_a_source_with_an_endpoint_of_its_own_is_listed_there_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    store = ListingStore(["raw/a.jpg"])
    with running(store):
        assert keys_of(source_at(store.endpoint_url)) == ["raw/a.jpg"]


def test_amazons_own_endpoint_in_the_environment_is_amazon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://bucket.vpce-1-2.s3.eu-west-2.vpce.amazonaws.com")
    source = SourceSettings.model_validate({"name": "fleet", "uri": "s3://b-b/", "storage": {"region": "eu-west-2"}})

    client = CheckedClients(SettingsClients({}), {}).s3(source)

    assert client.meta.endpoint_url.endswith("vpce.amazonaws.com")
