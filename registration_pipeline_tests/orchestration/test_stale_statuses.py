"""No asset is shown as "Unsynced" that was just brought up to date, however it was run and whatever failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.orchestration.runs.launch import run_job
from registration_pipeline_tests.orchestration.stale_statuses import unsynced

if TYPE_CHECKING:
    from dagster import AssetKey, DagsterInstance

    from registration_pipeline_tests.orchestration.conftest import Pipeline

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {
    "metadata": [{"pattern": "frame_(?P<frame>[0-9]+)"}],
    "upsert_metadata": True,
    "dataset": {"title": "fleet"},
}


def materialize(pipeline: Pipeline, instance: DagsterInstance, *keys: AssetKey, chunks: bool = False) -> bool:
    """Materialize assets as the UI does; of partitions all."""
    ids = pipeline.chunk_ids
    ends = ("dagster/asset_partition_range_start", ids[0]), ("dagster/asset_partition_range_end", ids[-1])
    job = pipeline.definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance, asset_selection=list(keys), tags=dict(ends) if chunks else {}, raise_on_error=False
    ).success


def test_what_was_just_made_is_not_shown_as_out_of_date(pipeline: Pipeline, instance: DagsterInstance) -> None:
    own = pipeline.own
    last = (own.metadata_upserts, own.dataset, own.failure_log)

    def out_of_date() -> dict[str, list[str]]:
        return unsynced(pipeline.definitions, instance, pipeline.chunk_ids)

    pipeline.configure(**SETTINGS)
    pipeline.add_images(3)
    pipeline.break_images(1)
    assert not run_job(instance, own.sync_job)
    assert out_of_date() == {}, "after a sync with a failure"

    pipeline.fix_images()
    assert materialize(pipeline, instance, own.manifest, own.registration, chunks=True)
    assert set(out_of_date()) == {key.path[-1] for key in last}, "they do not know the registered chunk"
    assert materialize(pipeline, instance, *last)
    assert out_of_date() == {}, "after a backfill and what follows it"

    pipeline.add_images(2, day="2026-11-21")
    assert materialize(pipeline, instance, own.inventory)
    assert set(out_of_date()) == {"metadata", "chunk_plan"}, "they do not know the new inventory"
    assert materialize(pipeline, instance, own.facts("metadata"), own.chunk_plan)
    assert out_of_date() == {}, "a plan that adds chunks leaves the others as they were"
    assert materialize(pipeline, instance, own.manifest, own.registration, chunks=True)
    assert materialize(pipeline, instance, *last)
    assert out_of_date() == {}, "after a run of the assets"

    pipeline.add_images(1, day="2026-11-22")
    assert run_job(instance, own.sync_job)
    assert out_of_date() == {}, "after a sync of the assets by the job"
