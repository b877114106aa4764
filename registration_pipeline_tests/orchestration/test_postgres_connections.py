"""A Postgres as Dagster's documentation names it, and one whose connections are cut while events are stored."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import sqlalchemy as db
from dagster._core.definitions.dependency import NodeHandle

from benchmarks.postgres_server import PostgresServer, postgres, postgres_programs
from benchmarks.redis_server import free_port
from registration_pipeline.orchestration.private_dagster import (
    AssetMaterializationPlannedData,
    InstanceRef,
    make_new_run_id,
)
from registration_pipeline.orchestration.runs import event_batches
from registration_pipeline.orchestration.runs.chunk_events import Step
from registration_pipeline.orchestration.runs.event_batches import batch_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(postgres_programs() is None, reason="Postgres is not installed (`make postgres`)"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    pytest.importorskip("dagster_postgres")
    with postgres(free_port()) as started:
        yield started


def open_with(storage: str, home: Path) -> dg.DagsterInstance:
    (home / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\nstorage:\n  postgres:\n    {storage}\n")
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home)))


@pytest.mark.skipif(
    version("sqlalchemy") >= "2.1", reason="the extra postgres needs SQLAlchemy below 2.1: make setup-dev"
)
@pytest.mark.parametrize(
    "storage",
    [
        pytest.param("postgres_url: postgresql://postgres:x@127.0.0.1:{port}/postgres", id="a URL"),
        pytest.param(
            "postgres_db: {{username: postgres, password: {{env: PG_PASSWORD}}, hostname: 127.0.0.1, "
            "port: {port}, db_name: postgres}}",
            id="parts of it",
        ),
        pytest.param("postgres_url: postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres", id="with the driver"),
    ],
)
def test_what_dagsters_documentation_writes_is_enough(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    monkeypatch.setenv("PG_PASSWORD", "p@ss/word")

    @dg.op
    def say() -> None:
        pass

    @dg.job
    def said() -> None:
        say()

    with open_with(storage.format(port=server.port), tmp_path) as instance:
        run = said.execute_in_process(instance=instance)
        assert run.success
        kinds = [
            entry.get_dagster_event().event_type for entry in instance.all_logs(run.run_id) if entry.is_dagster_event
        ]
        assert kinds[-1] is dg.DagsterEventType.RUN_SUCCESS


@pytest.fixture(scope="module")
def instance(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    storage = f"postgres_url: {server.url}"
    with open_with(storage, tmp_path_factory.mktemp("home")) as opened:
        yield opened


KEY = dg.AssetKey(["fleet", "registration"])
CHUNKS = 5
TAG = "dagster/data_version"
"""One that Dagster keeps a row for; it does so for few."""


def events_of(run_id: str, kind: str) -> list[dg.EventLogEntry]:
    """Return the events of a run's chunks, those of materializations with a tag each."""
    step = Step(run_id, "fleet_submit", NodeHandle("register", None))
    names = [f"chunk-{number}" for number in range(CHUNKS)]
    if kind == "planned":
        return [planned_event(step, name) for name in names]
    tags = {TAG: "7"}
    return [step.entry(dg.AssetMaterialization(KEY, partition=name, tags=tags)) for name in names]


def planned_event(step: Step, partition: str) -> dg.EventLogEntry:
    event = dg.DagsterEvent.build_asset_materialization_planned_event(
        step.job_name, "register", AssetMaterializationPlannedData(KEY, partition=partition, partitions_subset=None)
    )
    return dg.EventLogEntry(None, 20, "", step.run_id, 1.0, "register", step.job_name, event)  # type: ignore[no-untyped-call]


class Cutter:
    """Cuts every connection to the server right before or after some statements of an engine, counted from 1."""

    def __init__(self, server: PostgresServer, moment: str, at: set[int]) -> None:
        self._server, self._moment, self._at = server, moment, at
        self.statements = self.cuts = 0

    def __call__(self, *_: object) -> None:
        self.statements += 1
        if self.statements in self._at:
            self.cuts += 1
            self._server.cut_connections()


@pytest.mark.parametrize("kind", ["planned", "materialized"])
@pytest.mark.parametrize("moment", ["before_cursor_execute", "after_cursor_execute", "commit"])
@pytest.mark.parametrize("at", [{1}, {2}, {1, 2, 3, 4}], ids=["first", "second", "four times"])
def test_a_batch_is_stored_once_wherever_its_connection_is_cut(  # noqa: PLR0917
    server: PostgresServer,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    moment: str,
    at: set[int],
) -> None:
    monkeypatch.setattr(event_batches, "PATIENCE", (0.01,) * 8)
    storage = instance.event_log_storage
    store = batch_store(instance)
    assert store is not None
    events = events_of(make_new_run_id(), kind)
    engine = storage._engine  # type: ignore[attr-defined]
    cutter = Cutter(server, moment, at)
    db.event.listen(engine, moment, cutter)
    try:
        store(events)
    finally:
        db.event.remove(engine, moment, cutter)

    assert cutter.cuts or cutter.statements < min(at)
    table = "SELECT id, partition FROM event_logs WHERE run_id = '{}' ORDER BY id"
    rows = server.ask(table.format(events[0].run_id))
    assert [partition for _, partition in rows] == [f"chunk-{number}" for number in range(CHUNKS)]
    ids = ", ".join(str(number) for number, _ in rows)
    tags = server.ask(f"SELECT event_id FROM asset_event_tags WHERE event_id IN ({ids}) AND key = '{TAG}'")
    assert sorted(tags) == ([] if kind == "planned" else [(number,) for number, _ in rows])
    asset = next(iter(instance.get_asset_records([KEY]))).asset_entry
    assert asset.last_run_id == events[0].run_id
    if kind == "materialized":
        assert asset.last_materialization_storage_id == rows[-1][0]


def test_a_database_that_stays_away_ends_the_patience(
    server: PostgresServer, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_batches, "PATIENCE", (0.01, 0.01))
    store = batch_store(instance)
    assert store is not None
    engine = instance.event_log_storage._engine  # type: ignore[attr-defined]
    cutter = Cutter(server, "before_cursor_execute", set(range(1, 100)))
    db.event.listen(engine, "before_cursor_execute", cutter)
    try:
        with pytest.raises(db.exc.OperationalError):
            store(events_of(make_new_run_id(), "materialized"))
    finally:
        db.event.remove(engine, "before_cursor_execute", cutter)
    assert cutter.cuts == 3
