"""A source in key ranges on a real Celery worker: the steps of a run are tasks in a Redis, and end as one inventory."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster import DagsterEventType

from benchmarks.redis_server import redis_program, redis_server
from registration_pipeline.definitions import defs
from registration_pipeline.inventory.claim import claims_of_runs
from registration_pipeline.inventory.inventory import latest_inventory
from registration_pipeline.orchestration.celery.options import STEPS_QUEUE
from registration_pipeline_tests.orchestration.conftest import SOURCE, Pipeline

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(redis_program() is None, reason="Redis is not installed (`make redis`)"),
]
RANGES = 2
END_SECONDS = 10


def inventory_job() -> dg.JobDefinition:
    return defs().resolve_job_def("fleet_cameras_inventory")


@pytest.fixture
def on_celery(pipeline: Pipeline, instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[Pipeline]:
    """The pipeline with a worker for steps, started as docs/deployment/celery.md says."""
    del instance  # its home is there
    pipeline.configure(key_ranges=RANGES)
    with redis_server(is_persistent=True) as redis:
        addresses = {"broker": redis.url, "backend": f"db+sqlite:///{tmp_path / 'results.db'}"}
        document = yaml.safe_load(pipeline.config.read_text())
        pipeline.config.write_text(yaml.safe_dump({**document, "executor": {"celery": addresses}}))
        app = ["-A", "registration_pipeline.orchestration.celery.app", "-b", redis.url]
        app += ["--result-backend", addresses["backend"]]
        options = ["--concurrency", str(RANGES), "--hostname", "steps-1@%h", "--queues", STEPS_QUEUE]
        with (tmp_path / "worker.log").open("wb") as log:
            worker = subprocess.Popen(
                [Path(sys.executable).parent / "celery", *app, "worker", *options], stdout=log, stderr=log
            )
            try:
                yield pipeline
            finally:
                worker.terminate()
                try:
                    worker.wait(END_SECONDS)
                except subprocess.TimeoutExpired:
                    worker.kill()
                    worker.wait()


def test_a_worker_lists_each_key_range_of_a_run_and_commits_them(
    on_celery: Pipeline, instance: dg.DagsterInstance
) -> None:
    for day in ("2026-11-20", "2026-11-21", "2026-11-22"):
        on_celery.add_images(2, day=day)

    result = dg.execute_job(dg.reconstructable(inventory_job), instance=instance)

    assert result.success
    made = latest_inventory(on_celery.project.store, SOURCE)
    assert made is not None
    assert (made.objects, made.key_ranges, made.run) == (6, RANGES, result.run_id)
    assert claims_of_runs(on_celery.project.store, SOURCE) == {}
    events = [entry.dagster_event for entry in instance.all_logs(result.run_id, of_type=DagsterEventType.ENGINE_EVENT)]
    assert sum("in celery worker" in (event.message or "") for event in events if event is not None) == RANGES + 2
