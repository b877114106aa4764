"""Right configurations: defaults, addresses, the environment."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.objects import MediaKind
from registration_pipeline.settings import Settings, SourceScheme, UrlStyle, encord_domain, load_settings
from registration_pipeline.settings.addresses import parse_location
from registration_pipeline.settings.models import spread_schedule
from registration_pipeline.settings.yaml_source import parse_configuration

if TYPE_CHECKING:
    from collections.abc import Callable

    Load = Callable[..., Settings]

REPOSITORY = Path(__file__).parents[3]
SMALLEST = """
sources:
  fleet:
    uri: s3://fleet-bucket/raw/
    storage: {region: eu-west-2}
    encord: {integration: prod-aws}
"""
FILES = "sources: {local: {uri: 'file:///data/media/'}}"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write a configuration and load it."""

    def write_and_load(text: str, **environ: str) -> Settings:
        file = tmp_path / "registration.yaml"
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return load_settings(file, environ)

    return write_and_load


def test_the_smallest_configuration_has_the_documented_defaults(load: Load, tmp_path: Path) -> None:
    settings = load(SMALLEST)
    source = settings.sources["fleet"]
    assert settings.path == tmp_path / "registration.yaml"
    assert settings.state == str(tmp_path / ".registration")
    assert settings.encord.domain == "https://api.encord.com"
    assert (source.name, source.url_style, source.encord.folder) == ("fleet", UrlStyle.VIRTUAL_HOSTED, "fleet")
    assert {kind: source.chunk_size.of(kind) for kind in MediaKind} == {
        MediaKind.IMAGE: 1000,
        MediaKind.VIDEO: 100,
        MediaKind.AUDIO: 1000,
        MediaKind.PDF: 1000,
        MediaKind.TEXT: 1000,
        MediaKind.NIFTI: 1000,
        MediaKind.IMAGE_GROUP: 100,
        MediaKind.IMAGE_SEQUENCE: 100,
        MediaKind.DICOM_SERIES: 100,
    }
    assert (source.max_in_flight, source.settle_seconds, source.min_age_seconds) == (4, 120, 0)
    assert (source.schedule, source.include, source.exclude) == (spread_schedule("fleet"), (), ())


def test_the_example_loads() -> None:
    example = REPOSITORY / "examples" / "registration.yaml"
    settings = load_settings(example, {"FLEET_BUCKET": "fleet-bucket"})
    source = settings.sources["fleet-cameras"]
    assert settings.state == str(REPOSITORY / "examples" / ".registration")
    assert (source.location.bucket, source.location.prefix) == ("fleet-bucket", "raw/")
    assert source.encord.integration == "prod-aws"


def test_settings_can_not_be_changed(load: Load) -> None:
    source = load(SMALLEST).sources["fleet"]
    with pytest.raises(ValidationError, match="frozen"):
        source.max_in_flight = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("uri", "endpoint", "style"),
    [
        pytest.param("gs://bucket/", "http://127.0.0.1:9000", UrlStyle.PATH, id="an emulator of Google's"),
        pytest.param("gs://bucket/", "https://storage-mine.p.googleapis.com", UrlStyle.HTTPS, id="Google privately"),
        pytest.param("az://box@account/", "https://account.blob.core.chinacloudapi.cn", UrlStyle.PATH, id="China"),
        pytest.param("az://box@account/", "https://account.blob.core.windows.net", UrlStyle.AZURE, id="Azure"),
        pytest.param(
            "az://box@account/",
            "https://account.privatelink.blob.core.windows.net",
            UrlStyle.AZURE,
            id="Azure privately",
        ),
        pytest.param("az://box@account/", "https://other.blob.core.windows.net", UrlStyle.PATH, id="another account"),
        pytest.param("obs://bucket/", "https://obs.eu-de.otc.t-systems.com", UrlStyle.OBS, id="Open Telekom"),
        pytest.param("obs://bucket/", "https://obs.eu-nl.otc.t-systems.com", UrlStyle.PATH, id="another region"),
        pytest.param("obs://bucket/", "https://obs.eu-de.sc.otc.t-systems.com", UrlStyle.PATH, id="another cloud"),
    ],
)
def test_without_a_url_style_the_urls_lead_to_the_endpoint(
    load: Load, uri: str, endpoint: str, style: UrlStyle
) -> None:
    text = SMALLEST.replace("{region: eu-west-2}", f"{{region: eu-de, endpoint_url: '{endpoint}'}}")
    assert load(re.sub(r"s3://\S+", uri, text)).sources["fleet"].url_style == style


@pytest.mark.parametrize(
    ("extra", "style"),
    [
        pytest.param("region: eu-west-2", UrlStyle.VIRTUAL_HOSTED, id="s3"),
        pytest.param("endpoint_url: http://127.0.0.1:9000/", UrlStyle.PATH, id="with endpoint"),
        pytest.param("{region: a, endpoint_url: 'http://127.0.0.1:9000'}", UrlStyle.PATH, id="region and endpoint"),
    ],
)
def test_the_url_style_follows_the_store(load: Load, extra: str, style: UrlStyle) -> None:
    extra = extra if extra.startswith("{") else f"{{{extra}}}"
    settings = load(SMALLEST.replace("{region: eu-west-2}", extra))
    assert settings.sources["fleet"].url_style == style
    assert settings.sources["fleet"].storage.endpoint_url in {None, "http://127.0.0.1:9000"}


def test_a_directory_needs_no_integration_and_has_file_urls(load: Load) -> None:
    source = load(FILES).sources["local"]
    assert (source.url_style, source.location.scheme) == (UrlStyle.FILE, SourceScheme.FILE)
    assert (source.location.path, source.location.bucket, source.location.prefix) == (Path("/data/media"), "", "")


@pytest.mark.parametrize(
    ("uri", "bucket", "prefix", "path"),
    [
        pytest.param("s3://bucket", "bucket", "", None, id="bucket alone"),
        pytest.param("s3://bucket/", "bucket", "", None, id="bucket with slash"),
        pytest.param("s3://my.bucket_A/raw", "my.bucket_A", "raw", None, id="old bucket name, half a name"),
        pytest.param("s3://bucket//raw//", "bucket", "/raw//", None, id="empty segments are kept"),
        pytest.param("s3://bucket/a%20b?c#d e/", "bucket", "a%20b?c#d e/", None, id="nothing is decoded"),
        pytest.param("s3://bucket/camera #1/", "bucket", "camera #1/", None, id="a folder's name with a number sign"),
        pytest.param("gs://my_bucket.example/raw", "my_bucket.example", "raw", None, id="Google's"),
        pytest.param("az://$web@account1//raw", "$web", "/raw", None, id="Azure's web container"),
        pytest.param("obs://bucket/@x", "bucket", "@x", None, id="OBS"),
        pytest.param("file:///data/a%20b%C3%A9", "", "", Path("/data/a bé"), id="directory is decoded"),
        pytest.param("file://localhost/data/", "", "", Path("/data"), id="localhost"),
        pytest.param("file:///", "", "", Path("/"), id="root"),
    ],
)
def test_a_uri_is_split(uri: str, bucket: str, prefix: str, path: Path | None) -> None:
    location = parse_location(uri)
    assert (location.bucket, location.prefix, location.path) == (bucket, prefix, path)


@pytest.mark.parametrize(
    ("uri", "key", "below"),
    [
        pytest.param("s3://bucket/raw/", "raw/a/b.jpg", "a/b.jpg", id="folder"),
        pytest.param("s3://bucket", "raw/a/b.jpg", "raw/a/b.jpg", id="whole bucket"),
        pytest.param("s3://bucket/raw/cam", "raw/camera/b.jpg", "camera/b.jpg", id="half a name"),
        pytest.param("s3://bucket/cam", "camera/b.jpg", "camera/b.jpg", id="half a name at the top"),
        pytest.param("s3://bucket//", "//b.jpg", "/b.jpg", id="empty segment"),
        pytest.param("file:///data/", "a/b.jpg", "a/b.jpg", id="directory"),
    ],
)
def test_globs_see_the_key_below_the_prefix(uri: str, key: str, below: str) -> None:
    assert parse_location(uri).below_prefix(key) == below


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param("./a/b", "{folder}/a/b", id="relative"),
        pytest.param("/var/state", "/var/state", id="absolute"),
        pytest.param("~/state", "/home/x/state", id="home"),
        pytest.param("file:///var/st%20ate", "/var/st ate", id="file address"),
        pytest.param("s3://state-bucket/a/", "s3://state-bucket/a", id="s3"),
        pytest.param("gs://state-bucket", "gs://state-bucket", id="gs"),
        pytest.param("az://box@account/a", "az://box@account/a", id="az"),
        pytest.param("az://box/a", "az://box/a", id="az without account"),
        pytest.param("./a?b#c", "{folder}/a?b#c", id="a path is not an address"),
    ],
)
def test_the_state_is_absolute(load: Load, tmp_path: Path, state: str, expected: str) -> None:
    assert load(f"state: {state}\n{SMALLEST}", HOME="/home/x").state == expected.format(folder=tmp_path)


def test_the_file_is_found_by_argument_then_environment_then_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("argument", "variable", "registration"):
        (tmp_path / f"{name}.yaml").write_text(FILES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    environ = {"REGISTRATION_CONFIG": str(tmp_path / "variable.yaml")}
    assert load_settings(tmp_path / "argument.yaml", environ).path == tmp_path / "argument.yaml"
    assert load_settings(None, environ).path == tmp_path / "variable.yaml"
    assert load_settings(None, {}).path == tmp_path / "registration.yaml"


def test_values_come_from_the_environment_and_can_not_inject_yaml(load: Load) -> None:
    text = """
    sources:
      fleet:
        uri: s3://${BUCKET}/raw/
        storage: {region: "${REGION:-eu-west-2}", endpoint_url: "${ENDPOINT:-}", profile: "${EMPTY}"}
        encord: {folder: "${FOLDER}", integration: "$${literal} $5 ${A:-x:-y}"}
        chunk_size: {images: "${IMAGES}"}
        max_in_flight: ${SLOTS:-8}
    """
    folder = "a: {b: [c]} # \n'\"&x *x ${NOT_AGAIN}"
    source = load(text, BUCKET="fleet", REGION="", IMAGES="500", FOLDER=folder, EMPTY="").sources["fleet"]
    assert source.uri == "s3://fleet/raw/"
    assert (source.storage.region, source.storage.endpoint_url, source.storage.profile) == ("eu-west-2", None, None)
    assert (source.encord.folder, source.encord.integration) == (folder, "${literal} $5 x:-y")
    assert (source.chunk_size.images, source.max_in_flight) == (500, 8)


@given(value=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_of_the_environment_arrives_as_it_is(value: str) -> None:
    parsed = parse_configuration("a: [x, '${VALUE}']", file="f", environ={"VALUE": value})
    assert parsed.values == {"a": ["x", value]}


@given(text=st.text(st.sampled_from("ab: -[]{}&*<!|>'\"#%@`\n\t,?~$\x00\x85\ufeffé"), max_size=40))
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    try:
        parse_configuration(text, file="f", environ={})
    except ConfigurationError as error:
        assert error.line is not None  # noqa: PT017 - most texts are refused, some are read


def test_schedule_null_switches_the_night_off(load: Load) -> None:
    assert load(SMALLEST + "    schedule: null\n").sources["fleet"].schedule is None


def test_sources_may_share_values_by_anchor_and_merge(load: Load) -> None:
    settings = load("""
    sources:
      one: &one
        uri: s3://bucket-one/
        storage: {region: eu-west-2}
        encord: {integration: prod}
        max_in_flight: 9
      two:
        <<: *one
        uri: s3://bucket-two/
    """)
    assert settings.sources["two"].max_in_flight == 9
    assert settings.sources["two"].location.bucket == "bucket-two"


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "registration.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + SMALLEST.replace("\n", "\r\n").encode())
    assert list(load_settings(file, {}).sources) == ["fleet"]


def test_the_same_bucket_may_feed_two_folders_and_two_stores_may_have_the_same_bucket_name(load: Load) -> None:
    base = {"uri": "s3://bucket/", "encord": {"folder": "f", "integration": "i"}}
    sources: dict[str, Any] = {
        "one": {**base, "storage": {"region": "eu-west-2"}},
        "two": {**base, "storage": {"region": "eu-west-2"}, "encord": {"folder": "g", "integration": "i"}},
        "three": {**base, "storage": {"endpoint_url": "http://127.0.0.1:9000"}},
    }
    assert len(load(f"sources: {sources}").sources) == 3


def test_the_state_may_lie_in_the_bucket_where_a_rule_leaves_it_out(load: Load) -> None:
    text = f"state: s3://fleet-bucket/raw/state\n{SMALLEST}    exclude: [/state/**]\n"
    assert load(text).state == "s3://fleet-bucket/raw/state"


def test_the_state_may_lie_beside_the_directory(load: Load, tmp_path: Path) -> None:
    text = f"state: ./bucket/../state\nsources: {{local: {{uri: 'file://{tmp_path}/bucket/'}}}}\n"
    assert Path(load(text).state).resolve() == tmp_path / "state"


def test_importing_settings_loads_nothing_heavy() -> None:
    script = (
        "import sys, registration_pipeline.settings, registration_pipeline.urls, registration_pipeline.ids\n"
        "heavy = {'cryptography', 'pyarrow', 'boto3', 'encord', 'dagster', 'obstore', 'tenacity'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("environ", "domain"),
    [
        pytest.param({}, "https://api.encord.com", id="from the file"),
        pytest.param({"ENCORD_DOMAIN": ""}, "https://api.encord.com", id="empty is not set"),
        pytest.param({"ENCORD_DOMAIN": "https://api.us.encord.com/"}, "https://api.us.encord.com", id="overridden"),
        pytest.param({"ENCORD_DOMAIN": "http://127.0.0.1:8080"}, "http://127.0.0.1:8080", id="sandbox"),
        pytest.param({"ENCORD_DOMAIN": "http://[::1]:8080"}, "http://[::1]:8080", id="IPv6"),
    ],
)
def test_the_environment_overrides_encords_domain(load: Load, environ: dict[str, str], domain: str) -> None:
    assert encord_domain(load(SMALLEST), environ) == domain
