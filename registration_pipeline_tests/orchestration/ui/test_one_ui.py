"""What a person does in the UI: materialize assets, backfill chunks, retry those that failed, repeat the runs of commands.

All on one ``dagster dev``, each test on a source of its own. What ends it or needs a daemon of its own doesn't belong here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dagster import RunsFilter

from registration_pipeline.orchestration.runs.launch import run_job
from registration_pipeline_tests.doses import DOSES
from registration_pipeline_tests.orchestration.ui.conftest import RUN_SECONDS

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun

    from registration_pipeline_tests.orchestration.conftest import Pipeline
    from registration_pipeline_tests.orchestration.ui.conftest import Shared, Ui

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
CHUNKS, BROKEN = DOSES.chunks, (2, 5, 9)


@pytest.fixture
def pipeline(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A pipeline of the shared ``dagster dev`` that no other test has."""
    own = next(shared.pipelines)
    own.enter(monkeypatch)
    own.fix_images()
    return own


@pytest.fixture
def instance(shared: Shared) -> DagsterInstance:
    """The instance that the commands use."""
    return shared.instance


@pytest.fixture
def ui(shared: Shared) -> Ui:
    """The shared one."""
    return shared.ui


def run_of_command(pipeline: Pipeline, instance: DagsterInstance) -> DagsterRun:
    """Run a sync as a command does, which fails, and return its run."""
    assert not run_job(instance, pipeline.own.sync_job)
    (run,) = instance.get_runs(RunsFilter(job_name=pipeline.own.sync_job))
    return run


def test_the_whole_group_registers_the_chunks_that_were_known_when_it_was_launched(
    pipeline: Pipeline, instance: DagsterInstance, ui: Ui
) -> None:
    """Of a new source none is known: it lists and plans."""
    own = pipeline.own
    group = [own.inventory, own.chunk_plan, own.manifest, own.registration, own.failure_log]
    pipeline.add_images(5)

    first = ui.backfill(group, None)

    assert first.status == "COMPLETED_SUCCESS", first.error
    assert ui.partitions(own.registration) == (0, 0, 5)
    assert pipeline.status.pending == 5

    pipeline.add_images(2, day="2026-11-21")
    whole = ui.backfill(group, None)

    assert whole.status == "COMPLETED_SUCCESS", whole.error
    assert ui.partitions(own.registration) == (5, 0, 7)
    assert (pipeline.status.registered, pipeline.status.pending) == (5, 2)
    assert len(pipeline.jobs()) == 5
    assert instance.get_latest_materialization_event(own.failure_log) is not None


def _logs(pipeline: Pipeline, instance: DagsterInstance) -> list[object]:
    """Return how many rows each failure log of the source had, the newest first."""
    records = instance.fetch_materializations(pipeline.own.failure_log, limit=10).records
    events = [record.asset_materialization for record in records]
    return [event.metadata["dagster/row_count"].value for event in events if event is not None]


@pytest.mark.soak
def test_a_backfill_of_all_chunks_is_one_run_and_the_failed_ones_are_retried_from_the_ui(
    pipeline: Pipeline, instance: DagsterInstance, ui: Ui
) -> None:
    own = pipeline.own
    pipeline.add_images(CHUNKS)
    pipeline.break_images(*BROKEN)
    assert ui.materialize(own.inventory, own.chunk_plan) == "SUCCESS"

    everything = ui.backfill([own.manifest, own.registration], pipeline.chunk_ids)

    assert everything.status == "COMPLETED_FAILED"
    assert len(everything.runs) == 1
    assert ui.partitions(own.registration) == (CHUNKS - 3, 3, CHUNKS)
    assert ui.partitions(own.manifest) == (CHUNKS, 0, CHUNKS)
    assert len(pipeline.jobs()) == CHUNKS
    pipeline.wait_until(
        lambda: len(_logs(pipeline, instance)) == 1, seconds=RUN_SECONDS, what="the failure log after the backfill"
    )

    pipeline.fix_images()
    retried = ui.backfill([own.registration], sorted(pipeline.chunks_of(*BROKEN)))

    assert retried.status == "COMPLETED_SUCCESS"
    assert ui.partitions(own.registration) == (CHUNKS, 0, CHUNKS)
    assert len(pipeline.jobs()) == CHUNKS + 3
    assert pipeline.sandbox.duplicates() == {}
    assert len(pipeline.urls(pipeline.jobs())) == CHUNKS
    pipeline.wait_until(
        lambda: len(_logs(pipeline, instance)) == 2, seconds=RUN_SECONDS, what="the failure log after the retry"
    )
    assert _logs(pipeline, instance) == [0, 3]


def test_a_run_of_a_command_belongs_to_the_code_location_and_can_be_done_again(
    pipeline: Pipeline, instance: DagsterInstance, ui: Ui
) -> None:
    own = pipeline.own
    pipeline.add_images(6)
    pipeline.break_images(5)
    by_command = run_of_command(pipeline, instance)

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
    pipeline: Pipeline, instance: DagsterInstance, ui: Ui, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.add_images(3)
    with monkeypatch.context() as without_key:
        without_key.delenv("ENCORD_SSH_KEY_FILE")
        halted = run_of_command(pipeline, instance)

    assert ui.re_execute(halted.run_id, "FROM_FAILURE") == "SUCCESS"

    assert pipeline.status.registered == 3
    assert len(pipeline.jobs()) == 3


def test_a_run_with_refused_objects_tries_them_again_from_its_failed_step(
    pipeline: Pipeline, instance: DagsterInstance, ui: Ui
) -> None:
    pipeline.add_images(3)
    pipeline.break_images(1)
    failed = run_of_command(pipeline, instance)

    assert ui.re_execute(failed.run_id, "FROM_FAILURE") == "FAILURE"
    assert len(pipeline.jobs()) == 4
    pipeline.fix_images()
    assert ui.re_execute(failed.run_id, "FROM_FAILURE") == "SUCCESS"

    assert ui.partitions(pipeline.own.registration) == (3, 0, 3)
    assert len(pipeline.jobs()) == 5
