"""A Postgres as Dagster's documentation names it, and one whose connections are cut while events are stored."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from benchmarks.postgres_server import PostgresServer, postgres, postgres_programs
from benchmarks.redis_server import free_port
from registration_pipeline.orchestration.private_dagster import InstanceRef

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
