"""Runs that a command made: the UI shows them under the code location and can do them again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline.orchestration.runs.launch import run_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from dagster import DagsterInstance

    from registration_pipeline_tests.orchestration.conftest import Pipeline
    from registration_pipeline_tests.orchestration.ui.conftest import Ui

pytestmark = pytest.mark.slow


def test_a_run_of_a_command_belongs_to_the_code_location_and_can_be_done_again(
    pipeline: Pipeline, instance: DagsterInstance, start_ui: Callable[[], Ui]
) -> None:
    own = pipeline.own
    pipeline.add_images(6)
    pipeline.break_images(5)
    assert not run_job(instance, own.sync_job)
    (by_command,) = instance.get_runs()
    ui = start_ui()

    shown = ui.run(by_command.run_id)
    assert shown["repositoryOrigin"] == {
        "repositoryLocationName": "registration_pipeline",
        "repositoryName": "__repository__",
    }
    of_location = {"tags": [{"key": ".dagster/repository", "value": "__repository__@registration_pipeline"}]}
    assert [run["runId"] for run in ui.runs(pipelineName=own.sync_job, **of_location)] == [by_command.run_id]

    pipeline.add_images(4, day="2026-11-21")
    assert ui.re_execute(by_command.run_id) == "SUCCESS"  # as any sync: it registers what is new
    assert pipeline.status.registered == 9
    assert ui.launch_job(own.retry_job) == "FAILURE"
    pipeline.fix_images()
    assert ui.launch_job(own.retry_job) == "SUCCESS"
    assert (pipeline.status.registered, pipeline.status.failed) == (10, 0)
    assert ui.partitions(own.registration) == (10, 0, 10)
    assert pipeline.sandbox.duplicates() == {}


def test_a_halted_run_goes_on_from_its_failed_step(
    pipeline: Pipeline, instance: DagsterInstance, start_ui: Callable[[], Ui], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.add_images(3)
    with monkeypatch.context() as without_key:
        without_key.delenv("ENCORD_SSH_KEY_FILE")
        assert not run_job(instance, pipeline.own.sync_job)
    (halted,) = instance.get_runs()
    ui = start_ui()

    assert ui.re_execute(halted.run_id, "FROM_FAILURE") == "SUCCESS"

    assert pipeline.status.registered == 3
    assert len(pipeline.sandbox.jobs()) == 3


def test_a_run_with_refused_objects_tries_them_again_from_its_failed_step(
    pipeline: Pipeline, instance: DagsterInstance, start_ui: Callable[[], Ui]
) -> None:
    pipeline.add_images(3)
    pipeline.break_images(1)
    assert not run_job(instance, pipeline.own.sync_job)
    (failed,) = instance.get_runs()
    ui = start_ui()

    assert ui.re_execute(failed.run_id, "FROM_FAILURE") == "FAILURE"
    assert len(pipeline.sandbox.jobs()) == 4
    pipeline.fix_images()
    assert ui.re_execute(failed.run_id, "FROM_FAILURE") == "SUCCESS"

    assert ui.partitions(pipeline.own.registration) == (3, 0, 3)
    assert len(pipeline.sandbox.jobs()) == 5
