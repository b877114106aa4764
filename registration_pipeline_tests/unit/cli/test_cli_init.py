"""The ``init`` command: which files it writes, that they work, and that nothing of anyone is replaced."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from registration_pipeline.settings import Settings, SourceSettings, load_settings
from registration_pipeline_tests.unit.cli.terminal import converse

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Said, Workplace

REPOSITORY = Path(__file__).parents[3]
BUCKET = ("--uri", "s3://fleet-bucket/raw/", "--region", "eu-west-2", "--integration", "prod-aws")
WRITTEN = ["registration.yaml", "workspace.yaml", ".dagster/dagster.yaml"]


@pytest.fixture
def folder(workplace: Workplace) -> Path:
    """A folder that does not exist yet, beside the configured one."""
    return workplace.root / "new"


def init(workplace: Workplace, *options: str) -> Said:
    return workplace.run("init", "--dir", "new", *options)


def settings_of(folder: Path) -> Settings:
    return load_settings(folder / "registration.yaml", {})


def test_a_bucket_needs_three_options_and_no_terminal(workplace: Workplace, folder: Path) -> None:
    said = init(workplace, *BUCKET)

    assert said.status == 0, said.words
    source = settings_of(folder).sources["fleet-bucket"]
    assert (source.uri, source.storage.region) == ("s3://fleet-bucket/raw/", "eu-west-2")
    assert (source.encord.folder, source.encord.integration) == ("fleet-bucket", "prod-aws")
    assert source == SourceSettings(
        name="fleet-bucket", uri=source.uri, storage=source.storage, encord=source.encord
    ), "what was not answered has its default"


def test_every_answer_is_in_the_file(workplace: Workplace, folder: Path) -> None:
    options = {
        "--uri": "s3://lab/x/",
        "--source": "2024",
        "--integration": 'a "b": #c',
        "--folder": "fleet-cameras",
        "--region": "eu-west-1",
        "--endpoint-url": "https://minio.example.com:9000",
        "--state": "s3://state-bucket/here",
        "--schedule": "5 4 * * *",
    }
    said = init(workplace, *(part for option in options.items() for part in option))

    assert said.status == 0, said.words
    settings = settings_of(folder)
    source = settings.sources["2024"]
    assert settings.state == "s3://state-bucket/here"
    assert (source.encord.integration, source.encord.folder) == ('a "b": #c', "fleet-cameras")
    assert (source.storage.endpoint_url, source.storage.region) == ("https://minio.example.com:9000", "eu-west-1")
    assert source.schedule == "5 4 * * *"


def test_the_schedule_can_be_switched_off(workplace: Workplace, folder: Path) -> None:
    assert init(workplace, *BUCKET, "--no-schedule").status == 0
    assert settings_of(folder).sources["fleet-bucket"].schedule is None


def test_the_file_names_every_key_that_can_be_set(workplace: Workplace, folder: Path) -> None:
    assert init(workplace, *BUCKET).status == 0
    text = (folder / "registration.yaml").read_text()
    keys = {*SourceSettings.model_fields, *Settings.model_fields} - {"name", "path"}

    assert {key for key in keys if not re.search(rf"^[ #]*{key}:", text, re.MULTILINE)} == set()


@pytest.mark.parametrize("name", ["registration.yaml", "workspace.yaml"])
def test_what_is_shipped_is_what_the_repository_shows(name: str) -> None:
    package, shown = {
        "registration.yaml": ("registration_pipeline.cli.init", "examples/registration.yaml"),
        "workspace.yaml": ("registration_pipeline.orchestration", "workspace.yaml"),
    }[name]
    assert (files(package) / name).read_text() == (REPOSITORY / shown).read_text()


def test_the_instance_and_the_workspace_are_those_that_are_shipped(workplace: Workplace, folder: Path) -> None:
    said = init(workplace, *BUCKET, "--json")

    assert said.document["files"] == [str(folder / name) for name in WRITTEN]
    for name in ("workspace.yaml", ".dagster/dagster.yaml"):
        assert (folder / name).read_text() == (REPOSITORY / Path(name).name).read_text()


def test_it_says_the_next_three_commands(workplace: Workplace) -> None:
    said = init(workplace, *BUCKET)
    lines = said.out.splitlines()
    after = [line.split("     #")[0].strip() for line in lines[lines.index("Next:") + 1 :]]
    assert after[0].startswith("cd ")
    assert after[1:4] == [
        "export ENCORD_SSH_KEY_FILE=~/.ssh/encord_key",
        "registration-pipeline check",
        "registration-pipeline sync",
    ]


def test_a_sandbox_with_a_bucket_lists_all_that_it_needs(workplace: Workplace) -> None:
    said = init(workplace, "--sandbox", "--uri", "s3://lab/raw/", "--endpoint-url", "http://127.0.0.1:9000", "--json")

    assert said.document["next"][1:] == [
        "export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...",
        "registration-pipeline sandbox --open",
        "export ENCORD_SSH_KEY_FILE=$PWD/sandbox/id_ed25519",
        "registration-pipeline check",
        "registration-pipeline sync",
    ]


def test_a_sandbox_needs_no_bucket_and_no_key(workplace: Workplace, folder: Path) -> None:
    said = init(workplace, "--sandbox")

    assert said.status == 0, said.words
    settings = settings_of(folder)
    assert settings.sources["media"].uri == f"{(folder / 'media').as_uri()}/"
    assert settings.sources["media"].encord.integration == "sandbox"
    assert settings.encord.domain == "http://127.0.0.1:8742"
    assert (folder / "media").is_dir()
    assert "registration-pipeline sandbox --open" in said.out
    assert "ENCORD_DOMAIN is http://127.0.0.1:" in said.err, "that of the test wins over the file"


def test_a_directory_can_be_written_as_a_path(workplace: Workplace, folder: Path) -> None:
    (folder / "My Media").mkdir(parents=True)
    assert init(workplace, "--sandbox", "--uri", "My Media").status == 0
    source = settings_of(folder).sources["my-20media"]
    assert source.location.path == folder / "My Media"
    assert not (folder / "media").exists()


REFUSED = {
    "nothing is known": ((), "Give --uri and --integration, because there is no terminal to ask on; or --sandbox"),
    "no integration": (BUCKET[:4], "Give --integration, because"),
    "no region": ((*BUCKET[:2], *BUCKET[4:]), "Give --region (or --endpoint-url for an S3-compatible store), because"),
    "not an address": (("--uri", "fleet-bucket"), "'fleet-bucket' is neither an address nor a directory in"),
    "unknown scheme": (("--uri", "ftp://x/", *BUCKET[2:]), "sources.x.uri: must be s3://"),
    "bad region": ((*BUCKET, "--region", "EU x"), "sources.fleet-bucket.storage.region: must be a region's code"),
    "bad name": ((*BUCKET, "--source", "Fleet"), "a source's name is made of a-z, 0-9 and hyphens"),
    "bad cron": ((*BUCKET, "--schedule", "nightly"), "sources.fleet-bucket.schedule: "),
    "schedule and none": ((*BUCKET, "--schedule", "0 2 * * *", "--no-schedule"), "not both"),
    "unset variable": (("--uri", "s3://${NOT_SET_X}/", *BUCKET[2:]), "NOT_SET_X is not set"),
}


@pytest.mark.parametrize(("options", "says"), REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_right_is_refused_and_nothing_is_written(
    workplace: Workplace, folder: Path, options: tuple[str, ...], says: str
) -> None:
    said = init(workplace, *options)

    assert said.status == 2
    assert says in said.words
    assert not folder.exists()


def test_all_that_is_missing_or_wrong_is_said_at_once(workplace: Workplace, folder: Path) -> None:
    wrong = ("--uri", "no-directory", "--region", "EU x", "--source", "Fleet", "--schedule", "nightly", "--no-schedule")
    said = init(workplace, *wrong, "--state", "ftp://x", "--endpoint-url", "minio")

    assert said.status == 2
    assert said.err.splitlines()[0].endswith(
        "Give --integration, because there is no terminal to ask on; or --sandbox, which needs no bucket and no key."
    ), said.err
    for part in (
        "--schedule CRON or --no-schedule, not both",
        "'no-directory' is neither an address nor a directory",
        "storage.region: must be a region's code",
        "a source's name is made of a-z",
        "state: must be",
        "storage.endpoint_url: must be",
    ):
        assert part in said.words
    assert not folder.exists()


def test_a_write_that_fails_leaves_no_new_folder_and_no_file_behind(workplace: Workplace, folder: Path) -> None:
    folder.mkdir()
    (folder / "media").write_text("a file")
    said = init(workplace, "--sandbox")

    assert said.status == 2, said.words
    assert f"{folder / 'media'} can't be written" in said.words
    assert [path.name for path in folder.iterdir()] == ["media"]


SLASHES = {
    "added to a prefix": ("s3://fleet-bucket/raw", "s3://fleet-bucket/raw/"),
    "not to a bucket": ("s3://fleet-bucket", "s3://fleet-bucket"),
    "not to a folder": ("s3://fleet-bucket/raw/", "s3://fleet-bucket/raw/"),
}


@pytest.mark.parametrize(("written", "uri"), SLASHES.values(), ids=SLASHES)
def test_a_prefix_ends_with_a_slash(workplace: Workplace, folder: Path, written: str, uri: str) -> None:
    said = init(workplace, "--uri", written, *BUCKET[2:], "--json")

    assert said.status == 0, said.words
    assert settings_of(folder).sources["fleet-bucket"].uri == uri
    assert (f"A slash was added: {uri}." in said.err) == (written != uri)
    assert said.document["files"], "the notice is not on standard output"


def test_a_refusal_begins_with_what_to_give(workplace: Workplace) -> None:
    said = init(workplace, "--uri", "s3://fleet-bucket/raw")
    assert said.err.startswith("Error: Give --integration and --region"), said.err


def test_a_prefix_that_comes_from_a_variable_stays_as_it_is(
    workplace: Workplace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFIX_X", "raw/")
    assert init(workplace, "--uri", "s3://fleet-bucket/${PREFIX_X}", *BUCKET[2:]).status == 0
    written = yaml.safe_load((folder / "registration.yaml").read_text())
    assert written["sources"]["fleet-bucket"]["uri"] == "s3://fleet-bucket/${PREFIX_X}"


def test_a_signature_in_an_address_is_refused_and_no_slash_makes_it_a_folder(
    workplace: Workplace, folder: Path
) -> None:
    said = init(workplace, "--uri", "s3://fleet-bucket/raw?abc", *BUCKET[2:])
    assert said.status == 2
    assert "holds a query" in said.words
    assert not folder.exists()


@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_that_exists_is_replaced_only_by_force(workplace: Workplace, folder: Path, name: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True)
    path.write_text("mine: true\n")

    refused = init(workplace, *BUCKET)

    assert refused.status == 2
    assert f"does not replace files that exist: {path}." in refused.words
    assert [one for one in folder.rglob("*") if one.is_file()] == [path]
    assert path.read_text() == "mine: true\n"
    assert init(workplace, *BUCKET, "--force").status == 0
    assert "mine" not in yaml.safe_load(path.read_text())


def test_wrong_answers_by_force_leave_what_was_there(workplace: Workplace, folder: Path) -> None:
    assert init(workplace, *BUCKET).status == 0
    before = workplace.files("new")

    assert init(workplace, "--uri", "s3://x/", *BUCKET[2:], "--force").status == 2
    assert workplace.files("new") == before


def test_a_folder_that_can_not_be_written_is_named(workplace: Workplace) -> None:
    (workplace.root / "new").write_text("a file")
    said = init(workplace, *BUCKET)
    assert said.status == 2
    assert f"{workplace.root / 'new'}" in said.words
    assert "Give --dir" in said.words


@pytest.mark.slow
def test_on_a_terminal_it_asks_until_the_answer_can_be_right(workplace: Workplace, folder: Path) -> None:
    answers = [
        ("Where are the objects", ""),
        ("Where are the objects", "ftp://x/"),
        ("Where are the objects", "s3://fleet-bucket/raw"),
        ("Name of the source", "Bad Name"),
        ("Name of the source", ""),
        ("Endpoint", ""),
        ("Region", ""),
        ("Region", "EU x"),
        ("Region", "eu-west-2"),
        ("Title or UUID", ""),
        ("Title or UUID", "prod-aws"),
    ]
    status, shown = converse(["init", "--dir", "new"], answers, cwd=workplace.root)

    assert status == 0, shown
    assert "'ftp://x/': must be s3://" in shown
    assert "ftp:// is none of these" in shown
    assert "'Bad Name': a source's name is made of" in shown
    assert "'EU x': must be a region's code" in shown
    words = " ".join(shown.split())
    assert "A slash was added: s3://fleet-bucket/raw/." in words
    assert words.count("An answer is needed: ") == 3
    for why in (
        "nothing to register without an address",
        "URLs of the objects hold the bucket's region",
        "reads the objects through an",
    ):
        assert why in words
    source = settings_of(folder).sources["fleet-bucket"]
    assert (source.storage.region, source.encord.integration) == ("eu-west-2", "prod-aws")
