"""What Dagster shows catches up with the state after runs that planned partitions and did not reach them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline.orchestration.runs.launch import run_job
from registration_pipeline.orchestration.runs.shown_partitions import shown_as_done
from registration_pipeline_tests.orchestration.test_halted_runs import foreign_key, missing_integration
from registration_pipeline_tests.orchestration.test_partition_statuses import run_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from dagster import DagsterInstance

    from registration_pipeline_tests.orchestration.conftest import Pipeline

    Spoil = Callable[[Pipeline, pytest.MonkeyPatch], None]

HALTS = [
    pytest.param(foreign_key, id="a key that Encord refuses"),
    pytest.param(missing_integration, id="an integration that does not exist"),
]


def assert_all_green(pipeline: Pipeline, instance: DagsterInstance, count: int) -> None:
    own = pipeline.own
    assert pipeline.shown(instance, own.registration).counts == (count, 0, 0)
    assert pipeline.shown(instance, own.manifest).counts == (count, 0, 0)
    assert shown_as_done(instance, own) == set(pipeline.chunk_ids)


@pytest.mark.slow
@pytest.mark.parametrize("spoil", HALTS)
def test_partitions_of_a_halted_backfill_are_green_after_a_sync_or_a_retry(
    pipeline: Pipeline, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, spoil: Spoil
) -> None:
    own = pipeline.own
    pipeline.add_images(3)
    assert run_job(instance, own.sync_job)
    assert_all_green(pipeline, instance, 3)

    for job in (own.sync_job, own.retry_job):
        with monkeypatch.context() as spoilt:
            spoil(pipeline, spoilt)
            assert not run_range(pipeline, instance, own.manifest, own.registration)
        pipeline.configure()
        assert pipeline.shown(instance, own.registration).failed == set(pipeline.chunk_ids)

        assert run_job(instance, job)

        assert_all_green(pipeline, instance, 3)
    assert len(pipeline.sandbox.jobs()) == 3


@pytest.mark.slow
def test_what_is_green_is_not_reported_again(pipeline: Pipeline, instance: DagsterInstance) -> None:
    own = pipeline.own
    pipeline.add_images(2)
    for _ in range(3):
        assert run_job(instance, own.sync_job)

    assert len(instance.fetch_materializations(own.registration, limit=10).records) == 2
    assert len(instance.fetch_materializations(own.manifest, limit=10).records) == 2
