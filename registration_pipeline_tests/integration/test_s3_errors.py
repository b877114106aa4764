"""What a store says when it refuses a listing, and which setting the error then names.

The answers come from a real HTTP server on loopback that says just that; moto can't be made to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import (
    CredentialsError,
    HaltError,
    ListingError,
    NotFoundError,
    PermissionDeniedError,
    ServiceUnavailableError,
)
from registration_pipeline.inventory.s3.lister import S3Lister
from registration_pipeline.orchestration.storage.s3 import ListingS3Resource
from registration_pipeline_tests.answers import saying

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from registration_pipeline_tests.conftest import S3Bucket

pytestmark = pytest.mark.slow

PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name><Prefix></Prefix>
<KeyCount>{count}</KeyCount><MaxKeys>1000</MaxKeys>{tail}</ListBucketResult>"""
LAST = "<IsTruncated>false</IsTruncated>"
CONTENTS = (
    "<Contents><Key>{key}</Key><LastModified>2026-11-21T02:00:00.000Z</LastModified>"
    "<ETag>&quot;0123&quot;</ETag><Size>1</Size></Contents>"
)


def error_body(code: str, more: str = "") -> str:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>words</Message>{more}</Error>"


def list_from(endpoint: str) -> list[pa.RecordBatch]:
    resource = ListingS3Resource(
        endpoint_url=endpoint,
        region_name="eu-west-2",
        max_attempts=1,
        aws_access_key_id="AKIASECRETID",
        aws_secret_access_key="verysecretkey",
    )
    return list(S3Lister(resource.get_client(), "bucket", source="fleet").list_objects())


def test_who_was_refused_is_named_where_aws_says_it(aws_environment: str) -> None:
    said = (
        "User: arn:aws:sts::123456789012:assumed-role/nightly/i-0 is not authorized to perform: s3:ListBucket on resource: "
        "&quot;arn:aws:s3:::bucket&quot; because no identity-based policy allows the s3:ListBucket action"
    )
    body = error_body("AccessDenied").replace("words", said)
    with saying(403, body) as endpoint, pytest.raises(PermissionDeniedError) as caught:
        list_from(endpoint)

    assert "Grant s3:ListBucket on arn:aws:s3:::bucket to arn:aws:sts::123456789012:assumed-role/nightly/i-0" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("status", "code", "error", "words"),
    [
        (404, "NoSuchBucket", NotFoundError, r"bucket does not exist.*sources\.fleet\.uri"),
        (403, "AccessDenied", PermissionDeniedError, r"s3:ListBucket on arn:aws:s3:::bucket.*fleet\.storage\.profile"),
        (301, "PermanentRedirect", NotFoundError, r"another region.*sources\.fleet\.storage\.region"),
        (403, "InvalidAccessKeyId", CredentialsError, r"AWS_ACCESS_KEY_ID.*sources\.fleet\.storage\.profile"),
        (403, "SignatureDoesNotMatch", CredentialsError, r"sources\.fleet\.storage\.profile"),
        (400, "ExpiredToken", CredentialsError, r"Log in again.*AWS_SESSION_TOKEN"),
        (403, "RequestTimeTooSkewed", CredentialsError, r"Set this machine's clock"),
        (503, "SlowDown", ServiceUnavailableError, r"Run again later"),
        (500, "InternalError", ServiceUnavailableError, r"Run again later"),
        (429, "TooManyRequests", ServiceUnavailableError, r"Run again later"),
        (400, "SomethingNew", ListingError, r"SomethingNew: words.*sources\.fleet\.storage"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isalpha() else None,
)
def test_a_refusal_becomes_an_error_that_names_the_setting(
    aws_environment: str, status: int, code: str, error: type[HaltError], words: str
) -> None:
    with saying(status, error_body(code)) as endpoint, pytest.raises(error, match=words) as caught:
        list_from(endpoint)

    assert caught.value.__cause__ is None
    assert "AKIASECRETID" not in str(caught.value)


def test_a_wrong_region_is_named_where_the_store_tells_it(aws_environment: str) -> None:
    body = error_body("AuthorizationHeaderMalformed", "<Region>ap-south-1</Region>")
    with saying(400, body) as endpoint, pytest.raises(HaltError, match=r"storage\.region` to ap-south-1"):
        list_from(endpoint)


def test_a_redirect_that_leads_to_a_redirect_ends_and_names_the_region(aws_environment: str) -> None:
    headers = {"x-amz-bucket-region": "us-west-1"}
    with (
        saying(301, error_body("PermanentRedirect"), headers) as endpoint,
        pytest.raises(NotFoundError, match=r"storage\.region` to us-west-1"),
    ):
        list_from(endpoint)


def test_a_missing_bucket_on_a_real_server_is_not_found(s3_bucket: Callable[[], S3Bucket]) -> None:
    client = s3_bucket().client

    with pytest.raises(NotFoundError, match=r"no-such-bucket does not exist"):
        list(S3Lister(client, "no-such-bucket").list_objects())
    with pytest.raises(NotFoundError, match=r"can't be a bucket's name"):
        list(S3Lister(client, "no bucket/at all").list_objects())


def test_an_endpoint_that_does_not_listen_is_unavailable(aws_environment: str) -> None:
    with saying(200, "") as endpoint:
        pass

    with pytest.raises(
        ServiceUnavailableError, match=r"EndpointConnectionError.*sources\.fleet\.storage\.endpoint_url"
    ):
        list_from(endpoint)


def test_no_credentials_at_all_is_a_credentials_error(aws_environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    client = ListingS3Resource(endpoint_url=aws_environment).get_client()

    with pytest.raises(CredentialsError, match=r"NoCredentialsError.*sources\.fleet\.storage\.profile"):
        list(S3Lister(client, "bucket", source="fleet").list_objects())


@pytest.mark.parametrize("body", ["<html>hello & goodbye", "<html>hello</html>", "", "{}"])
def test_something_that_is_not_s3_is_not_mistaken_for_an_empty_bucket(aws_environment: str, body: str) -> None:
    with saying(200, body) as endpoint, pytest.raises(HaltError, match=r"sources\.fleet\.storage\.endpoint_url"):
        list_from(endpoint)


def test_a_key_that_is_not_utf8_is_refused_and_named(aws_environment: str) -> None:
    body = PAGE.format(count=1, tail=LAST + "<EncodingType>url</EncodingType>" + CONTENTS.format(key="caf%E9.jpg"))
    with saying(200, body) as endpoint, pytest.raises(ListingError, match=r"caf%E9\.jpg.*not UTF-8"):
        list_from(endpoint)


@pytest.mark.parametrize(
    ("encoding", "written", "key"),
    [
        ("<EncodingType>url</EncodingType>", "a+b%2Bc%20d", "a b+c d"),
        ("", "a+b%2Bc%20d", "a+b%2Bc%20d"),
    ],
    ids=["url-encoded", "as-is"],
)
def test_a_key_is_decoded_only_if_the_store_says_that_it_encoded(
    aws_environment: str, encoding: str, written: str, key: str
) -> None:
    body = PAGE.format(count=1, tail=LAST + encoding + CONTENTS.format(key=written))
    with saying(200, body) as endpoint:
        [batch] = list_from(endpoint)

    assert batch.to_pylist()[0]["key"] == key
    assert batch.to_pylist()[0]["e_tag"] == "0123"
    assert batch.to_pylist()[0]["storage_class"] is None


@pytest.mark.parametrize("token", ["", "<NextContinuationToken>same</NextContinuationToken>"], ids=["none", "same"])
def test_a_listing_that_goes_round_in_circles_ends(aws_environment: str, token: str) -> None:
    body = PAGE.format(count=0, tail="<IsTruncated>true</IsTruncated>" + token)
    with saying(200, body) as endpoint, pytest.raises(ListingError, match="not where to go on"):
        list_from(endpoint)
