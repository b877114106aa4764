"""The nightly sync: what a tick asks for, and what comes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from dagster import DagsterInstance, RunRequest, build_schedule_context

from registration_pipeline.orchestration.names import SOURCE_TAG
from registration_pipeline.orchestration.runs.launch import run_job

if TYPE_CHECKING:
    from registration_pipeline_tests.orchestration.conftest import Pipeline


def ticked(pipeline: Pipeline, instance: DagsterInstance) -> RunRequest:
    """Evaluate the schedule at its next tick and return what it asks for."""
    repository = pipeline.definitions.get_repository_def()
    schedule = repository.get_schedule_def(pipeline.own.schedule)
    context = build_schedule_context(
        instance, scheduled_execution_time=datetime.now(UTC) + timedelta(hours=1), repository_def=repository
    )
    (request,) = schedule.evaluate_tick(context).run_requests or ()
    assert request.job_name in (None, schedule.job_name)
    assert request.tags[SOURCE_TAG] == "fleet-cameras"
    return request


@pytest.mark.slow
def test_a_night_registers_what_was_added_during_the_day(pipeline: Pipeline, instance: DagsterInstance) -> None:
    pipeline.add_images(2, day="2026-11-20")
    first = ticked(pipeline, instance)
    assert run_job(instance, pipeline.own.nightly_job, first.run_config)
    assert pipeline.status.registered == 2

    pipeline.add_images(3, day="2026-11-21")
    second = ticked(pipeline, instance)
    assert run_job(instance, pipeline.own.nightly_job, second.run_config)

    assert pipeline.status.registered == 5
    assert len(pipeline.sandbox.jobs()) == 5
    assert pipeline.shown(instance, pipeline.own.registration).counts == (5, 0, 0)


@pytest.mark.slow
def test_a_night_with_nothing_new_and_a_retry_with_nothing_failed_send_nothing(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    pipeline.add_images(2)
    for _ in range(2):
        assert run_job(instance, pipeline.own.nightly_job, ticked(pipeline, instance).run_config)
    assert run_job(instance, pipeline.own.retry_job)

    assert len(pipeline.sandbox.jobs()) == 2
    assert len(pipeline.chunk_ids) == 2
