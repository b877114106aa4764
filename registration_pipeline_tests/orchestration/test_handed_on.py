"""A launched run that waits for another host gives worker and slot back, and one run goes on with what all such runs had."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRunStatus, build_sensor_context

from registration_pipeline.errors import LeaseBusyError
from registration_pipeline.orchestration.alerts.failed_runs import failed_runs
from registration_pipeline.orchestration.automation.continuing import build_continuing_sensor
from registration_pipeline.orchestration.names import ConfigurationNames
from registration_pipeline.orchestration.private_dagster import BACKFILL_ID_TAG, DagsterExecutionInterruptedError
from registration_pipeline.orchestration.runs import launch as launched
from registration_pipeline.orchestration.runs import waits
from registration_pipeline.orchestration.runs.handed_on import WAITS_TAG, work_of
from registration_pipeline.orchestration.runs.launch import RunCrashedError, run_job
from registration_pipeline.orchestration.runs.processes import worker_tag
from registration_pipeline.project.project import utc_now
from registration_pipeline.state.holder import Holder
from registration_pipeline.state.lease import hold_lease
from registration_pipeline.state.version import ensure_layout
from registration_pipeline_tests.in_process import run_here
from registration_pipeline_tests.orchestration.conftest import SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline_tests.orchestration.conftest import Pipeline

ELSEWHERE = Holder(
    host="worker-b", boot="b", pid=4711, start="1", namespace="n", since=datetime(2026, 11, 27, tzinfo=UTC)
)


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "LAUNCHED_SECONDS", 0.0)


@contextmanager
def submitted_elsewhere(pipeline: Pipeline) -> Iterator[None]:
    """Another host submits the source."""
    ensure_layout(pipeline.project.store, SOURCE, utc_now())
    with hold_lease(
        pipeline.project.store, SOURCE, clock=utc_now, notify=print, stop=threading.Event(), holder=ELSEWHERE
    ):
        yield


def launch(
    pipeline: Pipeline, instance: DagsterInstance, job: str, config: Any = None, tags: Any = None
) -> dg.DagsterRun:
    """Run a job as Dagster's launcher does: not for a command."""
    del pipeline
    with pytest.MonkeyPatch.context() as patch, suppress(RunCrashedError):
        patch.setattr(launched, "run_of_a_command", lambda _: nullcontext())
        patch.setattr(launched, "worker_tag", lambda run_id: worker_tag(run_id) | dict(tags or {}))
        run_job(instance, job, config)
    (run,) = instance.get_runs(limit=1)
    return run


class Tick(NamedTuple):
    """What the sensor asked for, and what it said if that was nothing."""

    requests: list[dg.RunRequest]
    said: str | None


class Sensor:
    """The sensor and what Dagster keeps for it between two ticks."""

    def __init__(self, pipeline: Pipeline, instance: DagsterInstance) -> None:
        self.pipeline, self.instance, self.cursor = pipeline, instance, None
        self.now = 0.0

    def tick(self, seconds: float = 30.0) -> Tick:
        self.now += seconds
        sensor = build_continuing_sensor(
            lambda: self.pipeline.project,
            [self.pipeline.own],
            ConfigurationNames(),
            [self.pipeline.definitions.resolve_job_def(self.pipeline.own.submit_job)],
            clock=lambda: self.now,
        )
        result: Any = sensor(build_sensor_context(instance=self.instance, cursor=self.cursor))
        self.cursor = result.cursor
        return Tick(list(result.run_requests or []), result.skip_reason.skip_message if result.skip_reason else None)

    def start(self, request: dg.RunRequest) -> dg.DagsterRun:
        """Run what was asked for, as the daemon does."""
        assert request.job_name is not None
        return launch(self.pipeline, self.instance, request.job_name, request.run_config, request.tags)


def test_the_run_is_canceled_its_chunks_are_not_failed_and_no_message_is_sent(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    pipeline.add_images(3)
    with submitted_elsewhere(pipeline):
        run = launch(pipeline, instance, pipeline.own.sync_job)

    assert run.status is DagsterRunStatus.CANCELED
    assert run.tags["registration/waited_for"] == "pid 4711 on worker-b since 2026-11-27T00:00:00Z"
    assert pipeline.shown(instance, pipeline.own.registration).counts == (0, 0, 0)
    assert list(failed_runs(instance, [pipeline.own], utc_now() - timedelta(hours=1))) == []
    said = [record.event_log_entry.user_message for record in instance.get_records_for_run(run.run_id).records]
    (text,) = {line for line in said if "This run gives its worker back" in line}
    assert "Source fleet-cameras is being submitted by pid 4711 on worker-b" in text
    assert "continue_waiting_runs" in text
    assert instance.event_log_storage.get_concurrency_info(pipeline.own.pool).active_slot_count == 0
    assert pipeline.sandbox.jobs() == []


@pytest.mark.slow
def test_many_that_waited_are_continued_by_one_run_when_it_is_their_turn(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    pipeline.add_images(3)
    sensor = Sensor(pipeline, instance)
    assert sensor.tick().said == "No run waits for another host."
    with submitted_elsewhere(pipeline):
        waited = [launch(pipeline, instance, pipeline.own.sync_job) for _ in range(2)]
        waited.append(launch(pipeline, instance, pipeline.own.submit_job))
        tick = sensor.tick()
        assert tick.requests == []
        assert tick.said == f"3 runs of source {SOURCE}: another process submits source {SOURCE}"

    (request,) = sensor.tick().requests
    assert sensor.tick().requests[0].run_key == request.run_key  # a daemon that died before it made the run
    continued = sensor.start(request)

    assert continued.status is DagsterRunStatus.SUCCESS
    assert (pipeline.status.registered, len(pipeline.urls())) == (3, 3)
    assert sensor.tick().requests == []
    for run in waited:
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        assert found.tags[WAITS_TAG] == f"continued by run {continued.run_id}"


@pytest.mark.slow
def test_a_run_that_continues_and_has_to_wait_again_is_continued_in_its_turn(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    pipeline.add_images(1)
    sensor = Sensor(pipeline, instance)
    with submitted_elsewhere(pipeline):
        launch(pipeline, instance, pipeline.own.sync_job)
    (request,) = sensor.tick().requests
    with submitted_elsewhere(pipeline):
        again = sensor.start(request)
        assert again.status is DagsterRunStatus.CANCELED
        assert sensor.tick().requests == []

    (last,) = sensor.tick().requests
    assert json.loads(next(value for name, value in last.tags.items() if name.endswith("runs"))) == [again.run_id]
    assert sensor.start(last).status is DagsterRunStatus.SUCCESS
    assert pipeline.status.registered == 1


@pytest.mark.slow
def test_a_host_that_is_silent_is_not_waited_for_and_one_that_beats_is(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    pipeline.add_images(1)
    sensor = Sensor(pipeline, instance)
    store = pipeline.project.store
    ensure_layout(store, SOURCE, utc_now())
    with hold_lease(
        store, SOURCE, clock=utc_now, notify=print, stop=threading.Event(), holder=ELSEWHERE, lease_seconds=600
    ) as lease:
        launch(pipeline, instance, pipeline.own.sync_job)
        for _ in range(4):
            assert sensor.tick().requests == []
            lease.renew()
        sensor.tick()
        assert sensor.tick().requests == []

        assert len(sensor.tick(60).requests) == 1


def test_partitions_that_waited_are_named_again_and_are_not_failed(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    pipeline.add_images(3)
    first, second, _ = pipeline.plan(instance)
    assets = [pipeline.own.manifest, pipeline.own.registration]
    sensor = Sensor(pipeline, instance)
    waited = list[str]()
    with submitted_elsewhere(pipeline):
        for chunk in (first, second):
            definition = pipeline.definitions.resolve_implicit_global_asset_job_def().get_subset(
                asset_selection=set(assets)
            )
            ended = definition.execute_in_process(
                instance=instance, partition_key=chunk, raise_on_error=False, tags={BACKFILL_ID_TAG: "of-a-person"}
            )
            waited.append(ended.run_id)
            run = instance.get_run_by_id(ended.run_id)
            assert run is not None
            assert run.status is DagsterRunStatus.SUCCESS
            assert work_of(run) is not None
        assert pipeline.shown(instance, pipeline.own.registration).counts == (0, 0, 0)

    (request,) = sensor.tick().requests
    continued = sensor.start(request)
    assert pipeline.shown(instance, pipeline.own.registration).materialized == {first, second}
    for _ in range(2):
        assert sensor.tick().requests == []
    goes_on = f"Run {continued.run_id} goes on with what this run was to register."
    for run_id in waited:
        said = [entry.event_log_entry.message for entry in instance.get_records_for_run(run_id).records]
        assert sum("Dagster calls its backfill failed" in text for text in said) == 1
        assert sum(goes_on in text for text in said) == 1


@pytest.mark.slow
def test_the_tags_of_a_run_that_was_executed_again_are_not_its_own(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    pipeline.add_images(1)
    with submitted_elsewhere(pipeline):
        waited = launch(pipeline, instance, pipeline.own.sync_job)
    copy = instance.create_run_for_job(
        pipeline.definitions.resolve_job_def(pipeline.own.sync_job), status=DagsterRunStatus.SUCCESS, tags=waited.tags
    )

    (request,) = Sensor(pipeline, instance).tick().requests

    assert work_of(copy) is None
    assert copy.run_id not in str(request.tags)


def test_a_command_does_not_hand_on_it_ends_with_4_after_the_wait_that_was_asked_for(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    pipeline.add_images(1)
    with submitted_elsewhere(pipeline):
        ended = run_here(pipeline.root, "sync", "--wait", "0", "--json")

    assert ended.status == 4
    (error,) = json.loads(ended.out)["errors"]
    who = "Source fleet-cameras is being submitted by pid 4711 on worker-b since 2026-11-27T00:00:00Z. "
    assert error["message"].startswith(f"{who}This process has waited ")
    (run,) = instance.get_runs()
    assert run.status is DagsterRunStatus.FAILURE
    assert work_of(run) is None
    assert list(failed_runs(instance, [pipeline.own], utc_now() - timedelta(hours=1))) == []  # no message is sent


def test_a_command_waits_no_longer_for_a_run_of_its_own_instance(pipeline: Pipeline, instance: DagsterInstance) -> None:
    pipeline.add_images(1)
    holder = instance.create_run_for_job(
        pipeline.definitions.resolve_job_def(pipeline.own.submit_job), status=DagsterRunStatus.STARTED
    )
    storage = instance.event_log_storage
    storage.initialize_concurrency_limit_to_default(pipeline.own.pool)
    storage.claim_concurrency_slot(pipeline.own.pool, holder.run_id, "step")

    with pytest.raises(LeaseBusyError, match=rf"by run {holder.run_id} of {pipeline.own.submit_job}\. .* waited \d+ s"):
        run_job(instance, pipeline.own.sync_job, longest_wait=1)

    run = instance.get_runs(limit=1)[0]
    assert run.status is DagsterRunStatus.CANCELED
    info = storage.get_concurrency_info(pipeline.own.pool)
    assert (info.active_run_ids, info.pending_run_ids) == ({holder.run_id}, set())


def test_what_ends_the_run_is_an_interruption_to_dagster() -> None:
    assert issubclass(DagsterExecutionInterruptedError, BaseException)
    assert not issubclass(DagsterExecutionInterruptedError, Exception)
