"""A daemon on the instance of a command: it repeats what died, and leaves what a person interrupted."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from registration_pipeline_tests.orchestration.test_interrupted_runs import newest_run, start
from registration_pipeline_tests.orchestration.ui.conftest import RUN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline_tests.orchestration.conftest import MakePipeline, Pipeline
    from registration_pipeline_tests.orchestration.ui.conftest import Ui

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def pipeline(make_pipeline: MakePipeline) -> Pipeline:
    """A pipeline whose upload jobs never end while the test goes on."""
    return make_pipeline(job_seconds=600.0)


def test_a_daemon_repeats_a_killed_sync_and_not_an_interrupted_one(
    pipeline: Pipeline, instance: DagsterInstance, start_ui: Callable[[], Ui]
) -> None:
    pipeline.add_images(2)
    start_ui()
    ended = []
    for number in (signal.SIGINT, signal.SIGKILL):
        process = start(pipeline, "sync")
        pipeline.wait_until(
            lambda: instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED])),
            seconds=RUN_SECONDS,
            what="the run",
        )
        run_id = newest_run(instance).run_id
        pipeline.wait_until(pipeline.sandbox.jobs, seconds=RUN_SECONDS, what="an upload job")
        process.send_signal(number)
        process.communicate(timeout=RUN_SECONDS)
        ended.append(run_id)
    interrupted, killed = ended

    def retries_of(run_id: str) -> list[str]:
        return [run.run_id for run in instance.get_runs() if run.parent_run_id == run_id]

    pipeline.wait_until(lambda: retries_of(killed), seconds=RUN_SECONDS, what="the retry of the killed run")

    assert retries_of(interrupted) == []
    found = instance.get_run_by_id(interrupted)
    assert found is not None
    assert found.status is DagsterRunStatus.CANCELED
