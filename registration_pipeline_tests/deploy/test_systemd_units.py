"""The units in ``deploy/systemd``: systemd accepts them, they give away little, and their programs and options exist."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from registration_pipeline.orchestration.names import CODE_LOCATION, DEFINITIONS_MODULE
from registration_pipeline_tests.deploy.unit_file import environment_file, read_unit

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(path.name for path in (*FOLDER.glob("*.service"), *FOLDER.glob("*.timer")))
SERVICES = [name for name in UNITS if name.endswith(".service") and "failed" not in name]
LONG_RUNNING = ["registration-code.service", "registration-daemon.service", "registration-web.service"]
MOST_EXPOSED = 20
"""Of 100, what ``systemd-analyze security`` calls OK."""

_TARGETS = Path("/usr/lib/systemd/system")

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def instance_of(name: str) -> str:
    return name.replace("@.", "@fleet.")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the units and, in the place of their programs, files that can be executed."""
    root = tmp_path_factory.mktemp("machine")
    units = root / "etc" / "systemd" / "system"
    shutil.copytree(FOLDER, units)
    for target in _TARGETS.glob("*.target"):
        shutil.copy(target, units)
    for name in UNITS:
        unit = read_unit(FOLDER / name)
        sections = unit.sections.values()
        for line in (value for one in sections for key in ("ExecStart", "ExecStartPre") for value in one.get(key, [])):
            program = root / line.split()[0].lstrip("/")
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text("#!/bin/sh\n")
            program.chmod(0o755)
    return root


def analyze(machine: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", arguments[0], f"--root={machine}", *arguments[1:]],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@needs_systemd
def test_systemd_accepts_every_unit_without_a_remark(machine: Path) -> None:
    ended = analyze(machine, "verify", "--man=no", *map(instance_of, UNITS))

    remarks = [line for line in ended.stderr.splitlines() if "registration-" in line]
    assert (ended.returncode, remarks) == (0, [])


@needs_systemd
def test_a_misspelt_key_of_a_unit_would_be_noticed(machine: Path, tmp_path: Path) -> None:
    shutil.copytree(machine, tmp_path, dirs_exist_ok=True)
    unit = tmp_path / "etc" / "systemd" / "system" / "registration-sync.service"
    unit.write_text(unit.read_text().replace("TimeoutStopSec", "TimeoutStopSecs"))

    assert "TimeoutStopSecs" in analyze(tmp_path, "verify", "--man=no", unit.name).stderr


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_little_besides_its_work(machine: Path, name: str) -> None:
    ended = analyze(machine, "security", "--offline=true", f"--threshold={MOST_EXPOSED}", instance_of(name))

    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_in_a_unit_and_the_key_reaches_only_what_registers(name: str) -> None:
    unit = read_unit(FOLDER / name)
    has_key = unit.values("Service", "LoadCredential") == ["encord_key:/etc/registration/encord_key"]

    assert has_key == (name in {"registration-code.service", "registration-sync.service"})
    assert ("ENCORD_SSH_KEY_FILE" in unit.environment("/credentials")) == has_key
    assert unit.environment("/credentials").get("ENCORD_SSH_KEY_FILE", "/credentials/encord_key") == (
        "/credentials/encord_key"
    )
    assert unit.values("Service", "EnvironmentFile") == ["-/etc/registration/environment"]


def test_all_services_share_account_home_configuration_and_hardening() -> None:
    own = {"ExecStart", "ExecStartPre", "Environment", "LoadCredential", "RuntimeDirectory", "RuntimeDirectoryMode"}
    apart = own | {"Type", "Restart", "RestartSec", "KillMode", "OOMPolicy", "MemoryHigh", "MemoryMax", "Nice"}
    apart |= {"SuccessExitStatus", "RestartPreventExitStatus", "TimeoutStartSec"}
    shared = []
    for name in SERVICES:
        unit = read_unit(FOLDER / name)
        shared.append({key: value for key, value in unit.sections["Service"].items() if key not in apart})
        environment = unit.environment("")
        assert environment["DAGSTER_HOME"] == "/var/lib/registration/dagster"
        assert environment["REGISTRATION_CONFIG"] == "/etc/registration/registration.yaml"

    assert all(one == shared[0] for one in shared)


def test_what_is_not_registered_fails_the_unit_of_a_sync_and_is_not_tried_again() -> None:
    service = read_unit(FOLDER / "registration-sync.service")

    assert service.value("Service", "SuccessExitStatus") == "143"
    assert service.value("Service", "RestartPreventExitStatus").split() == ["2", "3"]
    assert service.value("Service", "Restart") == "on-failure"
    assert service.value("Unit", "OnFailure") == "registration-failed@%n.service"


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_a_server_that_ends_is_started_again(name: str) -> None:
    assert read_unit(FOLDER / name).value("Service", "Restart") == "always"


def test_a_night_that_was_missed_is_made_up() -> None:
    assert read_unit(FOLDER / "registration-sync.timer").value("Timer", "Persistent") == "yes"


def test_the_web_server_and_the_daemon_ask_the_socket_of_the_code_server() -> None:
    (entry,) = yaml.safe_load((FOLDER / "workspace.yaml").read_text())["load_from"]
    command = read_unit(FOLDER / "registration-code.service").command()

    assert entry["grpc_server"] == {
        "socket": command[command.index("--socket") + 1],
        "location_name": command[command.index("--location-name") + 1],
    }
    assert entry["grpc_server"]["location_name"] == CODE_LOCATION
    assert DEFINITIONS_MODULE in command
    for name in ("registration-web.service", "registration-daemon.service"):
        assert "/etc/registration/workspace.yaml" in read_unit(FOLDER / name).command()


def test_the_file_of_variables_sets_nothing_by_itself() -> None:
    assert environment_file((FOLDER / "environment").read_text()) == {}


@pytest.mark.parametrize("page", ["deploy/systemd/dagster.yaml", "deploy/compose/dagster.yaml"])
def test_a_servers_instance_has_every_line_of_the_shipped_one(page: str) -> None:
    shipped, server = (yaml.safe_load((ROOT / name).read_text()) for name in ("dagster.yaml", page))

    assert {key: server[key] for key in shipped} == shipped
    assert server.keys() - shipped.keys() <= {"storage", "retention"}
    assert server["retention"]["sensor"]["purge_after_days"]["skipped"] < 7
