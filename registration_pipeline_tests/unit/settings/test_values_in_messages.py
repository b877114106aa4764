"""Which values a message about a wrong configuration quotes, files that can't be read, and what a switch is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings import load_settings
from registration_pipeline_tests.unit.settings.wrong_configurations import GOOD, SECRET

if TYPE_CHECKING:
    from pathlib import Path


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
    "storage.key_count": "storage: {{region: eu-west-2, key_count: {}}}",
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
