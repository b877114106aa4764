"""What arrives at a real webhook from real runs, commands and the sensor: each thing once, and nothing of a quiet night."""

from __future__ import annotations

import json
import logging
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
import yaml
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    SensorEvaluationContext,
    build_sensor_context,
    materialize,
)

from registration_pipeline.cli.session import JobRequest, run_jobs
from registration_pipeline.orchestration.alerts.failed_runs import lists
from registration_pipeline.orchestration.alerts.watch import GRACE, Cursor, Watch
from registration_pipeline.orchestration.runs.launch import remote_origin, run_job
from registration_pipeline.orchestration.runs.processes import WORKER_TAG, worker_tag
from registration_pipeline.orchestration.runs.stale_runs import clear_stale_runs
from registration_pipeline_tests.message_servers import MessageServer, Reply, message_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline_tests.orchestration.conftest import Pipeline

SOURCE = "fleet-cameras"
SECRET = "T0AAAAAAA/B0BBBBBBB/c3VwZXItc2VjcmV0"
TICK = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def running_webhook() -> Iterator[MessageServer]:
    with message_server() as server:
        yield server


@pytest.fixture
def webhook(running_webhook: MessageServer, pipeline: Pipeline) -> MessageServer:
    """A webhook that the pipeline notifies."""
    running_webhook.forget()
    notifying(pipeline, running_webhook.url)
    return running_webhook


def notifying(pipeline: Pipeline, url: str, **source: Any) -> None:
    """Configure a webhook; without a schedule, which would be missed when a test runs across its time."""
    pipeline.configure(**{"schedule": None, **source})
    settings = yaml.safe_load(pipeline.config.read_text())
    settings["notify"] = [{"webhook": f"{url}/services/{SECRET}"}]
    pipeline.config.write_text(yaml.safe_dump(settings))


def command(pipeline: Pipeline, job: str) -> list[str]:
    """Run a job as a command does, in its own instance, and return the errors that ended it."""
    results = run_jobs(pipeline.project, [JobRequest(SOURCE, job)], quiet=True)
    return [str(error) for _, error in results.errors]


def dead_run(pipeline: Pipeline, instance: DagsterInstance) -> str:
    """Leave a sync whose process has ended, and return its id."""
    process = subprocess.Popen(["true"])
    process.wait()
    run = instance.create_run_for_job(
        pipeline.definitions.resolve_job_def(pipeline.own.sync_job),
        status=DagsterRunStatus.STARTED,
        remote_job_origin=remote_origin(pipeline.own.sync_job),
        tags={"registration/source": SOURCE},
    )
    worker = json.loads(worker_tag(run.run_id)[WORKER_TAG])
    instance.add_run_tags(run.run_id, {WORKER_TAG: json.dumps({**worker, "pid": process.pid, "start": "1"})})
    return run.run_id


def look(pipeline: Pipeline, instance: DagsterInstance, cursor: str | None, now: datetime | None = None) -> str:
    """Let the sensor look once, at a time of the test's."""
    warnings: list[str] = []
    watch = Watch(pipeline.project, instance, [pipeline.own], now=now or datetime.now(UTC), warn=warnings.append)
    text, _ = watch.evaluate(cursor)
    assert warnings == []
    return text


@pytest.mark.slow
def test_a_week_of_nights_leads_to_one_message_of_each_kind(
    pipeline: Pipeline, instance: DagsterInstance, webhook: MessageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.add_images(4)
    assert run_job(instance, pipeline.own.sync_job)
    assert webhook.kinds == []  # a quiet night

    pipeline.break_images(5)
    pipeline.add_images(6)
    for _ in range(2):  # the second of them finds what is known
        run_job(instance, pipeline.own.sync_job)
    assert webhook.kinds == ["failed"]

    with monkeypatch.context() as without_key:
        without_key.delenv("ENCORD_SSH_KEY_FILE")
        for _ in range(2):
            assert "ENCORD_SSH_KEY" in command(pipeline, pipeline.own.sync_job)[0]
    assert webhook.kinds == ["failed", "halted"]

    dead = dead_run(pipeline, instance)
    assert command(pipeline, pipeline.own.sync_job) == []
    assert webhook.kinds == ["failed", "halted", "killed", "recovered"]
    assert webhook.documents[2]["run"]["id"] == dead

    pipeline.fix_images()
    run_job(instance, pipeline.own.retry_job)
    run_job(instance, pipeline.own.retry_job)
    look(pipeline, instance, look(pipeline, instance, None))
    assert webhook.kinds == ["failed", "halted", "killed", "recovered", "recovered"]
    says_what_one_needs_at_seven(webhook.documents[0], pipeline)


def says_what_one_needs_at_seven(failed: dict[str, Any], pipeline: Pipeline) -> None:
    assert failed["summary"] == "fleet-cameras: 1 new object could not be registered"
    assert failed["objects"] == {
        "objects": 6,
        "registered": 5,
        "failed": 1,
        "rejected": 0,
        "excluded": 0,
        "pending": 0,
    }
    assert failed["reasons"] == [
        {"stage": "registration", "reason": "not_found", "objects": 1, "who_acts": "fix the file"}
    ]
    (first,) = failed["first_objects"]
    assert first["key"].endswith("frame_005.jpg")
    assert "404" in first["message"]
    assert failed["failure_log"].startswith(str(pipeline.root / ".registration" / SOURCE / "failure_log"))
    assert any("registration-pipeline failures fleet-cameras" in step for step in failed["what_to_do"])


@pytest.mark.slow
def test_a_run_that_the_daemon_started_and_that_halted_is_reported_by_the_sensor_once(
    pipeline: Pipeline, instance: DagsterInstance, webhook: MessageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = look(pipeline, instance, None)
    monkeypatch.delenv("ENCORD_SSH_KEY_FILE")
    assert not run_job(instance, pipeline.own.sync_job)
    assert webhook.kinds == []

    for _ in range(3):
        cursor = look(pipeline, instance, cursor)

    (document,) = webhook.documents
    assert document["kind"] == "halted"
    assert "ENCORD_SSH_KEY" in document["error"]


def test_a_killed_run_is_reported_by_the_sensor_once_it_is_marked(
    pipeline: Pipeline, instance: DagsterInstance, webhook: MessageServer
) -> None:
    cursor = look(pipeline, instance, None)
    dead = dead_run(pipeline, instance)
    clear_stale_runs(instance)

    for _ in range(2):
        cursor = look(pipeline, instance, cursor)

    (document,) = webhook.documents
    assert (document["kind"], document["run"]["id"]) == ("killed", dead)
    assert "is gone" in document["error"]


@pytest.mark.slow
def test_a_bug_is_reported_with_its_text(
    pipeline: Pipeline, instance: DagsterInstance, webhook: MessageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registration_pipeline.project.project import Project

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the cable is unplugged, token=abcdefghijklmnop")

    monkeypatch.setattr(Project, "take_inventory", broken)
    cursor = look(pipeline, instance, None)
    with pytest.raises(Exception, match="cable"):
        run_job(instance, pipeline.own.sync_job)

    look(pipeline, instance, cursor)

    (document,) = webhook.documents
    assert document["kind"] == "halted"
    assert "the cable is unplugged" in document["error"]
    assert "abcdefghijklmnop" not in document["error"]


@pytest.mark.slow
def test_a_tick_without_a_run_is_missed_once_and_the_next_sync_ends_it(
    pipeline: Pipeline, instance: DagsterInstance, webhook: MessageServer
) -> None:
    notifying(pipeline, webhook.url, schedule="0 2 * * *")
    cursor = look(pipeline, instance, None, TICK - timedelta(hours=3))
    cursor = look(pipeline, instance, cursor, TICK + GRACE - timedelta(minutes=1))
    assert webhook.kinds == []

    for minutes in (1, 2, 60):
        cursor = look(pipeline, instance, cursor, TICK + GRACE + timedelta(minutes=minutes))
    assert webhook.kinds == ["missed"]
    assert webhook.documents[0]["due_at"] == "2026-11-22T02:00:00Z"

    assert run_job(instance, pipeline.own.sync_job)
    assert webhook.kinds == ["missed", "recovered"]


@pytest.mark.slow
def test_a_tick_whose_run_was_made_is_not_missed(
    pipeline: Pipeline, instance: DagsterInstance, webhook: MessageServer
) -> None:
    now = datetime.now(UTC)
    schedule = f"{now.minute} {now.hour} * * *"
    notifying(pipeline, webhook.url, schedule=schedule)
    cursor = look(pipeline, instance, None, now - timedelta(hours=1))
    run_job(instance, pipeline.own.sync_job)

    look(pipeline, instance, cursor, now + GRACE + timedelta(minutes=5))

    assert webhook.kinds == []


def made_run(pipeline: Pipeline, instance: DagsterInstance, job: str, status: DagsterRunStatus, **fields: Any) -> None:
    """Leave a run that was made now."""
    definition = pipeline.definitions.resolve_job_def(job)
    instance.create_run_for_job(definition, status=status, remote_job_origin=remote_origin(job), **fields)


ENDED, GOES_ON = DagsterRunStatus.SUCCESS, DagsterRunStatus.STARTED
BY_SCHEDULE = {"tags": {"dagster/schedule_name": "fleet_cameras_nightly"}}
OF_TICKS = [
    pytest.param("submit_job", ENDED, -4, {}, 1, id="a run that only submits, before the tick"),
    pytest.param("submit_job", ENDED, 2, {}, 1, id="a run that only submits, after the tick"),
    pytest.param("retry_job", GOES_ON, -4, {}, 1, id="a retry that goes on"),
    pytest.param("plan_job", ENDED, 2, {}, 1, id="a plan"),
    pytest.param("sync_job", ENDED, -4, {}, 1, id="a sync by hand that ended before the tick"),
    pytest.param("sync_job", GOES_ON, -4, {}, 0, id="a sync by hand that goes on"),
    pytest.param("sync_job", ENDED, 2, {}, 0, id="a sync by hand after the tick"),
    pytest.param("nightly_job", ENDED, -4, BY_SCHEDULE, 0, id="the nightly sync, by a clock that is behind"),
    pytest.param("nightly_job", ENDED, -6, BY_SCHEDULE, 1, id="the nightly sync of an earlier tick"),
    pytest.param("inventory_job", ENDED, 2, {}, 0, id="an inventory after the tick"),
]


@pytest.mark.parametrize(("job", "status", "minutes", "fields", "messages"), OF_TICKS)
def test_only_a_run_that_lists_is_the_night_of_a_tick(
    pipeline: Pipeline,
    instance: DagsterInstance,
    webhook: MessageServer,
    *,
    job: str,
    status: DagsterRunStatus,
    minutes: int,
    fields: dict[str, Any],
    messages: int,
) -> None:
    tick = (datetime.now(UTC) - timedelta(minutes=minutes)).replace(second=0)
    notifying(pipeline, webhook.url, schedule=f"{tick.minute} {tick.hour} * * *")
    cursor = look(pipeline, instance, None, tick - timedelta(hours=1))
    made_run(pipeline, instance, getattr(pipeline.own, job), status, **fields)

    look(pipeline, instance, cursor, tick + GRACE + timedelta(minutes=1))

    assert webhook.kinds == ["missed"] * messages


def test_a_sync_that_is_re_executed_behind_its_listing_does_not_list(pipeline: Pipeline) -> None:
    def steps(*names: str) -> dg.DagsterRun:
        return dg.DagsterRun(
            job_name=pipeline.own.nightly_job, step_keys_to_execute=[f"fleet_cameras_{n}" for n in names]
        )

    assert not lists(steps("register_chunks"), pipeline.own)
    assert lists(steps("take_inventory", "plan_chunks", "register_chunks"), pipeline.own)


def test_ticks_before_the_source_was_known_or_under_another_schedule_are_not_missed(
    pipeline: Pipeline, instance: DagsterInstance, webhook: MessageServer
) -> None:
    notifying(pipeline, webhook.url, schedule="0 2 * * *")
    cursor = look(pipeline, instance, None, TICK + timedelta(hours=2))
    notifying(pipeline, webhook.url, schedule="0 3 * * *")

    look(pipeline, instance, cursor, TICK + timedelta(hours=6))

    assert webhook.kinds == []


@pytest.mark.slow
def test_a_source_that_is_not_synced_for_too_long_is_stale_once(
    pipeline: Pipeline, instance: DagsterInstance, webhook: MessageServer
) -> None:
    notifying(pipeline, webhook.url, schedule=None, freshness_hours=36)
    pipeline.add_images(1)
    run_job(instance, pipeline.own.sync_job)
    now = datetime.now(UTC)
    cursor = look(pipeline, instance, None, now)
    cursor = look(pipeline, instance, cursor, now + timedelta(hours=35))
    assert webhook.kinds == []

    for hours in (37, 38, 60):
        cursor = look(pipeline, instance, cursor, now + timedelta(hours=hours))
    assert webhook.kinds == ["stale"]
    assert webhook.documents[0]["summary"] == "fleet-cameras: not synced for 37 hours"

    run_job(instance, pipeline.own.sync_job)
    assert webhook.kinds == ["stale", "recovered"]


def test_a_source_that_was_never_synced_is_stale_after_its_hours(
    pipeline: Pipeline, instance: DagsterInstance, webhook: MessageServer
) -> None:
    notifying(pipeline, webhook.url, schedule=None, freshness_hours=36)
    cursor = look(pipeline, instance, None, TICK)

    look(pipeline, instance, cursor, TICK + timedelta(hours=37))

    assert [document["summary"] for document in webhook.documents] == ["fleet-cameras: never synced"]


@pytest.mark.slow
def test_a_backfill_reports_new_failures_once_with_the_log_of_a_chunk(
    pipeline: Pipeline, instance: DagsterInstance, webhook: MessageServer
) -> None:
    pipeline.add_images(2)
    pipeline.break_images(1)
    chunks = pipeline.plan(instance)
    repository = pipeline.definitions.get_repository_def()
    assets = [asset for asset in repository.assets_defs_by_key.values() if pipeline.own.registration in asset.keys]

    for _ in range(2):
        materialize(assets[:1], instance=instance, partition_key=chunks[1], raise_on_error=False)

    (document,) = webhook.documents
    assert document["kind"] == "failed"
    assert document["failure_log"].endswith(f"failures/{chunks[1]}/0001.csv")


@pytest.mark.slow
def test_of_a_hosts_job_over_our_assets_only_our_steps_are_reported(
    pipeline: Pipeline, instance: DagsterInstance, webhook: MessageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.asset
    def fleet() -> None:
        raise RuntimeError("theirs")

    pipeline.add_images(1)
    (chunk,) = pipeline.plan(instance)
    job = dg.define_asset_job("theirs", selection=[pipeline.own.manifest, pipeline.own.registration, AssetKey("fleet")])
    host = dg.Definitions.merge(pipeline.definitions, dg.Definitions([fleet], jobs=[job]))
    cursor = look(pipeline, instance, None)

    def run_it() -> None:
        made = host.resolve_job_def("theirs")
        made.execute_in_process(instance=instance, partition_key=chunk, raise_on_error=False)

    run_it()
    cursor = look(pipeline, instance, cursor)
    assert webhook.kinds == []

    pipeline.add_images(2)
    chunk = pipeline.plan(instance)[-1]
    monkeypatch.delenv("ENCORD_SSH_KEY_FILE")
    run_it()
    look(pipeline, instance, cursor)

    assert webhook.kinds == ["halted"]
    assert "ENCORD_SSH_KEY" in webhook.documents[0]["error"]


@pytest.mark.slow
def test_accepted_rejects_end_with_status_0_and_without_a_message(
    pipeline: Pipeline, instance: DagsterInstance, webhook: MessageServer
) -> None:
    from registration_pipeline.cli.session import exit_status

    notifying(pipeline, webhook.url, accept_rejected=["empty"])
    pipeline.add_images(1)
    (pipeline.root / "files" / "nothing.jpg").touch()

    results = run_jobs(pipeline.project, [JobRequest(SOURCE, pipeline.own.sync_job)], quiet=True)

    status = results.statuses[SOURCE]
    assert exit_status([status], results.errors) == 0
    assert (status.rejected, status.as_json()["accepted_rejected"]) == (1, 1)
    assert [row.reason for row in pipeline.project.failures(pipeline.project.source(SOURCE))] == ["empty"]
    assert webhook.kinds == []
    assert instance.get_runs()[0].status is DagsterRunStatus.SUCCESS


@pytest.mark.slow
def test_a_channel_that_is_down_changes_nothing_but_a_warning_without_its_secret(
    pipeline: Pipeline, instance: DagsterInstance, webhook: MessageServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    webhook.answer(Reply(status=404))
    pipeline.add_images(2)
    pipeline.break_images(1)

    run_job(instance, pipeline.own.sync_job)

    assert pipeline.status.registered == 1
    logs = [
        f"{entry.event_log_entry.user_message} {entry.event_log_entry.dagster_event}"
        for run in instance.get_runs()
        for entry in instance.get_records_for_run(run.run_id).records
    ]
    warnings = [text for text in logs if "could not be sent" in text]
    assert len(warnings) == 1
    assert "webhook 127.0.0.1" in warnings[0]
    assert "status 404" in warnings[0]
    state = [path.read_bytes() for path in (pipeline.root / ".registration").rglob("*") if path.is_file()]
    assert not any(SECRET in text for text in [*logs, caplog.text])
    assert not any(SECRET.encode() in data for data in state)


@pytest.mark.slow
def test_the_sensor_sends_again_what_did_not_arrive(
    pipeline: Pipeline, instance: DagsterInstance, webhook: MessageServer
) -> None:
    webhook.answer(Reply(status=403))
    pipeline.add_images(1)
    pipeline.break_images(0)
    run_job(instance, pipeline.own.sync_job)
    assert webhook.kinds == ["failed"]
    webhook.forget()
    now = datetime.now(UTC)

    cursor = look(pipeline, instance, None, now)
    assert webhook.kinds == []
    for minutes in (6, 30):
        cursor = look(pipeline, instance, cursor, now + timedelta(minutes=minutes))

    assert webhook.kinds == ["failed"]


def test_the_sensor_is_declared_only_with_targets_and_runs_by_itself(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    names = {sensor.name for sensor in pipeline.definitions.get_repository_def().sensor_defs}
    assert "registration_alerts" not in names

    notifying(pipeline, "http://127.0.0.1:9")
    sensor = pipeline.definitions.get_repository_def().get_sensor_def("registration_alerts")

    context: SensorEvaluationContext = build_sensor_context(instance)
    data = sensor.evaluate_tick(context)
    assert sensor.default_status.value == "RUNNING"
    assert data.skip_message == "Nothing new."
    assert SOURCE in Cursor.parse(data.cursor, TICK).sources


def test_a_cursor_that_can_not_be_read_begins_anew() -> None:
    assert Cursor.parse("{}", TICK) == Cursor.parse(None, TICK) == Cursor.parse("[1]", TICK)


def test_a_run_of_another_team_is_nothing_of_ours(
    pipeline: Pipeline, instance: DagsterInstance, webhook: MessageServer
) -> None:
    @dg.asset(key=AssetKey("theirs"))
    def theirs() -> None:
        raise RuntimeError

    cursor = look(pipeline, instance, None)
    materialize([theirs], instance=instance, raise_on_error=False)

    look(pipeline, instance, cursor)

    assert webhook.kinds == []
