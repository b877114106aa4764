"""Key to URL and back, in every style."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings import SourceEncordSettings, SourceSettings, StorageSettings, UrlStyle
from registration_pipeline.settings.endpoints import store_at
from registration_pipeline.urls import key_reader, object_url, stores_of_urls, url_warning, url_writer

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
    "https, endpoint": source("gs://fleet-bucket/raw/", endpoint_url="https://storage.googleapis.com"),
    "emulator of Google's": source("gs://fleet-bucket/raw/", endpoint_url="http://127.0.0.1:9000"),
    "virtual-hosted, China": source(region="cn-north-1"),
    "virtual-hosted, GovCloud": source(region="us-gov-west-1"),
    "path, ISO": source(style=UrlStyle.PATH, region="us-iso-east-1"),
    "path, ISOB, region not known yet": source(style=UrlStyle.PATH, region="us-isob-north-9"),
    "virtual-hosted, European cloud": source(region="eusc-de-east-1"),
    "mrap, China": source(style=UrlStyle.MRAP, access_point_arn=ARN.replace("arn:aws:", "arn:aws-cn:")),
    "Azure in China": source("az://fleet@account1/", endpoint_url="https://account1.blob.core.chinacloudapi.cn"),
    "obs, another cloud": source("obs://fleet-bucket/", region="ap-1", endpoint_url="https://obs.ap-1.example"),
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
    "emulator of Google's": "http://127.0.0.1:9000/fleet-bucket/",
    "virtual-hosted, China": "https://fleet-bucket.s3.cn-north-1.amazonaws.com.cn/",
    "virtual-hosted, GovCloud": "https://fleet-bucket.s3.us-gov-west-1.amazonaws.com/",
    "path, ISO": "https://s3.us-iso-east-1.c2s.ic.gov/fleet-bucket/",
    "path, ISOB, region not known yet": "https://s3.us-isob-north-9.sc2s.sgov.gov/fleet-bucket/",
    "virtual-hosted, European cloud": "https://fleet-bucket.s3.eusc-de-east-1.amazonaws.eu/",
    "mrap, China": f"https://{ARN.replace('arn:aws:', 'arn:aws-cn:')}.s3-accesspoint.amazonaws.com.cn/",
    "Azure in China": "https://account1.blob.core.chinacloudapi.cn/fleet/",
    "obs, another cloud": "https://obs.ap-1.example/fleet-bucket/",
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


S3, GS, AZ, OBS = "s3://bucket/", "gs://bucket/", "az://box@account1/", "obs://bucket/"


@pytest.mark.parametrize(
    ("uri", "endpoint", "store"),
    [
        pytest.param(S3, "https://s3.amazonaws.com", "Amazon S3", id="Amazon, anywhere"),
        pytest.param(S3, "https://s3.dualstack.eu-west-2.amazonaws.com", "Amazon S3", id="Amazon for IPv6"),
        pytest.param(S3, "https://s3.eu-west-2.api.aws", "Amazon S3", id="Amazon's newer name for IPv6"),
        pytest.param(S3, "https://s3-eu-west-1.amazonaws.com", "Amazon S3", id="Amazon's older name"),
        pytest.param(S3, "https://bucket.vpce-1-2.s3.us-east-1.vpce.amazonaws.com", "Amazon S3", id="Amazon privately"),
        pytest.param(
            S3, "https://s3-fips.us-gov-west-1.amazonaws.com", "Amazon S3 (partition aws-us-gov)", id="GovCloud"
        ),
        pytest.param(S3, "https://s3.cn-north-1.amazonaws.com.cn", "Amazon S3 (partition aws-cn)", id="China"),
        pytest.param(S3, "http://ec2-1-2-3-4.compute.amazonaws.com:9000", None, id="a store on a machine of Amazon's"),
        pytest.param(S3, "https://s3-proxy-1.eu-west-2.elb.amazonaws.com", None, id="a store behind a load balancer"),
        pytest.param(S3, "https://s3.eu-west-2.amazonaws.com.example", None, id="a name that begins like Amazon's"),
        pytest.param(GS, "https://storage.googleapis.com", "Google Cloud Storage", id="Google"),
        pytest.param(GS, "https://storage.mtls.googleapis.com:443", "Google Cloud Storage", id="Google with mTLS"),
        pytest.param(GS, "https://storage.apis-tpczero.goog", None, id="a sovereign cloud of Google's"),
        pytest.param(GS, "https://evilgoogleapis.com", None, id="a name that ends like Google's"),
        pytest.param(
            AZ,
            "https://account1-secondary.blob.core.windows.net",
            "account account1 in Azure's public cloud",
            id="secondary",
        ),
        pytest.param(AZ, "https://account1.z22.blob.storage.azure.net", None, id="an Azure DNS zone"),
        pytest.param(
            OBS, "https://obs.eu-de.otc.t-systems.com", "Open Telekom Cloud's OBS in eu-de", id="Open Telekom"
        ),
    ],
)
def test_an_endpoint_is_recognised_as_the_providers_own_or_named_itself(
    uri: str, endpoint: str, store: str | None
) -> None:
    assert store_at(source(uri, region="eu-de").location, endpoint) == (store or endpoint)


@pytest.mark.parametrize(
    ("one", "other"),
    [("https://Store.example/", "https://store.example:443"), ("http://[::1]:9000", "http://[::1]:9000/")],
    ids=["case and port", "IPv6"],
)
def test_two_ways_to_write_an_endpoint_are_one_store(one: str, other: str) -> None:
    location = source().location
    assert store_at(location, one) == store_at(location, other)


@pytest.mark.parametrize("style", [name for name in SOURCES if not name.startswith("file")])
def test_every_source_that_the_settings_allow_is_listed_where_its_urls_lead(style: str) -> None:
    """The hosts of the URLs themselves are the check: each leads to the store of the URLs."""
    made = SOURCES[style]
    host = urlsplit(object_url(made, "key")).netloc
    if made.url_style not in {UrlStyle.S3, UrlStyle.GS, UrlStyle.MRAP}:
        bare = host.removeprefix(f"{made.location.bucket}.")
        listed = made.storage.endpoint_url or f"https://{bare}"
        assert store_at(made.location, listed) in stores_of_urls(made)


@pytest.mark.parametrize(
    ("made", "is_warned"),
    [
        pytest.param(source("s3://fleet.bucket/", region="eu-west-2"), True, id="dots, virtual-hosted"),
        pytest.param(source("s3://fleet.bucket/", UrlStyle.PATH, region="eu-west-2"), False, id="dots, path"),
        pytest.param(source("s3://fleet.bucket/", UrlStyle.S3), False, id="dots, s3"),
        pytest.param(source(region="eu-west-2"), False, id="no dots"),
        pytest.param(
            source("s3://a.b/", UrlStyle.VIRTUAL_HOSTED, endpoint_url="http://store.example"), False, id="plain http"
        ),
        pytest.param(
            source("obs://a.b/", UrlStyle.VIRTUAL_HOSTED, endpoint_url="https://obs.example"), True, id="dots in OBS"
        ),
    ],
)
def test_a_bucket_with_dots_in_a_host_name_is_warned_of(made: SourceSettings, is_warned: bool) -> None:  # noqa: FBT001
    warning = url_warning(made)
    assert (warning is not None) == is_warned
    assert warning is None or "url_style` to path or s3" in warning


@pytest.mark.parametrize("settings", SOURCES.values(), ids=SOURCES.keys())
@given(key=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
@example(key="a b%41+?#/ü\u0301\n")
def test_the_key_of_a_url_is_the_one_that_it_was_made_of(settings: SourceSettings, key: str) -> None:
    assert key_reader(settings)(object_url(settings, key)) == key


PLAIN = {
    "s3": ("virtual-hosted", "s3://fleet-bucket/raw/ü%20b.jpg"),
    "gs": ("https", "gs://fleet-bucket/raw/ü%20b.jpg"),
    "az": ("azure", "az://fleet@account1/raw/ü%20b.jpg"),
    "obs": ("obs", "obs://fleet-bucket/raw/ü%20b.jpg"),
}


@pytest.mark.parametrize(("name", "url"), PLAIN.values(), ids=PLAIN.keys())
def test_plain_addresses_of_the_source_are_read_too(name: str, url: str) -> None:
    read = key_reader(SOURCES[name])

    assert read(url) == "raw/ü b.jpg"
    assert read(url.replace("fleet", "other")) is None


@pytest.mark.parametrize("path", ["%", "a%2", "%zz", "%ff", "%c3", "%ed%a0%80"])
def test_what_is_not_encoded_text_is_no_key(path: str) -> None:
    assert key_reader(SOURCES["s3"])(f"s3://fleet-bucket/{path}") is None


@pytest.mark.parametrize(
    "url", ["", "raw/a.jpg", "s3://fleet-bucket", "s3://fleet-bucket2/a", "https://s3.amazonaws.com/a"]
)
def test_other_texts_are_urls_of_no_object(url: str) -> None:
    assert key_reader(SOURCES["s3"])(url) is None
