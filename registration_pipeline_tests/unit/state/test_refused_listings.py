"""What is said where a bucket of the state answers, and what it answers is the reason: which object, which credentials."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from registration_pipeline.errors import StateError
from registration_pipeline.state.bucket import open_bucket_state_store
from registration_pipeline_tests.answers import saying

XML = {"Content-Type": "application/xml"}
NAMES = ["sub//double.json", "sub/./dot.json", "x/../y.json", "\x7f", 'x"y\x7f.json', "a: b//c"]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One in which a bucket is asked, and nothing but what a test answers."""
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def listed_at(url: str, environment: pytest.MonkeyPatch) -> list[str]:
    environment.setenv("AWS_ENDPOINT_URL", url)
    store = open_bucket_state_store("s3://state/here", {"AWS_ENDPOINT_URL": url, "AWS_REGION": "eu-west-2"})
    return list(store.names("fleet/lease/"))


@pytest.mark.parametrize("name", NAMES, ids=quote)
def test_an_object_whose_name_can_not_be_read_is_named(name: str, environment: pytest.MonkeyPatch) -> None:
    key = f"here/fleet/lease/{name}"
    page = (
        f"<ListBucketResult><Name>state</Name><IsTruncated>false</IsTruncated><Contents><Key>{key}</Key>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>1</Size></Contents></ListBucketResult>"
    )
    said = f"s3://state/here/fleet/lease/ can't be listed: the bucket has an object {key!r}, "
    with saying(200, page, XML) as url, pytest.raises(StateError, match=re.escape(said)):
        listed_at(url, environment)


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"])
def test_credentials_that_have_expired_are_to_be_renewed(code: str, environment: pytest.MonkeyPatch) -> None:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>words</Message></Error>"
    said = rf"{code}, HTTP 400\): the credentials in the environment are not valid any more\. Renew AWS_ACCESS_KEY_ID"
    with saying(400, body, XML) as url, pytest.raises(StateError, match=said):
        listed_at(url, environment)
