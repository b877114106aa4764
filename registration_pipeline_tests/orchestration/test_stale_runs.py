"""Runs whose process is gone never block the next one, and runs that live are not changed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, build_sensor_context

from registration_pipeline.orchestration.names import ConfigurationNames
from registration_pipeline.orchestration.runs import processes, worker_lock
from registration_pipeline.orchestration.runs.launch import remote_origin, run_job
from registration_pipeline.orchestration.runs.processes import WORKER_TAG, is_worked_on_here, record_worker, worker_tag
from registration_pipeline.orchestration.runs.stale_runs import (
    build_stale_run_sensor,
    clear_stale_runs,
    clearing_stale_runs,
)
from registration_pipeline.state.holder import pid_namespace

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline_tests.orchestration.conftest import MakePipeline, Pipeline

SYNC = textwrap.dedent("""
    import os, sys
    from registration_pipeline.orchestration.runs.instance import open_instance
    from registration_pipeline.orchestration.runs.launch import remote_origin, run_job
    from registration_pipeline.project.project import Project
    from registration_pipeline.orchestration.runs.stale_runs import clearing_stale_runs

    def tell(text):
        print(text, file=sys.stderr, flush=True)

    with open_instance(Project.load().settings, os.environ) as instance, clearing_stale_runs(instance, tell) as cleared:
        print("cleared", len(cleared), flush=True)
        print(run_job(instance, sys.argv[1]), flush=True)
""")


@pytest.fixture
def gone() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def a_run(pipeline: Pipeline, instance: DagsterInstance, status: DagsterRunStatus, **worker: object) -> DagsterRun:
    """Make a run whose tag names this process, by default; a value of None is left out of it."""
    made = instance.create_run_for_job(
        pipeline.definitions.resolve_job_def(pipeline.own.sync_job),
        status=status,
        remote_job_origin=remote_origin(pipeline.own.sync_job),
    )
    own = json.loads(worker_tag(made.run_id)[WORKER_TAG])
    recorded = {name: value for name, value in {**own, **worker}.items() if value is not None}
    instance.add_run_tags(made.run_id, {WORKER_TAG: json.dumps(recorded)})
    return made


def status_of(instance: DagsterInstance, run: DagsterRun) -> DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


ENDS = {
    DagsterRunStatus.STARTED: DagsterRunStatus.FAILURE,
    DagsterRunStatus.STARTING: DagsterRunStatus.FAILURE,
    DagsterRunStatus.CANCELING: DagsterRunStatus.CANCELED,
}


@pytest.mark.parametrize("status", ENDS, ids=[status.value for status in ENDS])
def test_a_run_of_a_dead_process_is_marked_as_ended(
    pipeline: Pipeline, instance: DagsterInstance, gone: int, status: DagsterRunStatus
) -> None:
    run = a_run(pipeline, instance, status, pid=gone)

    (cleared,) = clear_stale_runs(instance)

    assert (cleared.run_id, cleared.why) == (run.run_id, f"its process {gone} is gone")
    assert status_of(instance, run) is ENDS[status]
    assert clear_stale_runs(instance) == []


CASES: list[tuple[str, dict[str, object], bool]] = [
    ("this process", {}, False),
    ("a process id that was given to another process", {"start": "1"}, True),
    ("before a restart of the machine", {"boot": "another", "left": True}, True),
    ("before a restart, on a disk of another machine", {"boot": "another"}, False),
    (
        "another machine that was made from this one's image",
        {"boot": "another", "left": True, "hardware": "02:1"},
        False,
    ),
    ("a machine that was cloned while it ran", {"mark": "0123456789abcdef-1", "start": "1"}, False),
    ("a worker of an earlier version", {"mark": None, "start": "1"}, False),
    ("a worker whose disk this machine has", {"start": "2", "mark": None, "left": True}, True),
    ("before a restart of a machine without id", {"boot": "another", "machine": ""}, False),
    ("before a restart of another machine of this name", {"boot": "another", "machine": "other"}, False),
    ("a container before a restart of its machine", {"boot": "another", "namespace": "pid:[1]"}, False),
    ("another machine", {"host": "elsewhere", "pid": 1, "start": "1"}, False),
    ("another container with this host name", {"namespace": "pid:[1]", "start": "1"}, False),
    ("a worker that did not record its name space", {"namespace": None, "start": "1"}, False),
    ("a worker of a machine without name spaces", {"namespace": "", "start": "1"}, False),
    ("copied from another run", {"run": "another", "start": "1"}, False),
    ("a record of something else", {"pid": "?", "start": "1"}, False),
]


@pytest.mark.parametrize(("worker", "is_stale"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_only_what_certainly_is_dead_is_cleared(
    pipeline: Pipeline,
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    worker: dict[str, object],
    is_stale: object,
) -> None:
    worker = dict(worker)
    # As if the tests did not run in a container.
    monkeypatch.setattr(processes, "_FIRST_NAMESPACE", pid_namespace())
    monkeypatch.setattr(processes, "_machine_id", lambda: "3d12")
    monkeypatch.setattr(processes, "hardware", lambda: "02:0")
    # As if the storage were Postgres, which machines share; but each has a folder of its own.
    monkeypatch.setattr(worker_lock, "sqlite_event_log", lambda _: None)
    has_lock = worker.pop("left", False)
    run = a_run(pipeline, instance, DagsterRunStatus.STARTED, **worker)
    if has_lock:
        folder = Path(instance.root_directory) / "registration-pipeline.workers"
        folder.mkdir()
        (folder / run.run_id).touch()

    assert [one.run_id for one in clear_stale_runs(instance)] == ([run.run_id] if is_stale else [])
    assert status_of(instance, run) is (DagsterRunStatus.FAILURE if is_stale else DagsterRunStatus.STARTED)


def test_a_run_whose_worker_recorded_nothing_is_left_alone(
    pipeline: Pipeline, instance: DagsterInstance, gone: int
) -> None:
    """The id that Dagster logs means nothing in another container, and "localhost" is the name of each."""
    run = a_run(pipeline, instance, DagsterRunStatus.STARTED, run="another")
    instance.add_run_tags(run.run_id, {".dagster/grpc_info": json.dumps({"host": "localhost"})})
    instance.report_engine_event(f"Started process for run (pid: {gone}).", run)

    assert clear_stale_runs(instance) == []
    assert status_of(instance, run) is DagsterRunStatus.STARTED


@pytest.mark.parametrize("is_ours", [True, False], ids=["this process", "another process"])
def test_a_process_records_the_run_that_it_executes(
    pipeline: Pipeline, instance: DagsterInstance, gone: int, *, is_ours: bool
) -> None:
    launched = a_run(pipeline, instance, DagsterRunStatus.STARTED, run="the run that was re-executed")
    instance.report_engine_event(f"Started process for run (pid: {os.getpid() if is_ours else gone}).", launched)

    lock = record_worker(instance, launched)

    found = instance.get_run_by_id(launched.run_id)
    assert found is not None
    assert is_worked_on_here(found) is is_ours
    assert clear_stale_runs(instance) == []
    lock.release()


IN_A_CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
CONTAINER = textwrap.dedent("""
    import os, sys, time
    from registration_pipeline.orchestration.runs.instance import open_instance
    from registration_pipeline.orchestration.runs.processes import record_worker, worker_tag
    from registration_pipeline.orchestration.runs.stale_runs import clear_stale_runs
    from registration_pipeline.project.project import Project

    with open_instance(Project.load().settings, os.environ) as instance:
        print(*(one.run_id for one in clear_stale_runs(instance)), flush=True)
        instance.add_run_tags(sys.argv[1], worker_tag(sys.argv[1]))
        lock = record_worker(instance, instance.get_run_by_id(sys.argv[1]))
        print("working", flush=True)
        time.sleep(600)
""")


@pytest.mark.slow
def test_runs_of_two_containers_with_one_host_name_leave_each_other_alone(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    if subprocess.run([*IN_A_CONTAINER, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no name spaces")
    ours = a_run(pipeline, instance, DagsterRunStatus.STARTED)
    theirs = a_run(pipeline, instance, DagsterRunStatus.STARTED, run="another")
    container = pipeline.start(CONTAINER, theirs.run_id, within=IN_A_CONTAINER)
    assert container.stdout is not None

    assert container.stdout.readline() == "\n"
    assert status_of(instance, ours) is DagsterRunStatus.STARTED
    assert container.stdout.readline() == "working\n"
    assert clear_stale_runs(instance) == []
    assert status_of(instance, theirs) is DagsterRunStatus.STARTED

    container.kill()
    container.wait()
    pipeline.wait_until(lambda: clear_stale_runs(instance), seconds=30, what="the end of the container")
    assert status_of(instance, theirs) is DagsterRunStatus.FAILURE
    assert status_of(instance, ours) is DagsterRunStatus.STARTED


def test_a_queued_run_that_no_one_dequeues_stays_and_blocks_nothing(
    pipeline: Pipeline, instance: DagsterInstance, gone: int
) -> None:
    pipeline.add_images(1)
    queued = a_run(pipeline, instance, DagsterRunStatus.QUEUED, pid=gone)

    with clearing_stale_runs(instance):
        assert run_job(instance, pipeline.own.sync_job)

    assert status_of(instance, queued) is DagsterRunStatus.QUEUED


def test_the_sensor_clears_and_says_what(pipeline: Pipeline, instance: DagsterInstance, gone: int) -> None:
    run = a_run(pipeline, instance, DagsterRunStatus.STARTED, pid=gone)
    sensor = build_stale_run_sensor(ConfigurationNames(), [pipeline.own.source])

    first = sensor.evaluate_tick(build_sensor_context(instance=instance))
    second = sensor.evaluate_tick(build_sensor_context(instance=instance))

    assert f"run {run.run_id}: its process {gone} is gone" in (first.skip_message or "")
    assert second.skip_message == "No stale run."
    assert status_of(instance, run) is DagsterRunStatus.FAILURE


def slots_taken(instance: DagsterInstance, pipeline: Pipeline) -> int:
    return instance.event_log_storage.get_concurrency_info(pipeline.own.pool).active_slot_count


def killed_while_registering(pipeline: Pipeline, instance: DagsterInstance, images: int) -> DagsterRun:
    """Let a child sync until all its upload jobs are pending, and kill it."""
    child = pipeline.start(SYNC, pipeline.own.sync_job)
    pipeline.wait_until(lambda: len(pipeline.sandbox.jobs()) == images, seconds=60, what="the upload jobs")
    child.kill()
    child.wait()
    (run,) = instance.get_runs(limit=1)
    return run


def assert_everything_is_registered_once(pipeline: Pipeline, instance: DagsterInstance, images: int) -> None:
    status = pipeline.status
    assert (status.registered, status.pending, status.failed) == (images, 0, 0)
    assert len(pipeline.urls()) == images
    assert pipeline.sandbox.duplicates() == {}
    assert pipeline.shown(instance, pipeline.own.registration).counts == (images, 0, 0)


@pytest.mark.slow
def test_a_killed_sync_is_cleared_and_finished_by_the_next_one(
    make_pipeline: MakePipeline, instance_of: Callable[[Pipeline], DagsterInstance]
) -> None:
    pipeline = make_pipeline(job_seconds=3.0)
    instance = instance_of(pipeline)
    pipeline.add_images(6)
    killed = killed_while_registering(pipeline, instance, 6)
    assert status_of(instance, killed) is DagsterRunStatus.STARTED
    assert slots_taken(instance, pipeline) == 1

    began = time.monotonic()
    out, _ = pipeline.start(SYNC, pipeline.own.sync_job).communicate(timeout=300)

    assert out.split() == ["cleared", "1", "True"]
    assert time.monotonic() - began < 55  # a lease, which it does not wait for, lasts 60 s
    assert status_of(instance, killed) is DagsterRunStatus.FAILURE
    assert slots_taken(instance, pipeline) == 0
    assert len(pipeline.sandbox.jobs()) == 6
    assert_everything_is_registered_once(pipeline, instance, 6)


@pytest.mark.slow
def test_an_interrupted_sync_leaves_nothing_to_clear(
    make_pipeline: MakePipeline, instance_of: Callable[[Pipeline], DagsterInstance]
) -> None:
    pipeline = make_pipeline(job_seconds=3.0)
    instance = instance_of(pipeline)
    pipeline.add_images(4)
    child = pipeline.start(SYNC, pipeline.own.sync_job)
    pipeline.wait_until(lambda: len(pipeline.sandbox.jobs()) == 4, seconds=60, what="the upload jobs")
    child.send_signal(signal.SIGINT)
    child.wait(30)

    assert slots_taken(instance, pipeline) == 0
    assert clear_stale_runs(instance) == []
    assert run_job(instance, pipeline.own.sync_job)
    assert_everything_is_registered_once(pipeline, instance, 4)


@pytest.mark.slow
def test_two_syncs_at_once_take_turns_and_send_nothing_twice(
    make_pipeline: MakePipeline, instance_of: Callable[[Pipeline], DagsterInstance]
) -> None:
    pipeline = make_pipeline(job_seconds=1.0)
    instance = instance_of(pipeline)
    pipeline.add_images(6)

    children = [pipeline.start(SYNC, pipeline.own.sync_job) for _ in range(2)]
    outputs = [child.communicate(timeout=300) for child in children]

    assert [out.split()[-1] for out, _ in outputs] == ["True", "True"], outputs
    assert [run.status for run in instance.get_runs()] == [DagsterRunStatus.SUCCESS] * 2
    assert len(pipeline.sandbox.jobs()) == 6
    assert_everything_is_registered_once(pipeline, instance, 6)


@pytest.mark.slow
def test_a_sync_that_waits_says_for_whom_and_gets_its_turn_when_that_one_is_killed(
    make_pipeline: MakePipeline, instance_of: Callable[[Pipeline], DagsterInstance]
) -> None:
    pipeline = make_pipeline(job_seconds=20.0)
    instance = instance_of(pipeline)
    pipeline.configure(max_in_flight=2)
    pipeline.add_images(2)
    holder = pipeline.start(SYNC, pipeline.own.sync_job)
    pipeline.wait_until(lambda: len(pipeline.sandbox.jobs()) == 2, seconds=60, what="the upload jobs")
    (run,) = instance.get_runs()
    waiting = pipeline.start(SYNC, pipeline.own.submit_job)
    assert waiting.stderr is not None
    said = waiting.stderr.readline()
    assert said.startswith(
        f"Source fleet-cameras is being submitted by run {run.run_id} of {pipeline.own.sync_job} "
        f"(pid {holder.pid} on {socket.gethostname()}); waiting until it ends."
    )
    assert slots_taken(instance, pipeline) == 1
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()

    out, err = waiting.communicate(timeout=300)

    assert out.split() == ["cleared", "0", "True"], err
    assert f"cleared run {run.run_id} of {pipeline.own.sync_job}: its process {holder.pid} is gone;" in err
    assert "is being submitted by" not in err
    assert len(pipeline.sandbox.jobs()) == 2
    assert_everything_is_registered_once(pipeline, instance, 2)
