"""A command that a person interrupts is over: Dagster does not repeat its run, as it does when the process died."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import should_retry

from registration_pipeline.orchestration.runs.stale_runs import clear_stale_runs
from registration_pipeline.sandbox.faults.values import Effect, Fault, When
from registration_pipeline_tests.orchestration.test_stale_runs import a_run

if TYPE_CHECKING:
    from registration_pipeline_tests.orchestration.conftest import MakePipeline, Pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COMMANDS: Final = ("sync", "submit", "inventory", "plan")


@pytest.fixture
def pipeline(make_pipeline: MakePipeline) -> Pipeline:
    """A pipeline whose upload jobs never end while a test goes on."""
    return make_pipeline(job_seconds=600.0)


def start(pipeline: Pipeline, *arguments: str) -> subprocess.Popen[str]:
    """Start a command as a person does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "registration_pipeline", *arguments],
        cwd=pipeline.root,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    pipeline.processes.append(process)
    return process


def newest_run(instance: DagsterInstance) -> DagsterRun:
    return instance.get_runs(limit=1)[0]


def assert_over(instance: DagsterInstance) -> None:
    """The newest run is canceled, and Dagster's daemon would not repeat it."""
    clear_stale_runs(instance)  # a process that is ended by force may have had no time for more than a mark
    run = newest_run(instance)
    assert (run.status, should_retry(run, instance)) == (DagsterRunStatus.CANCELED, False), run.tags


def started_submitting(pipeline: Pipeline) -> subprocess.Popen[str]:
    """Start a sync and return it when an upload job is under way."""
    pipeline.add_images(2)
    process = start(pipeline, "sync")
    pipeline.wait_until(pipeline.sandbox.jobs, seconds=60, what="an upload job")
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_sync_that_is_interrupted_while_it_submits_is_canceled(
    pipeline: Pipeline, instance: DagsterInstance, number: signal.Signals
) -> None:
    process = started_submitting(pipeline)
    process.send_signal(number)
    _, err = process.communicate(timeout=300)

    assert process.returncode in (130, 128 + number), err
    assert_over(instance)


def test_a_sync_that_a_second_ctrl_c_ends_by_force_is_canceled(pipeline: Pipeline, instance: DagsterInstance) -> None:
    process = started_submitting(pipeline)
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)  # two signals at once are one
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)

    assert process.returncode == 130
    assert_over(instance)


def test_a_killed_sync_is_repeated(pipeline: Pipeline, instance: DagsterInstance) -> None:
    process = started_submitting(pipeline)
    process.kill()
    process.communicate(timeout=300)

    clear_stale_runs(instance)
    run = newest_run(instance)
    assert run.status is DagsterRunStatus.FAILURE
    assert should_retry(run, instance)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_interrupted_while_it_waits_for_its_turn_is_canceled(
    pipeline: Pipeline, instance: DagsterInstance, command: str
) -> None:
    pipeline.add_images(1)
    pipeline.plan(instance)
    holder = a_run(pipeline, instance, DagsterRunStatus.STARTED)
    storage, pools = instance.event_log_storage, (pipeline.own.pool, pipeline.own.listing_pool)
    for pool in pools:
        storage.initialize_concurrency_limit_to_default(pool)
        storage.claim_concurrency_slot(pool, holder.run_id, "step")

    process = start(pipeline, command, *(() if command == "sync" else (pipeline.own.source,)))
    pipeline.wait_until(lambda: newest_run(instance).run_id != holder.run_id, seconds=60, what="the run")
    run_id = newest_run(instance).run_id
    pipeline.wait_until(
        lambda: any(run_id in storage.get_concurrency_info(pool).pending_run_ids for pool in pools),
        seconds=60,
        what="the run to wait for its pool",
    )
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)

    assert process.returncode == 130, out + err
    assert newest_run(instance).run_id == run_id
    assert_over(instance)


def test_an_audit_that_is_interrupted_while_it_lists_is_canceled(pipeline: Pipeline, instance: DagsterInstance) -> None:
    pipeline.add_images(1)
    pipeline.plan(instance)
    pipeline.sandbox.script(Fault(effect=Effect.DRIP, when=When.AFTER, times=None))
    process = start(pipeline, "audit", pipeline.own.source)
    pipeline.wait_until(
        lambda: instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED])), seconds=60, what="the run"
    )
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)

    assert process.returncode == 130, out + err
    assert newest_run(instance).job_name == pipeline.own.audit_job
    assert_over(instance)


def test_a_run_that_was_being_canceled_when_its_process_died_is_canceled(
    pipeline: Pipeline, instance: DagsterInstance
) -> None:
    process = started_submitting(pipeline)
    instance.report_run_canceling(newest_run(instance))
    process.kill()
    process.communicate(timeout=300)

    (cleared,) = clear_stale_runs(instance)

    assert cleared.run_id == newest_run(instance).run_id
    assert_over(instance)
