"""One run over many chunks: each partition shows what became of its chunk, however the run was started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dagster import AssetCheckKey, AssetKey, DagsterInstance, TableMetadataValue

from registration_pipeline.orchestration.names import MANIFESTS_VALID, NO_FAILED_CHUNKS
from registration_pipeline.orchestration.runs.launch import run_job
from registration_pipeline_tests.doses import DOSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline_tests.orchestration.conftest import Pipeline

pytestmark = [pytest.mark.slow, pytest.mark.soak]

CHUNKS, BROKEN = DOSES.chunks, (2, 5, 9)


def run_range(pipeline: Pipeline, instance: DagsterInstance, *assets: AssetKey) -> bool:
    """Do what the backfill daemon does for a contiguous range: one run of the assets, tagged with the range."""
    job = pipeline.definitions.resolve_implicit_global_asset_job_def()
    chunk_ids = pipeline.chunk_ids
    tags = {"dagster/asset_partition_range_start": chunk_ids[0], "dagster/asset_partition_range_end": chunk_ids[-1]}
    return job.execute_in_process(
        instance=instance, asset_selection=list(assets), tags=tags, raise_on_error=False
    ).success


def by_range(pipeline: Pipeline, instance: DagsterInstance) -> bool:
    pipeline.plan(instance)
    return run_range(pipeline, instance, pipeline.own.manifest, pipeline.own.registration)


def by_sync(pipeline: Pipeline, instance: DagsterInstance) -> bool:
    return run_job(instance, pipeline.own.sync_job)


def by_scattered_names(pipeline: Pipeline, instance: DagsterInstance) -> bool:
    """Name every chunk but the first and the last, backwards, and leave those to a run that searches for what is due."""
    pipeline.plan(instance)
    op = f"{pipeline.own.ident}_register_chunks"
    named = {"ops": {op: {"config": {"chunks": pipeline.chunk_ids[-2:0:-1]}}}}
    succeeded = run_job(instance, pipeline.own.submit_job, named)
    assert run_job(instance, pipeline.own.submit_job)
    return succeeded


CASES = [
    pytest.param(by_range, id="range run of the assets"),
    pytest.param(by_sync, id="sync job"),
    pytest.param(by_scattered_names, id="submit job"),
]


def check_passed(instance: DagsterInstance, asset: AssetKey, name: str) -> bool:
    """Tell what the newest evaluation of a check says."""
    record = instance.event_log_storage.get_asset_check_execution_history(AssetCheckKey(asset, name), limit=1)[0]
    assert record.event is not None
    assert record.event.asset_check_evaluation is not None
    return record.event.asset_check_evaluation.passed


def observed_reasons(instance: DagsterInstance, asset: AssetKey) -> dict[str, list[dict[str, object]]]:
    """Return the reasons table of the newest observation of each partition that has one."""
    found: dict[str, list[dict[str, object]]] = {}
    for record in instance.fetch_observations(asset, limit=100).records:
        observation = record.asset_observation
        assert observation is not None
        assert observation.partition is not None
        table = observation.metadata["reasons"]
        assert isinstance(table, TableMetadataValue)
        found.setdefault(observation.partition, [dict(row.data) for row in table.records])
    return found


@pytest.mark.parametrize("run", CASES)
def test_one_run_shows_the_failed_chunks_as_failed_and_all_others_as_materialized(
    pipeline: Pipeline,
    instance: DagsterInstance,
    run: Callable[[Pipeline, DagsterInstance], bool],
) -> None:
    pipeline.add_images(CHUNKS)
    pipeline.break_images(*BROKEN)

    assert not run(pipeline, instance)

    registration = pipeline.shown(instance, pipeline.own.registration)
    assert registration.counts == (CHUNKS - 3, 3, 0)
    assert registration.failed == pipeline.chunks_of(*BROKEN)
    assert pipeline.shown(instance, pipeline.own.manifest).counts == (CHUNKS, 0, 0)
    assert (pipeline.status.registered, pipeline.status.failed) == (CHUNKS - 3, 3)
    reasons = observed_reasons(instance, pipeline.own.registration)
    shown = {"reason": "not_found", "units": 1, "what to do": "fix the file"}
    assert reasons == {chunk_id: [shown] for chunk_id in registration.failed}
    assert not check_passed(instance, pipeline.own.registration, NO_FAILED_CHUNKS)
    assert check_passed(instance, pipeline.own.manifest, MANIFESTS_VALID)


def test_retrying_sends_exactly_the_failed_chunks_and_shows_them_as_materialized(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    pipeline.add_images(CHUNKS)
    pipeline.break_images(*BROKEN)
    assert not run_job(instance, pipeline.own.sync_job)
    assert len(pipeline.sandbox.jobs()) == CHUNKS
    assert pipeline.shown(instance, pipeline.own.registration).failed == pipeline.chunks_of(*BROKEN)
    pipeline.fix_images()

    assert run_job(instance, pipeline.own.retry_job)

    assert pipeline.shown(instance, pipeline.own.registration).counts == (CHUNKS, 0, 0)
    assert len(pipeline.sandbox.jobs()) == CHUNKS + 3
    assert pipeline.sandbox.duplicates() == {}
    assert len(pipeline.urls()) == CHUNKS
    assert check_passed(instance, pipeline.own.registration, NO_FAILED_CHUNKS)
