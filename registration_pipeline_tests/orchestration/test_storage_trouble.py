"""Trouble with Dagster's own database is named with the setting and a remedy; it is not a bug, and nothing is lost."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import yaml
from sqlalchemy.exc import OperationalError

from registration_pipeline.errors import DagsterStorageError
from registration_pipeline.orchestration.runs import instance_check
from registration_pipeline.orchestration.runs.instance import open_instance
from registration_pipeline.orchestration.runs.instance_check import ask_instance
from registration_pipeline.orchestration.runs.launch import RunCrashedError
from registration_pipeline.orchestration.runs.storage_trouble import silent_storage, storage_errors
from registration_pipeline.settings import Settings, load_settings

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "secret-4711"
ELSEWHERE = """\
telemetry: {{enabled: false}}
run_storage:
  module: registration_pipeline_tests.orchestration.database_storage
  class: DatabaseRunStorage
  config: {{url: "{url}"}}
"""
MYSQL = f"""\
storage:
  mysql:
    mysql_db: {{hostname: 127.0.0.1, port: 1, username: dagster, password: {SECRET}, db_name: dagster}}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / ".dagster"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    source = {"uri": (tmp_path / "files").as_uri()}
    (tmp_path / "registration.yaml").write_text(yaml.safe_dump({"sources": {"fleet": source}}))
    return load_settings(tmp_path / "registration.yaml", {})


CONFIGURED = {
    "the driver is missing": (
        ELSEWHERE.format(url=f"postgresql+psycopg://u:{SECRET}@127.0.0.1:1/d"),
        (":2: run_storage: ", "the Python module 'psycopg'", "registration-pipeline[postgres]"),
    ),
    "the driver of another database is missing": (
        ELSEWHERE.format(url=f"mysql+pymysql://u:{SECRET}@127.0.0.1:1/d"),
        (":2: run_storage: ", "the Python module 'pymysql'"),
    ),
    "Dagster's library is missing": (MYSQL, (":1: storage.mysql: ", "the Python module 'dagster_mysql'")),
    "an address of no database": (
        ELSEWHERE.format(url=f"postgresql//u:{SECRET}@h"),
        (":2: run_storage: ", "correct it"),
    ),
    "an unknown database": (ELSEWHERE.format(url=f"postgras://u:{SECRET}@h/d"), (":2: run_storage: ", "correct it")),
}


@pytest.mark.parametrize(("text", "says"), CONFIGURED.values(), ids=CONFIGURED.keys())
def test_a_database_that_can_not_be_opened_is_named_by_its_line(
    settings: Settings, home: Path, text: str, says: tuple[str, ...]
) -> None:
    home.mkdir()
    (home / "dagster.yaml").write_text(text)

    for attempt in (open_instance(settings, {}).__enter__, lambda: ask_instance(settings, {})):
        with pytest.raises(DagsterStorageError) as trouble:
            attempt()

        said = str(trouble.value)
        assert said.startswith(f"{home / 'dagster.yaml'}{says[0]}")
        assert all(part in said for part in says)
        assert SECRET not in said
        assert trouble.value.exit_status == 4


@pytest.mark.parametrize("database", ["history/runs.db", "history/runs/index.db", "schedules/schedules.db"])
def test_a_locked_database_is_found_by_asking(
    settings: Settings, home: Path, empty_home: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    monkeypatch.setattr(instance_check, "_WAIT_MILLISECONDS", 50)
    shutil.copytree(empty_home, home)
    with closing(sqlite3.connect(home / database)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DagsterStorageError, match=r"in use by another process \(database is locked\)"):
            ask_instance(settings, {})
        other.rollback()

    assert "its database answers" in ask_instance(settings, {})


def test_a_damaged_database_is_not_a_bug(settings: Settings, home: Path, empty_home: Path) -> None:
    shutil.copytree(empty_home, home)
    (home / "history/runs.db").write_bytes(b"\0nonsense" * 1000)

    with pytest.raises(DagsterStorageError, match=r"damaged \(file is not a database\)"):
        ask_instance(settings, {})


class DriverError(Exception):
    """What psycopg2 raises when the server is gone."""


DriverError.__module__, DriverError.__qualname__ = "psycopg2", "OperationalError"
DriverError.__name__ = "OperationalError"
GONE = 'connection to server at "db" (10.0.0.7), port 5432 failed: Connection refused\n\tIs the server running?'
IN_A_RUN = {
    "in this process": (OperationalError("SELECT 1", {}, DriverError(GONE)), "can't be used: connection to server"),
    "inside a step": (RunCrashedError(f"psycopg2.OperationalError: {GONE} (run 1)", "trace"), "port 5432 failed"),
    "locked inside a step": (
        RunCrashedError("sqlite3.OperationalError: database is locked (run 1)", "trace"),
        "in use by another process",
    ),
    "damaged inside a step": (
        RunCrashedError("sqlite3.DatabaseError: database disk image is malformed (run 1)", "trace"),
        "is damaged",
    ),
    "no room inside a step": (
        RunCrashedError("sqlite3.OperationalError: database or disk is full (run 1)", "trace"),
        "own files can't be written: database or disk is full",
    ),
    "no permission": (
        sqlite3.OperationalError("unable to open database file"),
        "own files can't be written: unable to open database file",
    ),
}
NOT_THE_DATABASE: dict[str, Exception] = {
    "a bug": ValueError("database is locked"),
    "a bug inside a step": RunCrashedError("KeyError: 'sqlite3.OperationalError: database is locked' (run 1)", "trace"),
    "a wrong statement": RunCrashedError("sqlite3.OperationalError: no such table: runs (run 1)", "trace"),
    "a row that is there": RunCrashedError("psycopg2.errors.IntegrityError: duplicate key (run 1)", "trace"),
    "another module": ModuleNotFoundError("No module named 'pandas'", name="pandas"),
    "a full disk": OSError(errno.ENOSPC, "No space left on device"),
}


@pytest.mark.parametrize(("error", "says"), IN_A_RUN.values(), ids=IN_A_RUN.keys())
def test_a_database_that_fails_in_a_run_halts_it(tmp_path: Path, error: Exception, says: str) -> None:
    with pytest.raises(DagsterStorageError) as trouble, storage_errors(tmp_path):
        raise error

    assert str(trouble.value).startswith(f"{tmp_path} (no storage is set in dagster.yaml): Dagster's ")
    assert says in str(trouble.value)
    assert "Is the server running" not in str(trouble.value)


@pytest.mark.parametrize("error", NOT_THE_DATABASE.values(), ids=NOT_THE_DATABASE.keys())
def test_other_errors_pass_as_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as passed, storage_errors(tmp_path):
        raise error
    assert passed.value is error


def test_an_instance_that_was_never_used_is_not_made(settings: Settings, home: Path) -> None:
    assert "the first run makes its database" in ask_instance(settings, {})
    assert not home.exists()
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    assert "the first run makes its database" in ask_instance(settings, {})
    assert [path.name for path in home.iterdir()] == ["dagster.yaml"]


SILENT = {
    "no storage set": ("telemetry: {enabled: false}", "SQLite files could not be opened within 10 s"),
    "SQLite": ("storage: {sqlite: {base_dir: /data}}", "SQLite files could not be opened within 10 s"),
    "a server": ("storage: {postgres: {postgres_db: {}}}", "database did not answer within 10 s. Start it, or"),
    "a server for runs": (
        yaml.safe_dump({"run_storage": {"module": "dagster_postgres"}, "schedule_storage": {"class": "SqliteStorage"}}),
        "database did not answer within 10 s. Start it, or",
    ),
}


@pytest.mark.parametrize(("text", "says"), SILENT.values(), ids=SILENT.keys())
def test_files_that_open_slowly_are_not_called_a_database_that_is_down(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "dagster.yaml").write_text(text)

    said = str(silent_storage(tmp_path, 10))
    assert says in said
    assert ("Start it" in said) == ("did not answer" in says)


RETRIES = {
    "off": ("run_retries: {enabled: false}", "failed runs are not repeated by Dagster (run_retries)"),
    "crashes": (
        "run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}",
        "runs whose worker died are repeated up to 2 times (run_retries.max_retries); what Encord refused",
    ),
    "everything": (
        "run_retries: {enabled: true, max_retries: 3}",
        "repeated up to 3 times (run_retries.max_retries), and other failed runs of other jobs only",
    ),
}


@pytest.mark.parametrize(("text", "says"), RETRIES.values(), ids=RETRIES.keys())
def test_what_the_instance_does_with_failed_runs_is_said(
    settings: Settings, home: Path, empty_home: Path, text: str, says: str
) -> None:
    shutil.copytree(empty_home, home)
    (home / "dagster.yaml").write_text(text)

    assert says in ask_instance(settings, {})
