"""Asks a Dagster instance whether its database answers and what it does with failed runs; for the preflight, changes nothing.

What does not belong here: opening it for work (``instance.py``).
"""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from registration_pipeline.orchestration.private_dagster import InstanceRef
from registration_pipeline.orchestration.runs.instance import dagster_home, open_instance
from registration_pipeline.orchestration.runs.storage_trouble import INSTANCE_FILE
from registration_pipeline.settings import Settings

_WAIT_MILLISECONDS = 3000


def ask_instance(settings: Settings, environ: Mapping[str, str]) -> str:
    """Return what the instance does, as a sentence; one that was never used is not made.

    Raises:
        ConfigurationError: its ``dagster.yaml`` is wrong.
        DagsterStorageError: its database can't be used.
    """
    home = dagster_home(settings, environ)
    if not (home / INSTANCE_FILE).exists() or not _has_database(home):
        return f"{home} can be written; the first run makes its database"
    with open_instance(settings, environ) as instance:
        for connection in _connections(instance):
            with connection as database:
                _ask(database)
        return f"{home} can be written, and its database answers; {_repeats(instance)}"


def _has_database(home: Path) -> bool:
    """Return whether the instance has a database already; one that is not in files is somewhere else."""
    try:
        data = InstanceRef.from_dir(str(home)).storage_data
        is_in_files = data is not None and data.class_name == "DagsterSqliteStorage"
        base = yaml.safe_load(data.config_yaml)["base_dir"] if data is not None and is_in_files else None
    except Exception:  # noqa: BLE001 - opening it says what is wrong
        return True
    if base is None:
        return True
    folder = os.environ.get(base["env"], "") if isinstance(base, dict) else str(base)
    return (Path(folder) / "history").exists()


def _connections(instance: dg.DagsterInstance) -> list[AbstractContextManager[Any]]:
    """Return a connection to each database, where the storage is one in SQL."""
    events, runs, schedules = instance.event_log_storage, instance.run_storage, instance.schedule_storage
    makers = (
        getattr(events, "index_connection", None),
        getattr(runs, "connect", None),
        getattr(schedules, "connect", None),
    )
    return [make() for make in makers if make is not None]


def _ask(database: Any) -> None:
    if database.dialect.name == "sqlite":
        # Reading passes while another process keeps every run from writing.
        database.exec_driver_sql(f"PRAGMA busy_timeout={_WAIT_MILLISECONDS}")
        database.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        database.exec_driver_sql("SELECT 1")


def _repeats(instance: dg.DagsterInstance) -> str:
    if not instance.run_retries_enabled or not instance.run_retries_max_retries:
        return "failed runs are not repeated by Dagster (run_retries)"
    kept = ", and other failed runs of other jobs only" if instance.run_retries_retry_on_asset_or_op_failure else ""
    return (
        f"runs whose worker died are repeated up to {instance.run_retries_max_retries} times (run_retries.max_retries){kept}; "
        "what Encord refused is retried by later syncs"
    )
