"""The same nights with Dagster's storage in Postgres: events, partitions, clearing of stale runs and the preflight."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from dagster import AssetKey, DagsterInstance, DagsterRunStatus
from sqlalchemy.engine import make_url

from benchmarks.postgres_server import postgres_programs, postgres_server
from registration_pipeline.orchestration.partitions import update_partitions
from registration_pipeline.orchestration.runs.instance import open_instance
from registration_pipeline.orchestration.runs.instance_check import ask_instance
from registration_pipeline.orchestration.runs.launch import run_job
from registration_pipeline.orchestration.runs.shown_partitions import shown_as_done
from registration_pipeline.orchestration.runs.stale_runs import clear_stale_runs
from registration_pipeline_tests.orchestration import test_chunk_events as chunk_events
from registration_pipeline_tests.orchestration.test_stale_runs import a_run, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline_tests.orchestration.conftest import Pipeline

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(postgres_programs() is None, reason="Postgres is not installed (`make postgres`)"),
]


@pytest.fixture
def instance(pipeline: Pipeline) -> Iterator[DagsterInstance]:
    """The instance that the commands use, whose ``dagster.yaml`` names a database as docs/deployment.md says."""
    pytest.importorskip("dagster_postgres")
    home = pipeline.root / ".dagster"
    home.mkdir()
    with postgres_server() as url:
        assert make_url(url).drivername == "postgresql+psycopg2"
        (home / "dagster.yaml").write_text(
            f"telemetry: {{enabled: false}}\nstorage: {{postgres: {{postgres_url: '{url}'}}}}\n"
            "concurrency: {pools: {granularity: op, default_limit: 1}}\n"
        )
        with open_instance(pipeline.project.settings, os.environ) as opened:
            yield opened


def test_nights_on_postgres_show_what_they_show_on_sqlite(pipeline: Pipeline, instance: DagsterInstance) -> None:
    own = pipeline.own
    assert "its database answers" in ask_instance(pipeline.project.settings, os.environ)
    pipeline.add_images(4)
    pipeline.break_images(2)

    assert not run_job(instance, own.sync_job)
    assert pipeline.shown(instance, own.registration).counts == (3, 1, 0)
    assert pipeline.shown(instance, own.manifest).counts == (4, 0, 0)
    assert shown_as_done(instance, own) == pipeline.chunks_of(0, 1, 3)

    gone = subprocess.Popen(["true"])
    gone.wait()
    run = a_run(pipeline, instance, DagsterRunStatus.STARTED, pid=gone.pid)
    instance.event_log_storage.set_concurrency_slots(own.pool, 1)
    claimed = instance.event_log_storage.claim_concurrency_slot(own.pool, run.run_id, "register")
    assert claimed.is_claimed
    assert [one.run_id for one in clear_stale_runs(instance)] == [run.run_id]
    assert status_of(instance, run) is DagsterRunStatus.FAILURE

    pipeline.fix_images()
    assert run_job(instance, own.retry_job)
    assert pipeline.shown(instance, own.registration).counts == (4, 0, 0)
    assert len(instance.fetch_materializations(own.registration, limit=10).records) == 4

    planned, archived = pipeline.chunk_ids, pipeline.chunk_ids[:3]
    assert update_partitions(instance, own, planned, archived).newly_archived == 3
    assert instance.get_dynamic_partitions(own.partitions) == planned[3:]
    assert update_partitions(instance, own, planned).live == 4
    assert pipeline.shown(instance, own.registration).counts == (4, 0, 0)

    _compare_batches_with_single_events(instance)


def _compare_batches_with_single_events(instance: DagsterInstance) -> None:
    keys: tuple[AssetKey, ...] = (chunk_events.MANIFEST, chunk_events.REGISTRATION)
    single, _ = chunk_events.run_op(instance, chunk_events.events_of_chunks, in_batches=False)
    ended = {key: chunk_events.newest_of(instance, key) for key in keys}
    expected = {key: chunk_events.seen_by_asset(instance, key, 0) for key in keys}

    batched, _ = chunk_events.run_op(instance, chunk_events.events_of_chunks, in_batches=True)

    seen = [chunk_events.seen_by_run(instance, run_id) for run_id in (batched, single)]
    assert sorted(map(repr, seen[0])) == sorted(map(repr, seen[1]))  # a batch is stored by asset and kind of event
    for key in keys:
        found, before = chunk_events.seen_by_asset(instance, key, ended[key]), expected[key]
        assert sorted(map(repr, found[1])) == sorted(map(repr, before[1]))  # type: ignore[call-overload]
        assert found[2] == 2 * int(str(before[2]))
