"""Steps on Celery whose task the broker loses: what a real Redis holds, and what becomes of the run."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from celery import Celery
from dagster import DagsterEventType
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task

from benchmarks.redis_server import RedisServer, redis_program, redis_server
from registration_pipeline.orchestration.celery import executor, signs
from registration_pipeline.orchestration.celery.executor import celery_steps
from registration_pipeline.orchestration.celery.options import OPTIONS, STEPS_QUEUE
from registration_pipeline.orchestration.celery.signs import Signs
from registration_pipeline.orchestration.celery.waiting import BrokerAwayError, waiting_in
from registration_pipeline.orchestration.private_dagster import submit_celery_step
from registration_pipeline_tests.orchestration.celery_worker import worker_in_this_process

pytestmark = pytest.mark.slow
needs_redis = pytest.mark.skipif(redis_program() is None, reason="Redis is not installed (`make redis`)")
BROKER = {"broker": "memory://", "backend": "cache+memory://"}
RANGES = ("a", "b", "c")


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server(is_persistent=True) as server:
        yield server


@needs_redis
@pytest.mark.parametrize("prefix", ["", "team-"], ids=["plain", "with a prefix of all keys"])
def test_redis_says_which_tasks_it_holds(redis: RedisServer, prefix: str) -> None:
    with Celery("tests", broker=redis.url, backend="cache+memory://") as app:
        app.conf.update(OPTIONS)
        app.conf.broker_transport_options = {"max_retries": 0, "global_keyprefix": prefix}
        queue = f"{prefix}queue"
        for priority in (0, 5, 9):
            app.send_task("step", task_id=f"priority-{priority}", queue=queue, priority=priority)
        app.send_task("step", task_id="of another queue", queue=f"{queue}-2")
        held = waiting_in(app, queue)
        assert [held.may_hold(f"priority-{priority}") for priority in (0, 5, 9)] == [True] * 3
        if not prefix:
            assert not held.may_hold("of another queue")

        with app.connection_for_read() as connection:
            taken = connection.SimpleQueue(queue).get(timeout=5)  # as a worker that has not acknowledged it
            assert waiting_in(app, queue).may_hold(taken.headers["id"])
            taken.ack()
            if not prefix:
                assert not waiting_in(app, queue).may_hold(taken.headers["id"])

            connection.default_channel.client.flushall()
        app.send_task("step", task_id="a later one", queue=queue)
        held = waiting_in(app, queue)
        assert held.may_hold("a later one")
        if not prefix:
            assert not held.may_hold("priority-0")

        redis.kill()
        with pytest.raises(BrokerAwayError):
            waiting_in(app, queue)
        redis.start()
        assert waiting_in(app, queue).may_hold("a later one")


@dg.op(out=dg.DynamicOut(dg.Nothing))
def begin() -> Iterator[dg.DynamicOutput[None]]:
    for name in RANGES:
        yield dg.DynamicOutput(None, mapping_key=name)


@dg.op(ins={"started": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def work() -> None:
    pass


@dg.op(ins={"worked": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def end() -> None:
    pass


@dg.job(executor_def=celery_steps.configured({**BROKER, "lost_seconds": 5}))
def spread() -> None:
    end(begin().map(work).collect())


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A worker for steps in this process that answers while it works."""
    monkeypatch.setattr(executor, "_LOOK_SECONDS", 0.2)
    monkeypatch.setattr(signs, "_FRESH_SECONDS", 0.2)
    monkeypatch.setattr(executor, "Signs", partial(Signs, answer_seconds=0.5))
    app = make_app({**BROKER, "config_source": {**OPTIONS, "task_default_queue": STEPS_QUEUE}})  # type: ignore[no-untyped-call]
    app.conf.task_queues = None
    create_task(app)  # type: ignore[no-untyped-call]
    with worker_in_this_process(app, pool="threads", concurrency=1, queues=[STEPS_QUEUE]):
        yield


def steps_of(instance: dg.DagsterInstance, run_id: str, kind: DagsterEventType) -> list[str]:
    entries = instance.all_logs(run_id, of_type=kind)
    return sorted(str(entry.dagster_event.step_key) for entry in entries if entry.dagster_event is not None)


@pytest.mark.usefixtures("worker")
def test_a_step_that_the_broker_loses_fails_and_a_re_execution_from_failure_repeats_it_and_what_depends_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def losing(app: Any, context: Any, step: Any, queue: str, *others: Any) -> Any:
        # Without a worker for it the task is nowhere where anyone asks for it.
        return submit_celery_step(app, context, step, "gone" if step.key == "work[b]" else queue, *others)

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        with monkeypatch.context() as lost:
            lost.setattr(executor, "submit_celery_step", losing)
            started = time.monotonic()
            first = dg.execute_job(dg.reconstructable(spread_job), instance=instance)
        assert not first.success
        assert time.monotonic() - started < 60
        (failed,) = instance.all_logs(first.run_id, of_type=DagsterEventType.STEP_FAILURE)
        assert failed.dagster_event is not None
        assert failed.dagster_event.step_key == "work[b]"
        why = str(failed.dagster_event.step_failure_data.error)
        assert "neither in the broker's queue dagster-steps nor at any worker" in why
        assert "Re-execute the run from its failure" in why
        assert steps_of(instance, first.run_id, DagsterEventType.STEP_SUCCESS) == ["begin", "work[a]", "work[c]"]
        run = instance.get_run_by_id(first.run_id)
        assert run is not None
        # Dagster repeats runs with this reason by itself, and those whose step has failed only if it is asked to.
        assert run.tags["dagster/failure_reason"] == "RUN_EXCEPTION"

        again = dg.ReexecutionOptions.from_failure(first.run_id, instance)
        second = dg.execute_job(dg.reconstructable(spread_job), instance=instance, reexecution_options=again)
        assert second.success
        assert steps_of(instance, second.run_id, DagsterEventType.STEP_SUCCESS) == ["end", "work[b]"]


def spread_job() -> dg.JobDefinition:
    """What a worker finds by its name."""
    return spread
