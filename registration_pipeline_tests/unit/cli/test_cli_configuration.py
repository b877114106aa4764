"""Where commands find their configuration."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline_tests.unit.cli.conftest import Workplace


@pytest.fixture
def other(workplace: Workplace, tmp_path: Path) -> str:
    """Another configuration, with a source of another name."""
    path = tmp_path / "other" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(workplace.config.read_text().replace("fleet-cameras", "other-source"))
    return str(path)


def sources(workplace: Workplace, *arguments: str) -> list[str]:
    said = workplace.run(*arguments)
    assert said.status == 0, said.err
    return list(said.document["sources"])


def test_the_file_in_the_working_directory_is_the_default(workplace: Workplace):
    assert sources(workplace, "status", "--json") == ["fleet-cameras"]


def test_config_stands_before_or_after_the_command(workplace: Workplace, other: str):
    for arguments in (
        ("--config", other, "status", "--json"),
        ("status", "--config", other, "--json"),
        ("status", "--json", "--config", other),
        (f"--config={other}", "status", "--json"),
        ("--config", str(workplace.config), "status", "--json", "--config", other),
    ):
        assert sources(workplace, *arguments) == ["other-source"]


def test_config_beats_the_environment(workplace: Workplace, other: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REGISTRATION_CONFIG", other)
    assert sources(workplace, "status", "--json") == ["other-source"]
    assert sources(workplace, "status", "--json", "--config", str(workplace.config)) == ["fleet-cameras"]


def test_the_state_is_found_beside_the_configuration_from_anywhere(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    workplace.put("a.jpg")
    workplace.plan()
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    said = workplace.run("status", "--json", "--config", "../registration.yaml")
    assert said.document["sources"]["fleet-cameras"]["pending"] == 1


def test_sources_are_chosen_by_name_each_once(workplace: Workplace):
    assert sources(workplace, "status", "fleet-cameras", "fleet-cameras", "--json") == ["fleet-cameras"]


@pytest.mark.parametrize("command", ["status", "failures", "sync", "check"])
def test_a_missing_file_is_answered_with_an_example(workplace: Workplace, command: str):
    workplace.config.unlink()
    said = workplace.run(command)
    assert said.status == 2
    assert "the configuration file does not exist; name one with --config FILE or REGISTRATION_CONFIG" in said.words
    assert "uri: s3://" in said.err


@pytest.mark.parametrize("command", ["status", "failures", "sync", "check"])
def test_a_folder_is_no_configuration(workplace: Workplace, command: str, tmp_path: Path):
    said = workplace.run(command, "--config", str(tmp_path))
    assert said.status == 2
    assert "can't be read: Is a directory" in said.words


def test_the_state_moves_with_its_folder(workplace: Workplace, tmp_path: Path):
    workplace.put("a.jpg")
    workplace.register()
    shutil.copytree(workplace.root / "state", tmp_path / "moved/state")
    shutil.copy(workplace.config, tmp_path / "moved/registration.yaml")
    said = workplace.run("status", "--json", "--config", str(tmp_path / "moved/registration.yaml"))
    assert said.document["sources"]["fleet-cameras"]["registered"] == 1
