"""Texts of others: every kind of secret is masked, and what people need to read stays."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.foreign_text import kept_cause, masked

S = "5d41402abc4b2a76b9719d911017c592deadbeef"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
KEY_LINE = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW"

SECRETS = {
    "Amazon, version 4": f"https://b.s3.amazonaws.com/a?X-Amz-Expires=60&X-Amz-Signature={S}&x-id=GetObject",
    "Amazon, credential": f"https://b.s3.amazonaws.com/a?X-Amz-Credential={S}%2F20261127%2Feu-west-2%2Fs3%2Faws4_request",
    "Amazon, session": f"https://b.s3.amazonaws.com/a?X-Amz-Security-Token={S}%2F%2F%3D%3D",
    "Amazon, version 2": f"https://b.s3.amazonaws.com/a?AWSAccessKeyId={S}&Expires=1&Signature={S}%3D",
    "Google": f"https://storage.googleapis.com/b/a?X-Goog-Credential={S}%40p.iam&X-Goog-Signature={S}",
    "Google, version 2": f"https://storage.googleapis.com/b/a?GoogleAccessId={S}@p.iam&Signature={S}",
    "Azure SAS": f"https://acc.blob.core.windows.net/c/a?sv=2024-01-01&sr=b&sp=r&se=2026-11-28&sig={S}%2Fx%3D",
    "Azure SAS first": f"https://acc.blob.core.windows.net/c/a?sig={S}&sv=2024-01-01",
    "OBS": f"https://b.obs.eu-de.otc.t-systems.com/a?AccessKeyId={S}&Expires=1&Signature={S}",
    "OBS, session": f"https://b.obs.eu-de.otc.t-systems.com/a?x-obs-security-token={S}",
    "Alibaba": f"https://b.oss-cn-x.aliyuncs.com/a?OSSAccessKeyId={S}&Signature={S}",
    "Tencent": f"https://b.cos.ap.myqcloud.com/a?q-sign-algorithm=sha1&q-ak={S}&q-signature={S}",
    "CloudFront": f"https://d1.cloudfront.net/a?Expires=1&Signature={S}&Key-Pair-Id=K1",
    "upper and lower case": f"https://b.s3.amazonaws.com/a?x-amz-SIGNATURE={S}",
    "URL inside a URL": f"https://proxy/?url=https%3A%2F%2Fb%2Fa%3Fsv%3D1%26sig%3D{S}%26se%3D1",
    "URL inside a URL inside a URL": f"https://p/?u=https%253A%252F%252Fb%252Fa%253Fsig%253D{S}%2526se%253D1",
    "in HTML": f'<a href="https://b/a?sv=1&amp;sig={S}">',
    "in JSON that escapes ampersands": rf'{{"url": "https://b/a?sv\u003d1\u0026sig\u003d{S}"}}',
    "as a JSON value": f'{{"X-Amz-Security-Token": "{S}"}}',
    "as a JSON value in a JSON string": rf"{{\"aws_session_token\": \"{S}\"}}",
    "as a Python value": f"{{'SecretAccessKey': '{S}'}}",
    "as a header": f"x-amz-security-token: {S}",
    "in S3's XML": f"<Error><AWSAccessKeyId>{S}</AWSAccessKeyId><SignatureProvided>{S}</SignatureProvided></Error>",
    "in XML with a namespace": f"<ns:SessionToken>{S}</ns:SessionToken>",
    "Azure connection string": f"DefaultEndpointsProtocol=https;AccountName=acc;AccountKey={S}==;EndpointSuffix=x",
    "Azure connection string with a SAS": f"BlobEndpoint=https://acc;SharedAccessSignature=sv=1&sig={S}",
    "user and password": f"ProxyError: http://me:{S}@proxy:3128/ refused",
    "password with an at sign": f"http://me:p@{S}@proxy/",
    "token before the host": f"https://{S}@github.com/x",
    "password of another scheme": f"postgresql://me:{S}@db/x",
    "bearer token": f"Authorization: Bearer {S}",
    "bearer token elsewhere": f"refused 'bearer {S}' as expired",
    "basic credentials": f"Proxy-Authorization: Basic {S}==",
    "signed header": f"Authorization: AWS4-HMAC-SHA256 Credential={S}/20261127, SignedHeaders=host, Signature={S}",
    "header in a dict": f"{{'Authorization': '{S}'}}",
    "access token": f"https://host/?access_token={S}",
    "refresh token": f"refresh_token={S}&grant_type=refresh_token",
    "client secret": f"client_id=x&client_secret={S}",
    "API key": f"api-key: {S}",
    "environment": f"AWS_SECRET_ACCESS_KEY={S}",
    "password": f"password={S}",
}
KEYS = {
    "a private key": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{S}\n{S}\n-----END OPENSSH PRIVATE KEY-----\nrest",
    "a private key in one line": f"got -----BEGIN RSA PRIVATE KEY----- {S} {S} -----END RSA PRIVATE KEY----- rest",
    "a private key with escaped line ends": rf"-----BEGIN PRIVATE KEY-----\n{S}\n-----END PRIVATE KEY-----\n rest",
    "a private key that was cut": f"-----BEGIN EC PRIVATE KEY-----\n{S}",
}
HARMLESS = [
    "The object can't be read (404).",
    "403 for https://bucket.s3.eu-west-2.amazonaws.com/raw/camera-1/frame.jpg?versionId=3: AccessDenied",
    "SignatureDoesNotMatch: the request signature we calculated does not match",
    "invalid token at line 3: unexpected key",
    "token: expired; signature: wrong",
    "an error for az://container@account/raw/a.jpg",
    "az://container@account/prefix and abfss://container@account.dfs.core.windows.net/x",
    "NoSuchKey: The specified key does not exist. Key=raw/design=1.jpg",
    "design=5&continuation-token=abc&page_token=x&max-keys=5",
    "Basic authentication is needed; Bearer is not enough",
    "Authorization: the user may not do this",
    "code=404 id=5 resign=no assign=x",
    "contact me@host.example",
]


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS)
def test_a_secret_is_masked(text: str) -> None:
    shown = masked(text)
    assert S not in shown
    assert "***" in shown
    assert masked(shown) == shown


@pytest.mark.parametrize("text", KEYS.values(), ids=KEYS)
def test_a_private_key_is_masked(text: str) -> None:
    shown = masked(text)
    assert S not in shown
    assert "PRIVATE KEY----- ***" in shown
    assert shown.endswith("rest") == text.endswith("rest")


@pytest.mark.parametrize(
    "secret",
    [
        JWT,
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        f"{KEY_LINE}\n{KEY_LINE}",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    ],
    ids=["JSON web token", "access key id", "session's access key id", "key without frame", "token of GitHub"],
)
def test_a_secret_without_a_name_is_masked(secret: str) -> None:
    assert masked(f"refused {secret}, try again") in {"refused ***, try again", "refused *** , try again"}


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert masked(text) == text


def test_what_is_around_a_secret_stays() -> None:
    text = f"403 for https://b.s3.amazonaws.com/a.jpg?X-Amz-Expires=60&X-Amz-Signature={S}&x-id=Get: AccessDenied (me)"
    assert masked(text) == text.replace(S, "***")


@given(
    before=st.text(st.sampled_from("a1 =&?:/%;,.\"'<>@-_*")),
    after=st.text(st.sampled_from("a1 =&?:/%;,.\"'<>@-_*")),
    name=st.sampled_from(["X-Amz-Signature", "X-Goog-Signature", "X-Amz-Security-Token", "AccessKeyId"]),
    equals=st.sampled_from(["=", "%3D", "%253d", ": ", '": "']),
)
def test_a_named_secret_is_masked_whatever_is_around_it(before: str, after: str, name: str, equals: str) -> None:
    assert S not in masked(f"{before}{name}{equals}{S} {after}")


@given(text=st.text())
def test_any_text_can_be_masked_and_once_is_enough(text: str) -> None:
    assert masked(masked(text)) == masked(text)


@pytest.mark.parametrize(
    "piece",
    ["x-", "a", "://", "://a:", "sig=%25", "-----BEGIN PRIVATE KEY-----", "authorization: ", "bearer ", "eyJ", "<sig>"],
)
def test_long_texts_take_no_longer_than_their_length(piece: str) -> None:
    text = "signature" + piece * (100_000 // len(piece))
    began = time.process_time()
    masked(text)
    assert time.process_time() - began < 5


def test_a_cause_is_kept_unless_its_chain_holds_a_secret() -> None:
    inner, outer = ValueError(f"sig={S}"), RuntimeError("harmless")
    assert kept_cause(outer) is outer
    outer.__cause__ = inner
    assert kept_cause(outer) is None
    outer.__cause__ = None
    outer.__context__ = inner
    assert kept_cause(outer) is None
    inner.__cause__ = outer
    assert kept_cause(inner) is None
