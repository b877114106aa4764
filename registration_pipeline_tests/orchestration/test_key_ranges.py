"""A source with ``key_ranges`` is listed by a step for each range, and shows the same events as one that is listed at once."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterRun, DagsterRunStatus
from dagster._core.execution.api import create_execution_plan, execute_plan
from dagster._core.execution.plan.state import KnownExecutionState
from dagster._core.storage.tags import PARENT_RUN_ID_TAG

from registration_pipeline.definitions import defs
from registration_pipeline.errors import ServiceUnavailableError
from registration_pipeline.inventory.claim import claims_of_runs
from registration_pipeline.inventory.inventory import latest_inventory
from registration_pipeline.inventory.key_ranges.listing import begin_listing
from registration_pipeline.inventory.local import LocalLister
from registration_pipeline.orchestration import key_ranges
from registration_pipeline.orchestration.key_ranges import mapping_key
from registration_pipeline.orchestration.private_dagster import (
    RESUME_RETRY_TAG,
    RETRY_NUMBER_TAG,
    ROOT_RUN_ID_TAG,
    DagsterExecutionInterruptedError,
    InMemoryJob,
)
from registration_pipeline.orchestration.runs.goes_on import other_listings, run_is_over, runs_gone_on_with
from registration_pipeline.orchestration.runs.launch import run_job
from registration_pipeline.project.listener import SilentListener, listening
from registration_pipeline.project.project import utc_now
from registration_pipeline_tests.orchestration.conftest import SOURCE
from registration_pipeline_tests.orchestration.test_stale_runs import a_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from registration_pipeline_tests.orchestration.conftest import Pipeline

RANGE_STEP = "fleet_cameras_list_key_range"
DAYS = ("2026-11-20", "2026-11-21", "2026-11-22")


@pytest.fixture
def divided(pipeline: Pipeline) -> Pipeline:
    """A source of three folders that is listed in three key ranges."""
    pipeline.configure(key_ranges=3, media_metadata="probe")
    for day in DAYS:
        pipeline.add_images(2, day=day)
    return pipeline


def newest_run(instance: dg.DagsterInstance) -> DagsterRun:
    return instance.get_runs(limit=1)[0]


def events_of(instance: dg.DagsterInstance, run: DagsterRun, kind: DagsterEventType) -> list[dg.DagsterEvent]:
    records = instance.get_records_for_run(run.run_id, of_type=kind).records
    return [one.event_log_entry.dagster_event for one in records if one.event_log_entry.dagster_event is not None]


def steps_of(instance: dg.DagsterInstance, run: DagsterRun) -> list[str]:
    return [str(event.step_key) for event in events_of(instance, run, DagsterEventType.STEP_SUCCESS)]


@pytest.mark.slow
def test_a_sync_lists_each_range_in_a_step_and_says_everything_once(
    divided: Pipeline, instance: dg.DagsterInstance
) -> None:
    assert run_job(instance, divided.own.sync_job)

    run, store = newest_run(instance), divided.project.store
    inventory = latest_inventory(store, SOURCE)
    assert inventory is not None
    ranges = [mapping_key(inventory.inventory_id, number) for number in range(3)]
    assert [step for step in steps_of(instance, run) if step.startswith(RANGE_STEP)] == [
        f"{RANGE_STEP}[{key}]" for key in ranges
    ]
    # So few objects are read in one range.
    assert f"fleet_cameras_read_media_of_key_range[{inventory.inventory_id}_00000_of_1]" in steps_of(instance, run)
    for kind in (DagsterEventType.ASSET_MATERIALIZATION_PLANNED, DagsterEventType.ASSET_MATERIALIZATION):
        keys = [event.asset_key for event in events_of(instance, run, kind)]
        assert keys.count(divided.own.inventory) == 1, kind
    checks = [
        event.asset_check_evaluation_data for event in events_of(instance, run, DagsterEventType.ASSET_CHECK_EVALUATION)
    ]
    of_inventory = [check for check in checks if check.asset_key == divided.own.inventory]
    assert [(check.check_name, check.passed) for check in of_inventory] == [
        ("inventory_complete", True),
        ("inventory_not_emptied", True),
    ]
    assert events_of(instance, run, DagsterEventType.HANDLED_OUTPUT) == []
    assert divided.status.registered == 6
    assert (inventory.key_ranges, inventory.run, inventory.objects) == (3, run.run_id, 6)
    assert claims_of_runs(store, SOURCE) == {}


def inventory_job() -> dg.JobDefinition:
    return defs().resolve_job_def("fleet_cameras_inventory")


@pytest.mark.slow
def test_a_run_that_is_re_executed_from_its_failure_lists_only_what_is_missing(
    divided: Pipeline, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[bytes | None] = []
    whole = LocalLister.list_objects

    def failing(self: LocalLister) -> Iterator[pa.RecordBatch]:
        listed.append(self._until)
        if len(listed) == 2:
            raise ServiceUnavailableError("the disk is away")
        yield from whole(self)

    monkeypatch.setattr(LocalLister, "list_objects", failing)
    assert not run_job(instance, divided.own.inventory_job)
    first = newest_run(instance)
    assert latest_inventory(divided.project.store, SOURCE) is None

    again = dg.ReexecutionOptions.from_failure(first.run_id, instance)
    assert dg.execute_job(dg.reconstructable(inventory_job), instance=instance, reexecution_options=again).success

    inventory = latest_inventory(divided.project.store, SOURCE)
    assert inventory is not None
    assert (inventory.objects, inventory.run) == (6, first.run_id)
    assert listed[1:].count(listed[1]) == 2
    assert len(listed) == len({*listed}) + 1
    assert claims_of_runs(divided.project.store, SOURCE) == {}


def lost_after(pipeline: Pipeline, instance: dg.DagsterInstance, ranges: int = 0) -> DagsterRun:
    """Execute the first step of a run, and those of its first ranges; then it counts as failed: its worker is gone."""
    job = pipeline.definitions.resolve_job_def(pipeline.own.inventory_job)
    run = instance.create_run_for_job(job, status=DagsterRunStatus.STARTED)
    begin, known = "fleet_cameras_begin_inventory", KnownExecutionState()
    steps = [begin]
    execute_plan(create_execution_plan(job, step_keys_to_execute=steps), InMemoryJob(job), instance, run)
    if ranges:
        inventory_id = claims_of_runs(pipeline.project.store, SOURCE)[run.run_id]
        keys = [mapping_key(inventory_id, number) for number in range(3)]
        known = KnownExecutionState(dynamic_mappings={begin: {"result": keys}})
        steps = [f"{RANGE_STEP}[{key}]" for key in keys[:ranges]]
        plan = create_execution_plan(job, step_keys_to_execute=steps, known_state=known)
        execute_plan(plan, InMemoryJob(job), instance, run)
    instance.report_run_failed(run)
    return run


def repeated(instance: dg.DagsterInstance, run: DagsterRun, *, is_from_failure: bool = True) -> str:
    """Repeat a run in the way that a person or Dagster does, and return the id of the new run, which succeeded."""
    options = dg.ReexecutionOptions(parent_run_id=run.run_id)
    again = dg.ReexecutionOptions.from_failure(run.run_id, instance) if is_from_failure else options
    result = dg.execute_job(dg.reconstructable(inventory_job), instance=instance, reexecution_options=again)
    assert result.success
    return result.run_id


def assert_listed(pipeline: Pipeline, objects: int, run_id: str) -> None:
    inventory = latest_inventory(pipeline.project.store, SOURCE)
    assert inventory is not None
    assert (inventory.objects, inventory.run) == (objects, run_id)
    assert claims_of_runs(pipeline.project.store, SOURCE) == {}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("ranges", "is_from_failure"),
    [(0, True), (1, True), (0, False)],
    ids=["before the first, from its failure", "after the first, from its failure", "before the first, all of it"],
)
def test_a_run_that_was_lost_before_its_ranges_had_steps_is_finished_when_it_is_repeated(
    divided: Pipeline,
    instance: dg.DagsterInstance,
    ranges: int,
    is_from_failure: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    lost = lost_after(divided, instance, ranges)
    assert [*claims_of_runs(divided.project.store, SOURCE)] == [lost.run_id]

    again = repeated(instance, lost, is_from_failure=is_from_failure)

    assert_listed(divided, 6, lost.run_id if is_from_failure else again)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_whose_ranges_another_one_has_cleared_away_lists_all_again_from_its_failure(
    divided: Pipeline, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: LocalLister) -> Iterator[pa.RecordBatch]:
        raise ServiceUnavailableError(f"{self} is away")

    with monkeypatch.context() as away:
        away.setattr(LocalLister, "list_objects", failing)
        assert not run_job(instance, divided.own.inventory_job)
    failed = newest_run(instance)
    assert run_job(instance, divided.own.inventory_job)
    divided.add_images(1, day="2026-11-23")

    again = repeated(instance, failed)

    assert_listed(divided, 7, again)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_command_that_is_interrupted_in_a_range_ends_there_and_is_finished_from_its_failure(
    divided: Pipeline, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[LocalLister] = []
    whole = LocalLister.list_objects

    def interrupted(self: LocalLister) -> Iterator[pa.RecordBatch]:
        listed.append(self)
        if len(listed) == 2:
            raise DagsterExecutionInterruptedError  # as Ctrl-C does in a step
        yield from whole(self)

    with monkeypatch.context() as patched:
        patched.setattr(LocalLister, "list_objects", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_job(instance, divided.own.inventory_job)
    ended = newest_run(instance)
    assert (len(listed), ended.status) == (2, DagsterRunStatus.CANCELED)

    repeated(instance, ended)

    assert_listed(divided, 6, ended.run_id)


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    ("is_terminated", "status"),
    [(True, DagsterRunStatus.CANCELED), (False, DagsterRunStatus.FAILURE)],
    ids=["Terminate", "SIGTERM from the machine"],
)
def test_a_launched_run_that_is_interrupted_in_a_range_ends_at_the_first_signal(
    divided: Pipeline,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    is_terminated: bool,  # noqa: FBT001 - a parameter of the test
    status: DagsterRunStatus,
) -> None:
    listed: list[LocalLister] = []
    whole = LocalLister.list_objects

    def interrupted(self: LocalLister) -> Iterator[pa.RecordBatch]:
        listed.append(self)
        if len(listed) == 2:
            if is_terminated:  # as Dagster does before the signal
                instance.report_run_canceling(newest_run(instance))
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        yield from whole(self)

    with monkeypatch.context() as patched:
        patched.setattr(LocalLister, "list_objects", interrupted)
        assert not dg.execute_job(dg.reconstructable(inventory_job), instance=instance).success

    ended, storage = newest_run(instance), instance.event_log_storage
    assert (len(listed), ended.status) == (2, status)
    assert events_of(instance, ended, DagsterEventType.STEP_UP_FOR_RETRY) == []
    assert not any(storage.get_concurrency_info(pool).active_run_ids for pool in divided.own.pools)

    repeated(instance, ended)

    assert_listed(divided, 6, ended.run_id)


def begun_by(pipeline: Pipeline, run: str) -> None:
    """Begin an inventory as a step of a run does, and list nothing."""
    source = pipeline.project.source(SOURCE)
    begin_listing(
        lister=pipeline.project.lister(source),
        store=pipeline.project.store,
        source=SOURCE,
        ranges=3,
        runs=[run],
        clock=utc_now,
    )


def continued(pipeline: Pipeline, instance: dg.DagsterInstance, run: DagsterRun, tags: dict[str, str]) -> DagsterRun:
    """Make a run that goes on with another one, as the tags say."""
    lineage = {ROOT_RUN_ID_TAG: run.run_id, PARENT_RUN_ID_TAG: run.run_id}
    return instance.create_run_for_job(
        pipeline.definitions.resolve_job_def(pipeline.own.sync_job),
        status=DagsterRunStatus.STARTED,
        parent_run_id=run.run_id,
        root_run_id=run.run_id,
        tags={**lineage, **tags},
    )


def test_a_run_waits_while_another_one_lists_the_source_and_clears_away_what_that_left(
    divided: Pipeline, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ranges, "_WAIT_SECONDS", 0)
    other = a_run(divided, instance, DagsterRunStatus.STARTED)
    begun_by(divided, other.run_id)
    begun_by(divided, "a run of another instance")

    class Ending(SilentListener):
        notices: list[str] = []  # noqa: RUF012 - of this test

        def notice(self, text: str, level: str | None = None) -> None:
            del level
            self.notices.append(text)
            instance.report_run_failed(other)

    with listening(Ending()):
        assert run_job(instance, divided.own.inventory_job)

    assert [other.run_id in text for text in Ending.notices] == [True]
    assert [*claims_of_runs(divided.project.store, SOURCE)] == ["a run of another instance"]
    inventory = latest_inventory(divided.project.store, SOURCE)
    assert inventory is not None
    assert inventory.objects == 6


@pytest.mark.parametrize(
    ("tags", "is_continued"),
    [({RESUME_RETRY_TAG: "true"}, True), ({RETRY_NUMBER_TAG: "1"}, True), ({}, False)],
    ids=["from its failure", "by Dagster after a crash", "all steps, by a person"],
)
def test_what_a_run_began_is_that_of_the_run_that_goes_on_with_it(
    divided: Pipeline,
    instance: dg.DagsterInstance,
    tags: dict[str, str],
    is_continued: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    first = a_run(divided, instance, DagsterRunStatus.FAILURE)
    begun_by(divided, first.run_id)
    assert run_is_over(instance)(first.run_id)
    assert other_listings(instance, divided.project.store, SOURCE, []) == []

    second = continued(divided, instance, first, tags)

    class Context:
        pass

    context = Context()
    context.instance, context.run = instance, second  # type: ignore[attr-defined]
    assert runs_gone_on_with(context) == [second.run_id, *([first.run_id] if is_continued else [])]
    assert run_is_over(instance)(first.run_id) is not is_continued
    assert other_listings(instance, divided.project.store, SOURCE, []) == ([first.run_id] if is_continued else [])


def test_a_run_that_is_not_known_is_neither_over_nor_waited_for(
    divided: Pipeline, instance: dg.DagsterInstance
) -> None:
    begun_by(divided, "a run of another instance")

    assert not run_is_over(instance)("a run of another instance")
    assert other_listings(instance, divided.project.store, SOURCE, []) == []


def test_a_mapping_key_says_which_range() -> None:
    assert key_ranges.key_range_of(mapping_key("20261121T020000Z", 17)) == ("20261121T020000Z", 17)
