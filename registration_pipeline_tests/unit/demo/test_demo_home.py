"""The demo deletes only what a demo made, keeps its ports, and neither reads nor changes the user's settings."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.demo.bucket import HOST
from registration_pipeline.demo.configuration import (
    BUCKET_SOURCE,
    DIRECTORY_SOURCE,
    DemoPorts,
    configured_ports,
    free_port,
    is_free,
    kept_ports,
    write_configuration,
)
from registration_pipeline.demo.environment import demo_environment, isolated_environment, write_environment_script
from registration_pipeline.demo.home import DemoHome
from registration_pipeline.errors import ConfigurationError, UsageError
from registration_pipeline.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PORTS = DemoPorts(bucket=18741, sandbox=18742)


@pytest.fixture(params=["demo", "de mo's ${HOME} #1 \u00fc%41"], ids=["plain", "hostile"])
def home(tmp_path: Path, request: pytest.FixtureRequest) -> DemoHome:
    return DemoHome(tmp_path / request.param)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as listener:
        yield listener.getsockname()[1]


def test_a_new_or_empty_folder_becomes_a_demo_that_is_not_finished(home: DemoHome) -> None:
    home.claim()
    assert home.folder.is_dir()
    assert not home.is_finished
    home.finish()
    assert home.is_finished
    home.claim()
    assert home.is_finished, "claiming alone must not undo a demo whose servers may be running"


def test_a_folder_of_someone_else_is_refused_and_left_alone(home: DemoHome) -> None:
    home.folder.mkdir()
    precious = home.folder / "registration.yaml"
    precious.write_text("precious")
    with pytest.raises(UsageError, match="--dir"):
        home.claim()
    with pytest.raises(UsageError, match="nothing was deleted"):
        home.clear()
    assert precious.read_text() == "precious"
    assert list(home.folder.iterdir()) == [precious]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("precious")
    with pytest.raises(UsageError, match="is a file"):
        DemoHome(tmp_path / "demo").claim()


def test_a_folder_that_can_not_be_made_is_refused_with_the_reason(plain_user_folder: Path) -> None:
    plain_user_folder.chmod(0o500)
    with pytest.raises(UsageError, match="Permission denied"):
        DemoHome(plain_user_folder / "demo").claim()


def test_clearing_deletes_what_the_demo_made_and_keeps_files_beside_it(home: DemoHome) -> None:
    home.claim()
    home.finish()
    for folder in (home.bucket, home.directory, home.state, home.sandbox, home.dagster_home):
        (folder / "below").mkdir(parents=True)
        (folder / "below" / "file").write_text("x")
    write_configuration(home, PORTS)
    write_environment_script(home, PORTS)
    (home.folder / "failures.csv").write_text("precious")
    home.clear()
    assert {path.name for path in home.folder.iterdir()} == {".registration-pipeline-demo", "failures.csv"}
    assert not home.is_finished


def test_a_link_in_the_place_of_a_demo_folder_is_not_followed(home: DemoHome, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("precious")
    home.claim()
    home.state.symlink_to(precious)
    home.clear()
    assert (precious / "file").read_text() == "precious"


def test_the_configuration_is_valid_and_names_both_sources_wherever_the_demo_lies(home: DemoHome) -> None:
    home.claim()
    write_configuration(home, PORTS)
    settings = load_settings(home.config, {"HOME": "/wrong"})
    assert list(settings.sources) == [BUCKET_SOURCE, DIRECTORY_SOURCE]
    assert settings.sources[DIRECTORY_SOURCE].location.path == home.directory
    assert settings.state == str(home.state)
    assert settings.encord.domain == PORTS.domain
    assert configured_ports(home) == PORTS


def test_a_demo_keeps_the_ports_of_its_configuration(home: DemoHome) -> None:
    assert kept_ports(home) is None
    home.claim()
    ports = DemoPorts(bucket=free_port(21000), sandbox=free_port(22000))
    write_configuration(home, ports)
    assert kept_ports(home) == ports


def test_a_demo_whose_port_is_taken_says_which_and_what_to_do(home: DemoHome, taken_port: int) -> None:
    home.claim()
    write_configuration(home, DemoPorts(bucket=taken_port, sandbox=free_port(22000)))
    with pytest.raises(UsageError, match=rf"Port {taken_port}, where the demo's S3 server must listen, is in use"):
        kept_ports(home)


def test_a_configuration_that_lost_the_endpoint_is_reported(home: DemoHome) -> None:
    home.claim()
    home.config.write_text("sources: {other: {uri: 'file:///nowhere/'}}\n")
    with pytest.raises(ConfigurationError, match="start over"):
        configured_ports(home)


def test_a_taken_port_is_passed_over(taken_port: int) -> None:
    assert not is_free(taken_port)
    following = free_port(taken_port)
    assert following > taken_port
    assert free_port(taken_port, besides={following}) > following


def test_inside_the_demo_nothing_of_the_users_settings_is_left_and_afterwards_all_of_it(
    home: DemoHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = {
        "AWS_PROFILE": "nope",
        "ENCORD_SSH_KEY": "x",
        "DAGSTER_HOME": "/x",
        "HTTPS_PROXY": "http://x",
        "USERS": "1",
    }
    for name, value in users.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with isolated_environment(home, PORTS):
        assert {name for name in users if name in os.environ} == {"DAGSTER_HOME", "USERS"}
        assert os.environ.items() >= demo_environment(home, PORTS).items()
    assert dict(os.environ) == before


def test_the_script_gives_a_shell_the_same_settings(home: DemoHome) -> None:
    home.claim()
    write_environment_script(home, PORTS)
    users = {**os.environ, "AWS_PROFILE": "nope", "ENCORD_SSH_KEY": "garbage"}
    shell = subprocess.run(
        ["/bin/sh", "-c", '. "$0" && env -0', str(home.environment_script)],
        env=users,
        capture_output=True,
        check=True,
        timeout=20,
    )
    seen = dict(entry.split("=", 1) for entry in shell.stdout.decode().split("\0") if entry)
    assert seen.items() >= demo_environment(home, PORTS).items()
    assert not {"AWS_PROFILE", "ENCORD_SSH_KEY"} & set(seen)
