"""A small configuration file never fills the memory, and words and numbers mean what they say."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings import load_settings
from registration_pipeline.settings.yaml_source import MOST_BYTES, parse_configuration

NINE = range(1, 10)
BOMBS = {
    "lists": ["a0: &a0 x", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in NINE)],
    "mappings": [
        "a0: &a0 x",
        *(f"a{n}: &a{n} {{{', '.join(f'k{i}: *a{n - 1}' for i in NINE)}}}" for n in NINE),
    ],
    "merges": ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in NINE)],
    "merges and values": [
        "a0: &a0 {x: 1}",
        *(f"a{n}: &a{n} {{<<: *a{n - 1}, x{n}: *a{n - 1}, y{n}: *a{n - 1}}}" for n in range(1, 25)),
    ],
    "long texts": [f"a0: &a0 '{'x' * 10_000}${{EMPTY}}'", f"a1: [{', '.join(['*a0'] * 1_000)}]"],
    "references in one text": [f"a1: '{'${LONG}' * 1_000}'"],
    "references to a long variable": ["a1:", *(["- ${LONG}"] * 1_000)],
}


@pytest.mark.parametrize("lines", BOMBS.values(), ids=BOMBS)
def test_a_few_lines_that_come_to_very_much_are_refused(lines: list[str]) -> None:
    began = time.process_time()
    environ = {"EMPTY": "", "LONG": "x" * 100_000}
    with pytest.raises(ConfigurationError, match=r"f:\d+: a\d+: the file comes to more than 50,000 values") as raised:
        parse_configuration("\n".join(lines), file="f", environ=environ)
    assert "write fewer aliases" in str(raised.value)
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        pytest.param(
            ["a0: &a0 x", *(f"a{n}: &a{n} {'[' * 10}*a{n - 1}{']' * 10}" for n in range(1, 200))],
            "nested too deeply: more than 32 levels",
            id="lists in aliases",
        ),
        pytest.param(
            ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: *a{n - 1}}}" for n in range(1, 100))],
            "'<<' names mappings with '<<' more than 32 times",
            id="merges in merges",
        ),
        pytest.param([f"a: {'[' * 33}{']' * 33}"], "nested too deeply: more than 32 levels", id="lists"),
        pytest.param([f"a: {'[' * 400}{']' * 400}"], "nested too deeply", id="lists beyond what YAML reads"),
    ],
)
def test_what_is_nested_too_deeply_is_refused(lines: list[str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        parse_configuration("\n".join(lines), file="f", environ={}).raise_problems()


def test_no_more_problems_are_listed_than_people_read(tmp_path: Path) -> None:
    file = tmp_path / "registration.yaml"
    file.write_text("sources:\n" + "".join(f"  S{number}: x\n" for number in range(300)))
    with pytest.raises(ConfigurationError) as raised:
        load_settings(file, {})
    lines = str(raised.value).splitlines()
    assert len(lines) == 101
    assert lines[-1] == f"{file}: more than 100 problems; fix these first"


def test_a_file_that_is_not_a_configuration_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    file = tmp_path / "registration.yaml"
    file.write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(ConfigurationError, match="larger than 1,048,576 bytes"):
        load_settings(file, {})


def test_a_device_that_never_ends_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigurationError, match="larger than 1,048,576 bytes"):
        load_settings(Path("/dev/zero"), {})


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "Yes", "NO", "On", "OFF", "y", "n", "=", "~x", "1.2.3"])
def test_a_word_is_text(word: str) -> None:
    assert parse_configuration(f"a: [{word}]", file="f", environ={}).values == {"a": [word]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("+5", 5),
        ("-5", -5),
        ("0", 0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.5e+3", 1500.0),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("'1:30'", "1:30"),
        ("'010'", "010"),
        ("!!str 1_000", "1_000"),
        ("'true'", "true"),
    ],
)
def test_a_value_is_what_every_version_of_yaml_reads(text: str, value: object) -> None:
    (read,) = parse_configuration(f"a: [{text}]", file="f", environ={}).values["a"]
    assert (read, type(read)) == (value, type(value))


@given(text=st.text(st.sampled_from("0123456789_:.+-xobeE"), min_size=1, max_size=8))
def test_a_number_is_the_one_that_people_read_or_it_is_refused(text: str) -> None:
    parsed = parse_configuration(f"a: [{text} ]", file="f", environ={}) if _is_plain(text) else None
    if parsed is None or parsed.problems:
        return
    (read,) = parsed.values["a"]
    if isinstance(read, int | float):
        assert read == float(text)


def _is_plain(text: str) -> bool:
    """Whether it is one value of a list, and nothing of YAML's own."""
    try:
        return isinstance(yaml.safe_load(f"['', {text} ]")[1], str | int | float)
    except (yaml.YAMLError, ValueError):
        return False


def test_words_of_yaml_1_1_work_where_a_name_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "registration.yaml"
    file.write_text(
        "sources:\n  no:\n    uri: s3://bucket/\n    storage: {region: no, versions: true, profile: off}\n"
        "    encord: {folder: No, integration: on}\n"
    )
    source = load_settings(file, {}).sources["no"]
    assert (source.storage.region, source.storage.versions, source.storage.profile) == ("no", True, "off")
    assert (source.encord.folder, source.encord.integration) == ("No", "on")
