"""Wrong configurations: each is refused with its place, the remedy, and no secret.

What does not belong here: where objects, reports and the state are (``test_wrong_places.py``).
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings import load_settings
from registration_pipeline_tests.unit.settings.wrong_configurations import (
    GOOD,
    SECRET,
    Wrong,
    assert_refused,
    with_key,
    with_storage,
    with_top,
    with_uri,
)

if TYPE_CHECKING:
    from pathlib import Path

TWO = GOOD + textwrap.indent(
    "other:\n  uri: s3://fleet-bucket/raw/\n  storage: {region: eu-west-2}\n  encord: {folder: fleet, integration: i}\n",
    "  ",
)

WRONG = {
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
    "style that there is not": with_key("url_style: web", key="url_style", says="must be one of 'virtual-hosted'"),
    "style of another store": with_key(
        "url_style: azure", key="url_style", says="azure is not for s3:// sources; use virtual-hosted, path, s3 or mrap"
    ),
    "two sources with one target": Wrong(
        text=TWO, places=((7, "sources.other"),), says=("same uri and encord.folder as source 'fleet'",)
    ),
    "domain with a path": with_top("encord: {domain: https://host/api}", key="encord.domain", says="without a path"),
    "domain without scheme": with_top("encord: {domain: api.encord.com}", key="encord.domain", says="https://host"),
    "key in the encord section": with_top(
        f"encord: {{ssh_key: {SECRET}}}", key="encord.ssh_key", says="known here: domain"
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
    assert_refused(wrong, tmp_path)


def test_a_single_problem_gives_file_line_and_key_as_attributes(tmp_path: Path) -> None:
    file = tmp_path / "registration.yaml"
    file.write_text(WRONG["bad cron"].text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        load_settings(file, {})
    assert (raised.value.file, raised.value.line, raised.value.key) == (str(file), 7, "sources.fleet.schedule")
