"""The preflight: a line for every check, nothing changed anywhere."""

from __future__ import annotations

import ctypes
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.orchestration import preflight
from registration_pipeline.orchestration.runs.instance import open_instance
from registration_pipeline.project import preflight as project_preflight
from registration_pipeline.project.submitting import register
from registration_pipeline.settings import encord_private_key
from registration_pipeline.submission.encord.gateway import EncordGateway
from registration_pipeline.tracking.due import ChunkTask
from registration_pipeline_tests.hostile_http import HostileServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline_tests.unit.cli.conftest import Workplace

CHECKS = ["configuration", "state", "Dagster instance", "directory", "key and integration", "folder"]


def gateway(workplace: Workplace) -> EncordGateway:
    key = encord_private_key({"ENCORD_SSH_KEY_FILE": str(workplace.sandbox.private_key_path)})
    return EncordGateway(ssh_private_key=key.reveal(), domain=workplace.sandbox.url)


def test_a_good_source_passes_every_look(workplace: Workplace):
    workplace.put("a.jpg")
    said = workplace.run("check")
    assert said.status == 0
    lines = said.out.splitlines()
    assert [line.split(": ")[1] for line in lines[:-1]] == CHECKS
    assert all(": ok: " in line for line in lines[:-1])
    assert lines[-1] == "Ready to sync."
    assert "folder 'fleet-cameras' does not exist; the first sync creates it" in said.out


def test_check_as_json_has_every_look(workplace: Workplace):
    document = workplace.run("check", "--json").document
    assert document["ok"] is True
    assert [check["what"] for check in document["checks"]] == CHECKS
    assert all(list(check) == ["source", "what", "ok", "detail", "remark"] for check in document["checks"])


def test_check_as_json_tells_problems_with_the_same_status(workplace: Workplace):
    workplace.configure(encord={"integration": "nobody's"})
    said = workplace.run("check", "--json")
    assert said.status == 4
    assert said.document["ok"] is False
    assert [check["what"] for check in said.document["checks"] if not check["ok"]] == ["key and integration"]


@pytest.mark.slow
def test_one_problem_does_not_hide_the_next(workplace: Workplace, monkeypatch: pytest.MonkeyPatch):
    workplace.configure(
        uri="file:///no/such/directory",
        encord={"integration": "nobody's", "folder": "11111111-2222-4333-8444-555555555555"},
    )
    monkeypatch.setenv("DAGSTER_HOME", "relative")
    said = workplace.run("check")
    assert said.status == 4
    assert "4 of 6 checks failed." in said.out


def test_nothing_is_changed_in_encord_or_in_the_state(workplace: Workplace):
    workplace.put("a.jpg")
    encord = gateway(workplace)
    assert workplace.run("check").status == 0
    assert encord.find_folder("fleet-cameras") is None
    assert not workplace.sandbox.jobs()
    assert {path.name for path in workplace.root.iterdir()} == {"encord", "files", "registration.yaml"}


def test_a_folder_that_is_there_is_shown_with_its_uuid(workplace: Workplace):
    uuid = gateway(workplace).create_folder("fleet-cameras")
    assert f"folder 'fleet-cameras' is {uuid}" in workplace.run("check").out
    workplace.configure(encord={"integration": "sandbox", "folder": uuid})
    assert f"folder '{uuid}' is {uuid}" in workplace.run("check").out


def test_two_sources_with_the_same_objects_and_one_folder_by_name_and_by_uuid_are_refused(workplace: Workplace):
    """Only Encord knows that the two are one folder, so `check` and the run ask it."""
    uuid = gateway(workplace).create_folder("fleet")
    workplace.put("day/a.jpg")
    files = (workplace.root / "files").as_uri()
    sources = {"outer": (files, "fleet"), "inner": (f"{files}/day", uuid), "other": (f"{files}/day", "elsewhere")}
    settings = {
        name: {"uri": uri, "encord": {"folder": folder, "integration": "sandbox"}}
        for name, (uri, folder) in sources.items()
    }
    workplace.config.write_text(yaml.safe_dump({"state": "./state", "sources": settings}))

    said = workplace.run("check", "--json")

    assert said.status == 2
    refused = {check["source"]: check["detail"] for check in said.document["checks"] if not check["ok"]}
    assert set(refused) == {"outer", "inner"}
    assert "the uri of 'inner' lies within the uri of 'outer'" in refused["outer"]
    for name in ("outer", "inner"):
        source = workplace.project.source(name)
        workplace.project.take_inventory(source)
        (chunk,) = workplace.project.plan(source).chunks
        with pytest.raises(ConfigurationError, match="would be registered twice"):
            list(register(workplace.project, source, [ChunkTask(chunk=chunk)], notify=lambda _: None))
    assert not workplace.sandbox.jobs()


@pytest.mark.slow
def test_each_service_that_is_silent_is_given_up_when_its_time_is_over(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(project_preflight, "_CHECK_SECONDS", {"state": 0.5, "bucket": 0.5})
    monkeypatch.setattr(project_preflight, "_ENCORD_SECONDS", -2.5)  # with the shortest time for a reply, 3 s
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "nothing")
    with HostileServer(lambda connection, _: connection.stay_silent()) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("ENCORD_DOMAIN", server.url)
        workplace.configure(uri="s3://fleet/", storage={"endpoint_url": server.url, "region": "eu-west-2"})
        document = yaml.safe_load(workplace.config.read_text())
        document |= {"state": "s3://state/", "encord": {"timeout_seconds": 3}}
        workplace.config.write_text(yaml.safe_dump(document))
        began = time.monotonic()
        said = workplace.run("check", "--json")
        assert time.monotonic() - began < 10

    assert said.status == 4
    silent = {check["what"]: check["detail"] for check in said.document["checks"] if not check["ok"]}
    assert list(silent) == ["state", "bucket", "key and integration", "folder"]
    assert all("no answer within 0.5 s" in silent[what] for what in list(silent)[:3])
    assert silent["folder"] == "because Encord can't be asked"


def test_two_folders_of_one_name_are_distinguished_by_uuid(workplace: Workplace):
    uuids = {gateway(workplace).create_folder("fleet-cameras") for _ in range(2)}
    said = workplace.run("check")
    assert said.status == 4
    assert all(uuid in said.out for uuid in uuids)
    assert "Set encord.folder" in said.out


def test_an_empty_bucket_is_pointed_out(workplace: Workplace):
    said = workplace.run("check")
    assert said.status == 0
    assert "readable, but it has no objects; check the prefix in sources.fleet-cameras.uri" in said.words


def test_a_source_without_integration_needs_none(workplace: Workplace):
    workplace.configure(encord={"folder": "fleet-cameras"})
    assert "the key is accepted; the source needs no integration" in workplace.run("check").out


@pytest.fixture
def permissions() -> Iterator[None]:
    """Let permissions bind this thread, and those that it starts, even when it is root's.

    Another user could not read the interpreter that root installed for itself, so the two privileges over files are
    set aside instead: CAP_DAC_OVERRIDE (1) and CAP_DAC_READ_SEARCH (2).
    """
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    all_privileges = sets[0]
    sets[0] &= ~0b110
    assert libc.capset(header, sets) == 0
    yield
    sets[0] = all_privileges
    assert libc.capset(header, sets) == 0


@pytest.mark.parametrize("mode", [0o500, 0o000, 0o600], ids=["read-only", "locked", "not searchable"])
def test_a_state_without_permission_is_told_before_the_sync(workplace: Workplace, permissions: None, mode: int):
    workplace.put("a.jpg")
    workplace.plan()
    state = workplace.root / "state"
    state.chmod(mode)
    said = workplace.run("check")
    state.chmod(0o700)
    assert said.status == 4
    assert str(state) in said.words
    assert "`state` in" in said.words
    assert "1 of 6 checks failed." in said.out


@pytest.mark.slow
def test_a_sync_with_a_read_only_state_halts(workplace: Workplace, permissions: None):
    workplace.put("a.jpg")
    workplace.plan()
    state = workplace.root / "state"
    for path in [state, *state.rglob("*")]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    before = workplace.files()
    said = workplace.run("sync")
    for path in [state, *state.rglob("*")]:
        path.chmod(0o700)
    assert said.status == 4
    assert "give this user read and write access" in said.words
    assert "Traceback" not in said.err
    assert workplace.files() == before
    assert not workplace.sandbox.jobs()


def test_a_dagster_home_without_permission_is_told_before_the_sync(
    workplace: Workplace, permissions: None, monkeypatch: pytest.MonkeyPatch
):
    home = workplace.root / "home"
    home.mkdir(mode=0o500)
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    said = workplace.run("check")
    assert said.status == 2
    assert f"{home / 'dagster'} can't be written by this user (Permission denied); set DAGSTER_HOME" in said.words
    said = workplace.run("sync")
    assert said.status == 2
    assert "set DAGSTER_HOME to a folder that can be written" in said.words
    assert "Traceback" not in said.err


def test_an_instance_whose_databases_can_not_be_written_does_not_hide_the_other_checks(
    workplace: Workplace, permissions: None
):
    with open_instance(workplace.project.settings, {}):
        pass
    history = workplace.root / ".dagster/history"
    for path in [*history.rglob("*"), history]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    said = workplace.run("check")
    for path in [history, *history.rglob("*")]:
        path.chmod(0o700)
    assert said.status == 4
    assert "Dagster's own files can't be written: " in said.words
    assert "1 of 6 checks failed, 1 remark." in said.out


def test_a_database_that_is_down_is_named_by_its_line_with_the_other_checks(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("dagster_postgres")
    monkeypatch.setattr(preflight, "_DAGSTER_SECONDS", 3.0)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        database = {"hostname": "127.0.0.1", "port": held.getsockname()[1], "username": "dagster", "db_name": "dagster"}
        database |= {"password": "secret-4711", "scheme": "postgresql+psycopg2"}
        (workplace.root / ".dagster").mkdir()
        text = yaml.safe_dump({"telemetry": {"enabled": False}, "storage": {"postgres": {"postgres_db": database}}})
        (workplace.root / ".dagster/dagster.yaml").write_text(text)
        said = workplace.run("check")

    assert said.status == 4, said.words
    line = text.splitlines().index("storage:") + 1
    assert f"dagster.yaml:{line}: storage.postgres: Dagster's database " in said.words
    assert "Connection refused" in said.words
    assert "1 of 6 checks failed, 1 remark." in said.out
    assert "secret-4711" not in said.out + said.err


def test_a_busy_machine_is_not_called_a_database_that_is_down(workplace: Workplace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(preflight, "_SQLITE_SECONDS", 0.01)
    monkeypatch.setattr(preflight, "ask_instance", lambda *_: time.sleep(1))
    said = workplace.run("check")

    assert said.status == 4, said.words
    assert "Dagster's SQLite files could not be opened within 0.01 s" in said.words
    assert "Start it" not in said.words


def test_what_is_written_to_try_the_state_is_removed_again(workplace: Workplace):
    workplace.put("a.jpg")
    workplace.plan()
    before = workplace.files()
    assert workplace.run("check").status == 0
    assert workplace.files() == before
    assert not (workplace.root / "state/_probe").exists()


def test_a_damaged_instance_file_is_a_wrong_configuration(workplace: Workplace):
    (workplace.root / ".dagster").mkdir()
    for text in ("concurrency: [", "nonsense: true\n", "run_storage: {module: no.such, class: Nothing}\n"):
        (workplace.root / ".dagster/dagster.yaml").write_text(text)
        said = workplace.run("sync")
        assert said.status == 2, said.err
        assert "dagster.yaml" in said.words
        assert "fix that file" in said.words
        assert "Traceback" not in said.err


def test_a_bucket_name_with_dots_is_warned_of_and_does_not_fail_the_check(workplace: Workplace):
    workplace.configure(uri="s3://fleet.example/raw/", storage={"region": "eu-west-2"})
    said = workplace.run("check", "--json")
    (configuration,) = (one for one in said.document["checks"] if one["what"] == "configuration")
    assert configuration["ok"] is True
    assert "`sources.fleet-cameras.url_style` to path or s3" in configuration["detail"]


def test_names_that_are_not_utf8_are_rejected_and_the_rest_is_planned(workplace: Workplace):
    workplace.put("a.jpg", "old/b.jpg")
    for name in (b"caf\xe9.jpg", b"old/caf\xe9.jpg"):
        path = os.fsencode(workplace.root / "files") + b"/" + name
        Path(os.fsdecode(path)).write_bytes(b"x")
    workplace.configure(exclude=["old/**"])
    workplace.plan()

    rows = workplace.run("failures", "--json").document
    counts = workplace.run("status", "--json").document["sources"]["fleet-cameras"]

    assert [(row["key"], row["reason"], row["object_url"]) for row in rows] == [(r"caf\xe9.jpg", "name_not_utf8", "")]
    assert "convmv" in rows[0]["message"]
    assert (counts["objects"], counts["excluded"], counts["rejected"], counts["pending"]) == (4, 2, 1, 1)


def test_a_table_that_would_stop_the_sync_fails_the_check(workplace: Workplace):
    (workplace.root / "labels.csv").write_text("path,weather\na.jpg,sun\n")
    workplace.configure(metadata=[{"table": "labels.csv", "key": "image"}])
    said = workplace.run("check")

    assert said.status == 2
    assert (
        "tables: problem: sources.fleet-cameras.metadata[0].table: table labels.csv has no column 'image'" in said.out
    )
    assert "Ready to sync." not in said.out
