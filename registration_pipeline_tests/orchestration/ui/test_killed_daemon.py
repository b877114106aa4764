"""A machine that loses power under a daemon: what it left behind blocks neither the commands nor the next daemon."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from registration_pipeline.orchestration.runs.instance import open_instance
from registration_pipeline.orchestration.runs.launch import run_job
from registration_pipeline.orchestration.runs.stale_runs import clear_stale_runs, clearing_stale_runs
from registration_pipeline_tests.orchestration.ui.conftest import RUN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline_tests.orchestration.conftest import MakePipeline, Pipeline
    from registration_pipeline_tests.orchestration.ui.conftest import Ui

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def pipeline(make_pipeline: MakePipeline) -> Pipeline:
    """A pipeline whose upload jobs take long enough to be interrupted."""
    return make_pipeline(job_seconds=15.0)


def test_what_killed_daemons_left_is_finished_by_the_next_one_and_by_a_command(
    pipeline: Pipeline, instance: DagsterInstance, start_ui: Callable[[], Ui]
) -> None:
    """First a backfill whose daemon, webserver and worker are killed, then, under the next ones, the run of a sync."""
    own = pipeline.own
    pipeline.add_images(4)
    chunk_ids = pipeline.plan(instance)
    ui = start_ui()
    backfill_id = ui.launch_backfill([own.manifest, own.registration], chunk_ids)
    pipeline.wait_until(lambda: len(pipeline.sandbox.jobs()) == 4, seconds=RUN_SECONDS, what="the upload jobs")
    (killed,) = ui.runs(statuses=["STARTED"])
    ui.kill()

    again = start_ui()
    backfill = again.backfill_ended(backfill_id)

    assert (backfill.status, backfill.error) == ("COMPLETED_SUCCESS", None)
    assert again.run(killed["runId"])["runStatus"] == "FAILURE"
    (repeated,) = set(backfill.runs) - {killed["runId"]}
    assert again.run(repeated)["runStatus"] == "SUCCESS"
    assert_registered_once(pipeline, instance, 4)

    pipeline.add_images(4, day="2026-11-21")
    run_id = again.launch(own.sync_job)
    pipeline.wait_until(lambda: len(pipeline.sandbox.jobs()) == 8, seconds=RUN_SECONDS, what="the upload jobs")
    assert clear_stale_runs(instance) == []  # it lives
    again.kill()

    with open_instance(pipeline.project.settings, os.environ) as opened, clearing_stale_runs(opened) as cleared:
        assert [one.run_id for one in cleared] == [run_id]
        assert run_job(opened, own.sync_job)

    of_sync = instance.get_run_by_id(run_id)
    assert of_sync is not None
    assert of_sync.status is DagsterRunStatus.FAILURE
    assert_registered_once(pipeline, instance, 8)


def assert_registered_once(pipeline: Pipeline, instance: DagsterInstance, images: int) -> None:
    assert pipeline.status.registered == images
    assert len(pipeline.sandbox.jobs()) == images
    assert pipeline.sandbox.duplicates() == {}
    for key in (pipeline.own.manifest, pipeline.own.registration):
        assert pipeline.shown(instance, key).counts == (images, 0, 0)
