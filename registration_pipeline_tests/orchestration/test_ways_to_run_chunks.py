"""Selections that a person may make, and an event log that was lost."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from dagster import AssetCheckKey, DagsterInstance, DagsterRunStatus

from registration_pipeline.orchestration import names
from registration_pipeline.orchestration.runs.instance import open_instance
from registration_pipeline.orchestration.runs.launch import run_job

if TYPE_CHECKING:
    from dagster import AssetKey

    from registration_pipeline_tests.orchestration.conftest import Pipeline


def run_partitions(
    pipeline: Pipeline, instance: DagsterInstance, first: str, last: str, *assets: AssetKey
) -> DagsterRunStatus:
    job = pipeline.definitions.resolve_implicit_global_asset_job_def()
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    if first == last:
        tags = {"dagster/partition": first}
    result = job.execute_in_process(instance=instance, asset_selection=list(assets), tags=tags, raise_on_error=False)
    return result.dagster_run.status


@pytest.mark.slow
def test_manifests_alone_send_nothing_and_registrations_alone_need_no_manifest_run(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    pipeline.add_images(4)
    first, *_, last = pipeline.plan(instance)
    own = pipeline.own

    assert run_partitions(pipeline, instance, first, last, own.manifest) is DagsterRunStatus.SUCCESS
    assert pipeline.sandbox.jobs() == []
    assert pipeline.shown(instance, own.manifest).counts == (4, 0, 0)
    for path in (pipeline.root / ".registration" / "fleet-cameras" / "manifests").iterdir():
        path.unlink()

    assert run_partitions(pipeline, instance, first, last, own.registration) is DagsterRunStatus.SUCCESS
    assert pipeline.shown(instance, own.registration).counts == (4, 0, 0)
    assert len(pipeline.sandbox.jobs()) == 4


@pytest.mark.slow
def test_executing_only_the_checks_looks_at_every_chunk_and_sends_nothing(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    pipeline.add_images(3)
    first, *_, last = pipeline.plan(instance)
    own = pipeline.own
    pipeline.break_images(1)
    run_partitions(pipeline, instance, first, last, own.manifest, own.registration)
    checks = [
        AssetCheckKey(own.manifest, names.MANIFESTS_VALID),
        AssetCheckKey(own.registration, names.NO_FAILED_CHUNKS),
    ]
    job = pipeline.definitions.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=set(), asset_check_selection=set(checks)
    )

    result = job.execute_in_process(instance=instance, raise_on_error=False)

    found = {one.check_name: one.passed for one in result.get_asset_check_evaluations()}
    assert result.success
    assert found == {names.MANIFESTS_VALID: True, names.NO_FAILED_CHUNKS: False}
    assert len(pipeline.sandbox.jobs()) == 3


def test_one_partition_is_one_chunk_and_again_sends_nothing(pipeline: Pipeline, instance: DagsterInstance) -> None:
    pipeline.add_images(3)
    _, chosen, _ = pipeline.plan(instance)
    own = pipeline.own

    for _ in range(2):
        assert run_partitions(pipeline, instance, chosen, chosen, own.manifest, own.registration) is (
            DagsterRunStatus.SUCCESS
        )

    assert pipeline.shown(instance, own.registration).materialized == {chosen}
    assert len(pipeline.sandbox.jobs()) == 1
    assert pipeline.status.pending == 2


@pytest.mark.slow
def test_a_lost_event_log_is_filled_again_from_the_state_without_sending(pipeline: Pipeline) -> None:
    own = pipeline.own
    with open_instance(pipeline.project.settings, os.environ) as first:
        pipeline.add_images(3)
        assert run_job(first, own.sync_job)
    shutil.rmtree(pipeline.root / ".dagster")

    with open_instance(pipeline.project.settings, os.environ) as second:
        assert run_job(second, own.sync_job)
        chunk_ids = pipeline.chunk_ids
        assert second.get_dynamic_partitions(own.partitions) == chunk_ids
        status = run_partitions(pipeline, second, chunk_ids[0], chunk_ids[-1], own.manifest, own.registration)
        assert status is DagsterRunStatus.SUCCESS
        assert pipeline.shown(second, own.registration).counts == (3, 0, 0)
    assert len(pipeline.sandbox.jobs()) == 3


def test_a_partition_that_the_state_does_not_know_fails_and_is_named(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    instance.add_dynamic_partitions(pipeline.own.partitions, ["20261121T020000Z-images-000001"])
    job = pipeline.definitions.resolve_implicit_global_asset_job_def()

    result = job.execute_in_process(
        instance=instance,
        asset_selection=[pipeline.own.registration],
        tags={"dagster/partition": "20261121T020000Z-images-000001"},
        raise_on_error=False,
    )

    assert not result.success
    (failure,) = result.get_step_failure_events()
    user_failure = failure.step_failure_data.user_failure_data
    assert user_failure is not None
    assert "has no chunk '20261121T020000Z-images-000001'" in (user_failure.description or "")
