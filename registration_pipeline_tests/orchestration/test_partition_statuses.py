"""One run over many chunks: each partition shows what became of its chunk, however the run was started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dagster import AssetCheckKey, AssetKey, DagsterInstance, TableMetadataValue

from registration_pipeline.orchestration.names import MANIFESTS_VALID, NO_FAILED_CHUNKS
from registration_pipeline.orchestration.runs.launch import run_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline_tests.orchestration.conftest import Pipeline

FEW, MANY = (12, (2, 5, 9)), (50, (7, 23, 41))


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
    """Name every chunk but the first and the last, backwards, and leave those to a run that looks for what is due."""
    pipeline.plan(instance)
    op = f"{pipeline.own.ident}_register_chunks"
    named = {"ops": {op: {"config": {"chunks": pipeline.chunk_ids[-2:0:-1]}}}}
    succeeded = run_job(instance, pipeline.own.submit_job, named)
    assert run_job(instance, pipeline.own.submit_job)
    return succeeded


CASES = [
    pytest.param(by_range, *FEW, id="range run of the assets", marks=pytest.mark.slow),
    pytest.param(by_sync, *MANY, id="sync job, 50 chunks", marks=pytest.mark.slow),
    pytest.param(by_range, *MANY, id="range run of the assets, 50 chunks", marks=pytest.mark.slow),
    pytest.param(by_scattered_names, *MANY, id="submit job, 50 chunks", marks=pytest.mark.slow),
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


@pytest.mark.parametrize(("run", "images", "broken"), CASES)
def test_one_run_shows_the_failed_chunks_as_failed_and_all_others_as_materialized(
    pipeline: Pipeline,
    instance: DagsterInstance,
    run: Callable[[Pipeline, DagsterInstance], bool],
    images: int,
    broken: tuple[int, ...],
) -> None:
    pipeline.add_images(images)
    pipeline.break_images(*broken)

    assert not run(pipeline, instance)

    registration = pipeline.shown(instance, pipeline.own.registration)
    assert registration.counts == (images - 3, 3, 0)
    assert registration.failed == pipeline.chunks_of(*broken)
    assert pipeline.shown(instance, pipeline.own.manifest).counts == (images, 0, 0)
    assert (pipeline.status.registered, pipeline.status.failed) == (images - 3, 3)
    reasons = observed_reasons(instance, pipeline.own.registration)
    shown = {"reason": "not_found", "objects": 1, "what to do": "fix the file"}
    assert reasons == {chunk_id: [shown] for chunk_id in registration.failed}
    assert not check_passed(instance, pipeline.own.registration, NO_FAILED_CHUNKS)
    assert check_passed(instance, pipeline.own.manifest, MANIFESTS_VALID)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "broken"),
    [pytest.param(*FEW, id="12 chunks"), pytest.param(*MANY, id="50 chunks", marks=pytest.mark.slow)],
)
def test_retrying_sends_exactly_the_failed_chunks_and_shows_them_as_materialized(
    pipeline: Pipeline, instance: DagsterInstance, images: int, broken: tuple[int, ...]
) -> None:
    pipeline.add_images(images)
    pipeline.break_images(*broken)
    assert not run_job(instance, pipeline.own.sync_job)
    assert len(pipeline.sandbox.jobs()) == images
    assert pipeline.shown(instance, pipeline.own.registration).failed == pipeline.chunks_of(*broken)
    pipeline.mend_images()

    assert run_job(instance, pipeline.own.retry_job)

    assert pipeline.shown(instance, pipeline.own.registration).counts == (images, 0, 0)
    assert len(pipeline.sandbox.jobs()) == images + 3
    assert pipeline.sandbox.duplicates() == {}
    assert len(pipeline.urls()) == images
    assert check_passed(instance, pipeline.own.registration, NO_FAILED_CHUNKS)
