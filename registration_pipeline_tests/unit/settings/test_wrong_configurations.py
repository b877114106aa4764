"""Wrong configurations: each is refused with its place, the remedy, and no secret."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "tell-nobody-4711"
GOOD = """\
sources:
  fleet:
    uri: s3://fleet-bucket/raw/
    storage:
      region: eu-west-2
    encord: {integration: prod}
"""


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """One wrong configuration; ``places`` are (line, dotted key), ``says`` are parts of the message."""

    text: str
    places: tuple[tuple[int, str], ...]
    says: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)


def with_key(line: str, *, key: str, says: str, environ: dict[str, str] | None = None) -> Wrong:
    """The good configuration with one more line for its source, which is wrong."""
    places = ((7, f"sources.fleet.{key}"),)
    return Wrong(text=f"{GOOD}    {line}\n", places=places, says=(says,), environ=environ or {})


def with_storage(storage: str, *, line: int = 5, key: str, says: str, style: str = "", uri: str = "") -> Wrong:
    """The good configuration with another store."""
    text = GOOD.replace("region: eu-west-2", storage)
    text = text.replace("s3://fleet-bucket/raw/", uri) if uri else text
    text += f"    url_style: {style}\n" if style else ""
    return Wrong(text=text, places=((line, f"sources.fleet.{key}"),), says=(says,))


def with_uri(uri: str, says: str) -> Wrong:
    """The good configuration with another URI."""
    text = GOOD.replace("s3://fleet-bucket/raw/", uri)
    return Wrong(text=text, places=((3, "sources.fleet.uri"),), says=(says,))


def with_top(line: str, *, key: str, says: str, environ: dict[str, str] | None = None) -> Wrong:
    """The good configuration with a wrong first line."""
    return Wrong(text=f"{line}\n{GOOD}", places=((1, key),), says=(says,), environ=environ or {})


TWO = GOOD + textwrap.indent(
    "other:\n  uri: s3://fleet-bucket/raw/\n  storage: {region: eu-west-2}\n  encord: {folder: fleet, integration: i}\n",
    "  ",
)

WRONG = {
    "report nowhere": with_storage("inventory_report: reports/", key="storage.inventory_report", says="must be s3://"),
    "report with an account on S3": with_storage(
        "inventory_report: s3://a@b/x", key="storage.inventory_report", says="must be s3://"
    ),
    "report of a directory": with_storage(
        "inventory_report: /reports", key="storage.inventory_report", says="no inventory reports", uri="file:///data/"
    ),
    "top-up without a report": with_storage(
        "{region: eu-west-2, top_up: true}", key="storage.top_up", says="add storage.inventory_report"
    ),
    "versions beside a report": with_storage(
        "{region: eu-west-2, versions: true, inventory_report: s3://reports/}",
        key="storage.versions",
        says="has no effect on inventory reports",
    ),
    "top-up that is no switch": with_storage("top_up: maybe", key="storage.top_up", says="must be true or false"),
    "reports may be 0 days old": with_storage(
        "report_max_age_days: 0", key="storage.report_max_age_days", says="must be 1 or more"
    ),
    "syntax error": Wrong(text="sources:\n  fleet: [a\n", places=((3, ""),), says=("not valid YAML",)),
    "tab": Wrong(text=f"sources:\n\tfleet: {SECRET}\n", places=((2, ""),), says=("not valid YAML", "'\\t'")),
    "control character": Wrong(text=f"{GOOD}    # \x01\n", places=((7, ""),), says=("control character",)),
    "two documents": Wrong(text=f"{GOOD}---\n{GOOD}", places=((7, ""),), says=("single document",)),
    "empty file": Wrong(text="# nothing\n", places=((1, ""),), says=("empty", "sources")),
    "a list at the top": Wrong(text="- sources\n", places=((1, ""),), says=("must be a mapping",)),
    "undefined alias": Wrong(text="sources: *all\n", places=((1, ""),), says=("undefined alias",)),
    "glob without quotes": Wrong(
        text=f"{GOOD}    include: [**/*.jpg]\n", places=((7, ""),), says=("text that starts with * needs quotes",)
    ),
    "alias of itself": Wrong(text="sources: &a {fleet: *a}\n", places=((1, "sources.fleet"),), says=("alias",)),
    "custom tag": with_key("schedule: !env X", key="schedule", says="tag is not supported"),
    "impossible date": with_key("schedule: 2026-13-45", key="schedule", says="put it in quotes"),
    "duplicate key": with_key("uri: s3://fleet-bucket/x/", key="uri", says="already given on line 3"),
    "duplicate source": Wrong(
        text=f"{GOOD}  fleet: {{}}\n", places=((7, "sources.fleet"),), says=("already given on line 2",)
    ),
    "unknown key at the top": with_top("stat: x", key="stat", says="did you mean 'state'?"),
    "unknown key of a source": with_key("max_in_fligth: 4", key="max_in_fligth", says="did you mean 'max_in_flight'?"),
    "unknown key in a section": with_key(
        "chunk_size: {image: 4}", key="chunk_size.image", says="did you mean 'images'?"
    ),
    "unknown key without a near one": with_key("zzz: 4", key="zzz", says="known here: uri, storage"),
    "a source's name as key": with_key("name: fleet", key="name", says="unknown key"),
    "a secret in the file": with_storage(
        f"aws_secret_access_key: {SECRET}", key="storage.aws_secret_access_key", says="unknown key"
    ),
    "no sources": Wrong(text="state: ./x\n", places=((1, "sources"),), says=("missing",)),
    "sources empty": Wrong(text="state: ./x\nsources:\n", places=((2, "sources"),), says=("missing",)),
    "source is text": Wrong(text="sources:\n  fleet: s3://x\n", places=((2, "sources.fleet"),), says=("mapping",)),
    "no uri": Wrong(
        text="sources:\n  fleet:\n    max_in_flight: 4\n",
        places=((2, "sources.fleet.uri"),),
        says=("this key is required",),
    ),
    "misspelt uri is one mistake": Wrong(
        text="sources:\n  fleet:\n    urii: file:///x/\n    encord: {integration: i}\n",
        places=((3, "sources.fleet.urii"),),
        says=("did you mean 'uri'?",),
    ),
    "source name with capitals": Wrong(
        text=GOOD.replace("fleet:", "Fleet_A:"), places=((2, "sources.Fleet_A"),), says=("a-z, 0-9 and hyphens",)
    ),
    "chunk too large": with_key("chunk_size: {images: 10001}", key="chunk_size.images", says="10000 or less"),
    "chunk too large for the plan": Wrong(
        text="encord: {plan: team}\n" + GOOD + "    chunk_size: {images: 2500, image_sequences: 2501}\n",
        places=((8, "sources.fleet.chunk_size.image_sequences"),),
        says=("2500 or less", "encord.plan team allows 2,500 units per manifest"),
    ),
    "chunk of nothing": with_key("chunk_size: {images: 0}", key="chunk_size.images", says="1 or more"),
    "chunk in words": with_key(f"chunk_size: {{images: {SECRET}}}", key="chunk_size.images", says="whole number"),
    "half an upload job": with_key("max_in_flight: 1.5", key="max_in_flight", says="whole number"),
    "yes instead of a number": with_key("max_in_flight: yes", key="max_in_flight", says="whole number"),
    "infinite": with_key("settle_seconds: .inf", key="settle_seconds", says="whole number"),
    "too many in flight": with_key("max_in_flight: 65", key="max_in_flight", says="64 or less"),
    "negative age": with_key("min_age_seconds: -1", key="min_age_seconds", says="0 or more"),
    "number as text key": with_storage("region: 1", key="storage.region", says="must be text"),
    "region with a dot": with_storage("region: eu.west", key="storage.region", says="region's code"),
    "include is text": with_key('include: "*.jpg"', key="include", says="must be a list"),
    "bad glob": with_key('exclude: ["*.png", "[z-a]"]', key="exclude[1]", says="glob"),
    "bad cron": with_key('schedule: "0 25 * * *"', key="schedule", says="the hour field goes from 0 to 23"),
    "schedule is a switch": with_key("schedule: off", key="schedule", says="null switches it off"),
    "null where a value is needed": with_key("max_in_flight: null", key="max_in_flight", says="has no value"),
    "section is a list": with_key("chunk_size: [1]", key="chunk_size", says="mapping"),
    **{
        name: with_key(f"settle_seconds: {number}", key="settle_seconds", says="write plain digits")
        for name, number in {
            "minutes and seconds": "1:30",
            "hours, minutes and seconds": "1:02:03",
            "minutes with a sign": "+1:30",
            "minutes with a fraction": "1:30.5",
            "octal number": "010",
            "octal number with a sign": "-010",
            "number with underscores": "1_000",
            "binary number": "0b11",
            "hexadecimal number": "0x1F",
            "tagged number": "!!int 1:30",
            "fraction with underscores": "1_0.5",
        }.items()
    },
    **{
        name: with_key(f"settle_seconds: {number}", key="settle_seconds", says="must be a whole number")
        for name, number in {
            "not octal, but with a zero": "08",
            "octal number of YAML 1.2": "0o17",
            "impossible minutes": "1:90",
            "number with underscores in quotes": "'1_000'",
            "octal number in quotes": "'010'",
            "minutes in quotes": "'1:30'",
            "fraction in quotes": "'5.0'",
            "digits of another script": "'٣'",
            "exponent": "1e3",
            "off instead of a number": "off",
        }.items()
    },
    "number with underscores from the environment": with_key(
        "settle_seconds: ${QUIET}", key="settle_seconds", says="must be a whole number", environ={"QUIET": "1_000"}
    ),
    "time instead of a cron": with_key("schedule: 2:30", key="schedule", says="put text in quotes"),
    "quoted switch instead of a cron": with_key('schedule: "no"', key="schedule", says="null switches it off"),
    "yes as a style": with_key("url_style: yes", key="url_style", says="must be one of 'virtual-hosted'"),
    "true as text": Wrong(
        text=GOOD.replace("integration: prod", "integration: true"),
        places=((6, "sources.fleet.encord.integration"),),
        says=("must be text",),
    ),
    "two merges": Wrong(
        text="a: &a {uri: 'file:///a/'}\nb: &b {max_in_flight: 2}\nsources:\n  fleet:\n    <<: *a\n    <<: *b\n",
        places=((1, "a"), (2, "b"), (6, "sources.fleet")),
        says=("'<<' is given twice",),
    ),
    "unset variable": with_key(
        "schedule: ${NIGHTLY}", key="schedule", says="the environment variable NIGHTLY is not set"
    ),
    "unset variable in a list": with_key('include: ["${TYPES}"]', key="include[0]", says="variable TYPES is not set"),
    "unset variable as a required value": with_uri("s3://${BUCKET}/", says="variable BUCKET is not set"),
    "malformed reference": with_key("schedule: ${a b}", key="schedule", says="${NAME:-default}"),
    "unclosed reference": with_key('schedule: "${A"', key="schedule", says="${NAME:-default}"),
    "interpolated number that is none": with_key(
        "max_in_flight: ${SLOTS}", key="max_in_flight", says="whole number", environ={"SLOTS": SECRET}
    ),
    "interpolated cron that is none": with_key(
        "schedule: ${NIGHTLY}", key="schedule", says="five fields", environ={"NIGHTLY": SECRET}
    ),
    "interpolated style that is none": with_key(
        "url_style: ${STYLE}", key="url_style", says="must be one of", environ={"STYLE": SECRET}
    ),
    "interpolated state that is none": with_top(
        "state: ftp://${STATE}", key="state", says="must be a path", environ={"STATE": SECRET}
    ),
    "upper case in a bucket of Google's": with_uri("gs://Bucket/raw/", "not a bucket name"),
    "underscore in a bucket of OBS": with_uri("obs://my_bucket/raw/", "not a bucket name"),
    "container without account": with_uri("az://box/raw/", "write az://container@account/prefix/"),
    "account without container": with_uri("az://@account/raw/", "write az://container@account/prefix/"),
    "container with two hyphens in a row": with_uri("az://a--box@account/", "not a container name"),
    "account that is a host": with_uri("az://box@account.blob.core.windows.net/", "not a storage account"),
    "scheme in upper case": with_uri("GS://bucket/raw/", "must be s3://bucket/prefix/"),
    "unknown scheme": with_uri("http://bucket/raw/", "must be s3://bucket/prefix/"),
    "no scheme": with_uri("fleet-bucket/raw", "must be s3://bucket/prefix/"),
    "no bucket": with_uri("s3:///raw/", "the bucket is missing"),
    "bad bucket": with_uri("s3://fleet bucket/raw/", "not a bucket name"),
    "relative directory": with_uri("file://data/media", "three slashes"),
    "directory that is not UTF-8": with_uri("file:///data/%FF", "percent-escapes are not UTF-8"),
    "directory with a zero byte": with_uri("file:///data/%00", "zero byte"),
    "presigned source": with_uri(
        f"s3://fleet-bucket/raw?X-Amz-Credential=me&X-Amz-Signature={SECRET}", "a query (what follows a ?)"
    ),
    "signed folder of a source": with_uri(f"gs://bucket/raw/?X-Goog-Signature={SECRET}", "a query"),
    "SAS of a container": with_uri(f"az://box@account/raw?sv=2024-01-01&sig={SECRET}/x", "a query"),
    "query without a prefix": with_uri(f"s3://fleet-bucket?X-Amz-Signature={SECRET}", "not a bucket name"),
    "version in a source": with_uri(f"obs://bucket/raw?versionId={SECRET}", "a query"),
    "fragment of a source": with_uri(f"s3://fleet-bucket/raw#{SECRET}", "a fragment (what follows a #)"),
    "token in a fragment": with_uri(f"s3://fleet-bucket/raw#access_token={SECRET}/", "a fragment"),
    "password in a source": with_uri(f"s3://me:{SECRET}@fleet-bucket/raw/", "not a bucket name"),
    "user of a source": with_uri(f"gs://{SECRET}@bucket/raw/", "not a bucket name"),
    "password of a container": with_uri(f"az://box:{SECRET}@account/raw/", "not a container name"),
    "query of a directory": with_uri(f"file:///data/raw?sig={SECRET}", "%3F"),
    "fragment of a directory": with_uri(f"file:///data/raw#{SECRET}", "%23"),
    "presigned report": with_storage(
        f"inventory_report: 's3://reports/x?X-Amz-Signature={SECRET}'", key="storage.inventory_report", says="a query"
    ),
    "report with a fragment": with_storage(
        f"inventory_report: 'gs://reports/x#{SECRET}'",
        key="storage.inventory_report",
        says="a fragment",
        uri="gs://bucket/",
    ),
    "report in a signed directory": with_storage(
        f"inventory_report: 'file:///reports?sig={SECRET}'", key="storage.inventory_report", says="%3F"
    ),
    "no integration": Wrong(
        text=GOOD.replace("encord: {integration: prod}", "encord: {folder: f}"),
        places=((6, "sources.fleet.encord.integration"),),
        says=("title or UUID",),
    ),
    "empty folder": Wrong(
        text=GOOD.replace("encord: {", 'encord: {folder: "", '),
        places=((6, "sources.fleet.encord.folder"),),
        says=(),
    ),
    "virtual-hosted without region": with_storage(
        "profile: prod", line=4, key="storage.region", says="add storage.region: the bucket's region"
    ),
    "path without region": with_storage(
        "profile: prod", line=4, key="storage.region", says="add storage.region", style="path"
    ),
    "mrap without access point": with_storage(
        "region: eu-west-2", line=4, key="storage.access_point_arn", says="add its ARN", style="mrap"
    ),
    "access point that is none": with_storage(
        "access_point_arn: arn:aws:s3:eu-west-2:123:accesspoint/x", key="storage.access_point_arn", says="multi-region"
    ),
    "endpoint with a password": with_storage(
        f"endpoint_url: https://me:{SECRET}@host", key="storage.endpoint_url", says="without user name"
    ),
    "endpoint without scheme": with_storage(
        "endpoint_url: 127.0.0.1:9000", key="storage.endpoint_url", says="http://host:port"
    ),
    "endpoint with a port that is none": with_storage(
        "endpoint_url: http://host:99999", key="storage.endpoint_url", says="http://host:port"
    ),
    "file style for a bucket": with_storage(
        "region: eu-west-2", line=7, key="url_style", says="file is not for s3:// sources", style="file"
    ),
    "bucket style for a directory": with_storage(
        "region: eu-west-2", line=7, key="url_style", says="leave the key out", style="path", uri="file:///data/"
    ),
    "style that there is not": with_key("url_style: web", key="url_style", says="must be one of 'virtual-hosted'"),
    "style of another store": with_key(
        "url_style: azure", key="url_style", says="azure is not for s3:// sources; use virtual-hosted, path, s3 or mrap"
    ),
    "S3's style for Google's": with_storage(
        "endpoint_url: http://host",
        line=7,
        key="url_style",
        says="use https, gs or path",
        style="s3",
        uri="gs://bucket/",
    ),
    "path in Azure without endpoint": with_storage(
        "region: a",
        line=4,
        key="storage.endpoint_url",
        says="leave url_style out",
        style="path",
        uri="az://box@account/",
    ),
    "OBS without region": with_storage(
        "profile: prod", line=4, key="storage.region", says="add storage.region, e.g. eu-de", uri="obs://bucket/"
    ),
    "obs style with an endpoint and no region": with_storage(
        "endpoint_url: http://host",
        line=4,
        key="storage.region",
        says="url_style obs needs it",
        style="obs",
        uri="obs://bucket/",
    ),
    "obs style with another cloud's endpoint": with_storage(
        "{region: eu-de, endpoint_url: https://obs.ap-southeast-1.myhuaweicloud.com}",
        line=7,
        key="url_style",
        says="storage.endpoint_url lists another one; use path",
        style="obs",
        uri="obs://bucket/",
    ),
    "s3 style with another store's endpoint": with_storage(
        "endpoint_url: https://store.example", line=7, key="url_style", says="storage.endpoint_url", style="s3"
    ),
    "access point with another store's endpoint": with_storage(
        "{endpoint_url: https://store.example, access_point_arn: 'arn:aws:s3::1:accesspoint/a.mrap'}",
        line=7,
        key="url_style",
        says="storage.endpoint_url",
        style="mrap",
    ),
    "azure style in another of Azure's clouds": with_storage(
        "endpoint_url: https://account.blob.core.chinacloudapi.cn",
        line=7,
        key="url_style",
        says="storage.endpoint_url",
        style="azure",
        uri="az://box@account/",
    ),
    "gs style with an emulator": with_storage(
        "endpoint_url: http://127.0.0.1:9000",
        line=7,
        key="url_style",
        says="storage.endpoint_url",
        style="gs",
        uri="gs://bucket/",
    ),
    "requester pays in Azure": with_storage(
        "requester_pays: true", key="storage.requester_pays", says="s3:// and gs://", uri="az://box@account/"
    ),
    "scheme that is not known": with_uri("ftp://bucket/raw/", "ftp:// is none of these"),
    "scheme that is not known, of the state": with_top("state: hdfs://host/x", key="state", says="hdfs:// is none"),
    "AWS profile for Google's": with_storage(
        "profile: prod",
        key="storage.profile",
        says="credentials of gs:// come from the environment",
        uri="gs://bucket/",
    ),
    "virtual-hosted with an old bucket name": with_storage(
        "region: eu-west-2\n    url_style: virtual-hosted",
        line=6,
        key="url_style",
        says="use path",
        uri="s3://Fleet_Bucket/",
    ),
    "two sources with one target": Wrong(
        text=TWO, places=((7, "sources.other"),), says=("same uri and encord.folder as source 'fleet'",)
    ),
    "domain with a path": with_top("encord: {domain: https://host/api}", key="encord.domain", says="without a path"),
    "domain without scheme": with_top("encord: {domain: api.encord.com}", key="encord.domain", says="https://host"),
    "key in the encord section": with_top(
        f"encord: {{ssh_key: {SECRET}}}", key="encord.ssh_key", says="known here: domain"
    ),
    "state of an unknown kind": with_top("state: obs://bucket/x", key="state", says="must be a path"),
    "state without bucket": with_top("state: s3://", key="state", says="bucket"),
    "presigned state": with_top(
        f"state: s3://bucket/state?X-Amz-Signature={SECRET}", key="state", says="a query (what follows a ?)"
    ),
    "state with a SAS": with_top(f"state: az://box@account/state?sig={SECRET}", key="state", says="a query"),
    "state with a query and no prefix": with_top(f"state: gs://bucket?sig={SECRET}", key="state", says="a query"),
    "state with a fragment": with_top(f"state: s3://bucket/state#{SECRET}/x", key="state", says="a fragment"),
    "state of a signed file": with_top(f"state: file:///data/x?sig={SECRET}", key="state", says="%3F"),
    "state with a password": with_top(f"state: gs://me:{SECRET}@bucket/x", key="state", says="not a bucket name"),
    "state with a user": with_top(f"state: s3://{SECRET}@bucket/x", key="state", says="not a bucket name"),
    "state in a container with a password": with_top(
        f"state: az://box:{SECRET}@account/x", key="state", says="not a container name"
    ),
    "signed state without a scheme": with_top(
        f"state: bucket/state?X-Amz-Signature={SECRET}", key="state", says="holds a signature"
    ),
    "connection string as the state": with_top(
        f"state: AccountName=account;AccountKey={SECRET}", key="state", says="holds a signature"
    ),
    "state behind a web address": with_top(
        f"state: https://me:{SECRET}@host/x?sig={SECRET}", key="state", says="must be a path"
    ),
    "state is a number": with_top("state: 5", key="state", says="must be text"),
    "state inside the source": Wrong(
        text=f"state: s3://fleet-bucket/raw/state\n{GOOD}",
        places=((4, "sources.fleet.uri"),),
        says=("the state lies inside this source",),
    ),
    "state inside the container": Wrong(
        text=f"state: az://box@account/raw/state\n{GOOD}".replace("s3://fleet-bucket/", "az://box@account/"),
        places=((4, "sources.fleet.uri"),),
        says=("the state lies inside this source",),
    ),
    "state inside the directory": Wrong(
        text="state: ./bucket/x/../state\nsources: {local: {uri: 'file://${FOLDER}/bucket/'}}\n",
        places=((2, "sources.local.uri"),),
        says=("the state lies inside this source",),
        environ={"FOLDER": "{folder}"},
    ),
    "several at once": Wrong(
        text=(
            "encord: {domain: nowhere}\nsources:\n  one:\n    uri: s3://one-bucket/\n    max_in_flight: 0\n"
            "    chunk_size: {videos: 0, imges: 3}\n  two:\n    uri: s3://two-bucket/\n  Three: {uri: az://x}\n"
        ),
        places=(
            (1, "encord.domain"),
            (3, "sources.one.encord.integration"),
            (3, "sources.one.storage.region"),
            (5, "sources.one.max_in_flight"),
            (6, "sources.one.chunk_size.imges"),
            (6, "sources.one.chunk_size.videos"),
            (7, "sources.two.encord.integration"),
            (7, "sources.two.storage.region"),
            (9, "sources.Three"),
            (9, "sources.Three.uri"),
        ),
    ),
    "a misspelled key is not also missed": with_storage(
        "regoin: eu-west-2", key="storage.regoin", says="did you mean 'region'?"
    ),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_configuration_names_file_line_and_key_of_every_problem(wrong: Wrong, tmp_path: Path) -> None:
    file = tmp_path / "registration.yaml"
    file.write_text(wrong.text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        load_settings(file, {name: value.replace("{folder}", str(tmp_path)) for name, value in wrong.environ.items()})
    message = str(raised.value)
    assert raised.value.exit_status == 2
    found = [
        (int(place["line"]), place["key"] or "")
        for line in message.splitlines()
        if (place := re.match(rf"{re.escape(str(file))}:(?P<line>\d+): (?:(?P<key>[\w.\-]+(?:\[\d+\])?): )?", line))
    ]
    # A syntax error has no key; what stands there is the problem's first words.
    found = [(line, "" if key.startswith("not ") else key) for line, key in found]
    assert sorted(found) == sorted(wrong.places)
    assert len(message.splitlines()) == len(wrong.places)
    for part in wrong.says:
        assert part in message
    assert SECRET not in message
    assert SECRET not in repr(raised.value.__cause__)


def test_a_single_problem_gives_file_line_and_key_as_attributes(tmp_path: Path) -> None:
    file = tmp_path / "registration.yaml"
    file.write_text(WRONG["bad cron"].text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        load_settings(file, {})
    assert (raised.value.file, raised.value.line, raised.value.key) == (str(file), 7, "sources.fleet.schedule")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(lambda _: None, "the configuration file does not exist", id="missing"),
        pytest.param(lambda file: file.mkdir(), "can't be read", id="a folder"),
        pytest.param(lambda file: file.write_bytes(b"state: x\n# \xff\n"), "registration.yaml:2: ", id="not UTF-8"),
    ],
)
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, make: object, says: str) -> None:
    assert callable(make)
    file = tmp_path / "registration.yaml"
    make(file)
    with pytest.raises(ConfigurationError) as raised:
        load_settings(None, {"REGISTRATION_CONFIG": str(file)})
    assert raised.value.exit_status == 2
    assert says in str(raised.value)
    assert str(file) in str(raised.value)


def test_the_file_that_a_missing_one_is_to_become_is_right(tmp_path: Path) -> None:
    file = tmp_path / "registration.yaml"
    with pytest.raises(ConfigurationError) as raised:
        load_settings(file, {})
    told = str(raised.value)
    file.write_text(told[told.index("\nsources:") : told.index("\n(")], encoding="utf-8")
    assert list(load_settings(file, {}).sources) == ["my-source"]


GIVEN = {
    "a number": ("max_in_flight: 0", "max_in_flight: must be 1 or more (given: '0')"),
    "a number in words": ("max_in_flight: many", "max_in_flight: must be a whole number (given: 'many')"),
    "a time": ("settle_seconds: 1:30", "(given: '1:30')"),
    "a cron": ('schedule: "0 25 * * *"', "(given: '0 25 * * *')"),
    "a word for a cron": ("schedule: nightly", "(given: 'nightly')"),
    "a style": ("url_style: virtualhosted", "'file' (given: 'virtualhosted')"),
    "a time zone": ("timezone: Europe/Berlyn", "did you mean Europe/Berlin? (given: 'Europe/Berlyn')"),
    "a kind": ('kinds: [{match: "*.dat", kind: picture}]', "(given: 'picture')"),
    "a switch": ('upsert_metadata: "yes"', "upsert_metadata: must be true or false (given: 'yes')"),
}


@pytest.mark.parametrize(("line", "says"), GIVEN.values(), ids=GIVEN)
def test_the_value_that_was_given_is_named(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "registration.yaml"
    file.write_text(f"{GOOD}    {line}\n")
    with pytest.raises(ConfigurationError) as raised:
        load_settings(file, {})
    assert str(raised.value).endswith(says) or says in str(raised.value)
    assert str(raised.value).startswith(f"{file}:7: sources.fleet.")


NOT_GIVEN = {
    "from the environment": "schedule: ${NIGHTLY}",
    "partly from the environment": "schedule: x${NIGHTLY}",
    "in a place of free text": f"max_in_flight: {SECRET}",
    "longer than any name": f"schedule: {'x' * 41}",
    "nothing": "max_in_flight: null",
}


@pytest.mark.parametrize("line", NOT_GIVEN.values(), ids=NOT_GIVEN)
def test_what_may_be_private_is_not_quoted(tmp_path: Path, line: str) -> None:
    file = tmp_path / "registration.yaml"
    file.write_text(f"{GOOD}    {line}\n")
    with pytest.raises(ConfigurationError) as raised:
        load_settings(file, {"NIGHTLY": "secret"})
    assert "given" not in str(raised.value)
    assert "secret" not in str(raised.value)


SWITCHES = {
    "upsert_metadata": "upsert_metadata: {}",
    "strict_client_only": "strict_client_only: {}",
    "storage.top_up": "storage: {{region: eu-west-2, inventory_report: s3://reports/x/, top_up: {}}}",
    "storage.versions": "storage: {{region: eu-west-2, versions: {}}}",
    "storage.requester_pays": "storage: {{region: eu-west-2, requester_pays: {}}}",
    "metadata[0].object_metadata": "metadata: [{{object_metadata: {}}}]",
}


@pytest.mark.parametrize("written", ["yes", '"yes"', "1", '"on"', '"True"', "maybe", "0.0", "[true]"])
@pytest.mark.parametrize(("key", "line"), SWITCHES.items(), ids=SWITCHES)
def test_a_switch_is_true_or_false_and_nothing_like_it(tmp_path: Path, key: str, line: str, written: str) -> None:
    good = GOOD.replace("    storage:\n      region: eu-west-2\n", "") if key.startswith("storage") else GOOD
    file = tmp_path / "registration.yaml"
    file.write_text(f"{good}    {line.format(written)}\n")
    with pytest.raises(ConfigurationError) as raised:
        load_settings(file, {})
    assert f"sources.fleet.{key}: must be true or false" in str(raised.value)


@pytest.mark.parametrize("written", ["true", '"true"', "${ON}", "${ON:-false}", "${OFF:-true}"])
def test_a_switch_may_come_from_the_environment(tmp_path: Path, written: str) -> None:
    file = tmp_path / "registration.yaml"
    file.write_text(f"{GOOD}    strict_client_only: {written}\n    media_metadata: probe\n")
    assert load_settings(file, {"ON": "true"}).sources["fleet"].strict_client_only is True
