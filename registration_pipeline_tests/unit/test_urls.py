"""Key to URL and back, in every style."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings import SourceEncordSettings, SourceSettings, StorageSettings, UrlStyle
from registration_pipeline.urls import object_url, url_writer

ARN = "arn:aws:s3::123123123:accesspoint/frf28frarf9.mrap"
UNENCODED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")


def source(uri: str = "s3://fleet-bucket/raw/", style: UrlStyle | None = None, **storage: str) -> SourceSettings:
    values = {
        "name": "fleet",
        "uri": uri,
        "url_style": style,
        "storage": storage,
        "encord": SourceEncordSettings(integration="prod"),
    }
    return SourceSettings.model_validate(values)


SOURCES = {
    "virtual-hosted": source(region="eu-west-2"),
    "virtual-hosted, dots in the bucket": source("s3://fleet.bucket.eu/", region="eu-west-2"),
    "virtual-hosted, endpoint": source(style=UrlStyle.VIRTUAL_HOSTED, endpoint_url="https://store.example:9000"),
    "path": source(style=UrlStyle.PATH, region="eu-west-2"),
    "path, endpoint": source(endpoint_url="http://127.0.0.1:9000/"),
    "s3": source(style=UrlStyle.S3),
    "mrap": source(style=UrlStyle.MRAP, access_point_arn=ARN),
    "https": source("gs://fleet-bucket/raw/"),
    "https, endpoint": source("gs://fleet-bucket/raw/", endpoint_url="http://127.0.0.1:9000"),
    "gs": source("gs://fleet_bucket.example/", style=UrlStyle.GS),
    "path in Google's": source("gs://fleet-bucket/", style=UrlStyle.PATH, endpoint_url="http://127.0.0.1:9000"),
    "azure": source("az://fleet@account1/raw/"),
    "azure, web container": source("az://$web@account1/raw/"),
    "path in Azure": source("az://fleet@account1/", style=UrlStyle.PATH, endpoint_url="http://127.0.0.1:1/account1"),
    "obs": source("obs://fleet-bucket/raw/", region="eu-de"),
    "obs, path": source("obs://fleet-bucket/raw/", style=UrlStyle.PATH, region="eu-de"),
    "obs, virtual-hosted": source(
        "obs://fleet-bucket/", style=UrlStyle.VIRTUAL_HOSTED, endpoint_url="https://obs.example"
    ),
    "file": source("file:///data/m%C3%A9dia%20and%20more"),
    "file, root": source("file:///"),
}
BASES = {
    "virtual-hosted": "https://fleet-bucket.s3.eu-west-2.amazonaws.com/",
    "virtual-hosted, dots in the bucket": "https://fleet.bucket.eu.s3.eu-west-2.amazonaws.com/",
    "virtual-hosted, endpoint": "https://fleet-bucket.store.example:9000/",
    "path": "https://s3.eu-west-2.amazonaws.com/fleet-bucket/",
    "path, endpoint": "http://127.0.0.1:9000/fleet-bucket/",
    "s3": "s3://fleet-bucket/",
    "mrap": f"https://{ARN}.s3-accesspoint.amazonaws.com/",
    "https": "https://storage.cloud.google.com/fleet-bucket/",
    "https, endpoint": "https://storage.cloud.google.com/fleet-bucket/",
    "gs": "gs://fleet_bucket.example/",
    "path in Google's": "http://127.0.0.1:9000/fleet-bucket/",
    "azure": "https://account1.blob.core.windows.net/fleet/",
    "azure, web container": "https://account1.blob.core.windows.net/%24web/",
    "path in Azure": "http://127.0.0.1:1/account1/fleet/",
    "obs": "https://fleet-bucket.obs.eu-de.otc.t-systems.com/",
    "obs, path": "https://obs.eu-de.otc.t-systems.com/fleet-bucket/",
    "obs, virtual-hosted": "https://fleet-bucket.obs.example/",
    "file": "file:///data/m%C3%A9dia%20and%20more/",
    "file, root": "file:///",
}
every_style = pytest.mark.parametrize("style", SOURCES)
# Every Unicode string without surrogates, and strings made mostly of what breaks URLs.
keys = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.sampled_from("./%+#?&=:;@ \t\n\r\0\x7f\\\"'<>[]{}|^`~*!$(),\u00e9\u0301日🙂\u2028a1")),
)


@every_style
def test_the_base_of_the_url_is_the_one_the_interface_fixes(style: str) -> None:
    assert object_url(SOURCES[style], "raw/a.jpg") == BASES[style] + "raw/a.jpg"


def test_encords_own_mrap_example_is_written_exactly() -> None:
    url = object_url(SOURCES["mrap"], "Videos/2022/video_1.mp4")
    host = "arn:aws:s3::123123123:accesspoint/frf28frarf9.mrap.s3-accesspoint.amazonaws.com"
    assert url == f"https://{host}/Videos/2022/video_1.mp4"


@every_style
@given(key=keys)
@example(key="")
@example(key="/")
@example(key="//a")
@example(key="/leading")
@example(key="a/../b")
@example(key="../../etc")
@example(key="a/./b")
@example(key="a//b")
@example(key="%41%2F%")
@example(key="a+b c#d?e=f&g")
@example(key="line\r\nbreak\x00")
@example(key="trailing ")
@example(key="\u00e9")
@example(key="e\u0301")
@example(key="https://elsewhere/a")
def test_a_key_survives_the_way_to_a_url_and_back(style: str, key: str) -> None:
    url = object_url(SOURCES[style], key)
    assert unquote(url.removeprefix(BASES[style]), errors="strict") == key
    assert url_writer(SOURCES[style])(key) == url
    assert re.search(r"[\s+#?\x00-\x20\x7f-\U0010ffff]", url) is None


@every_style
@given(key=keys)
def test_exactly_the_bytes_outside_the_unreserved_set_are_escaped(style: str, key: str) -> None:
    escaped = "".join(chr(byte) if byte in UNENCODED else f"%{byte:02X}" for byte in key.encode())
    assert object_url(SOURCES[style], key) == BASES[style] + escaped


@given(one=keys, other=keys)
@example(one="\u00e9", other="e\u0301")
@example(one="a/b", other="a//b")
@example(one="a b", other="a%20b")
def test_different_keys_have_different_urls(one: str, other: str) -> None:
    write = url_writer(SOURCES["virtual-hosted"])
    assert (write(one) == write(other)) == (one == other)


@given(key=keys)
def test_url_parsers_find_no_query_and_no_fragment(key: str) -> None:
    parts = urlsplit(object_url(SOURCES["virtual-hosted"], key))
    assert (parts.netloc, parts.query, parts.fragment) == ("fleet-bucket.s3.eu-west-2.amazonaws.com", "", "")


def test_a_key_with_a_surrogate_is_refused_instead_of_changed() -> None:
    with pytest.raises(UnicodeEncodeError):
        object_url(SOURCES["s3"], "\ud800")


@pytest.mark.parametrize(
    ("incomplete", "key"),
    [
        pytest.param(source(), "storage.region", id="virtual-hosted without region"),
        pytest.param(source(style=UrlStyle.MRAP), "storage.access_point_arn", id="mrap without access point"),
        pytest.param(source(style=UrlStyle.FILE), "url_style", id="file style for a bucket"),
        pytest.param(source("gs://bucket/", style=UrlStyle.S3), "url_style", id="S3's style for Google's"),
        pytest.param(
            source("az://box@account/", style=UrlStyle.PATH), "storage.endpoint_url", id="path without endpoint"
        ),
        pytest.param(source("obs://bucket/"), "storage.region", id="obs without region"),
    ],
)
def test_a_source_made_without_the_loader_is_refused_when_its_style_lacks_something(
    incomplete: SourceSettings, key: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"sources\.fleet\.{re.escape(key)}"):
        url_writer(incomplete)


def test_every_style_is_among_those_that_are_tried() -> None:
    assert {made.url_style for made in SOURCES.values()} == set(UrlStyle)


def test_models_can_be_made_in_code_with_the_same_defaults() -> None:
    made = SourceSettings(
        name="fleet", uri="s3://fleet-bucket/", storage=StorageSettings(endpoint_url="http://127.0.0.1:9000")
    )
    assert (made.url_style, made.encord.folder) == (UrlStyle.PATH, "fleet")
