"""What is known of a Celery task, asked of Celery on transports in memory; clusters: ``test_celery_cluster.py``."""

import inspect
import multiprocessing
import time
import uuid
from collections.abc import Iterator
from queue import Queue

import billiard
import dagster as dg
import pytest
from celery import Celery, signals
from celery.result import denied_join_result
from dagster_celery.executor import _submit_task
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from registration_pipeline.orchestration.celery.executor import WatchedResult
from registration_pipeline.orchestration.celery.launcher import RegistrationRunLauncher
from registration_pipeline.orchestration.celery.signs import Signs
from registration_pipeline.orchestration.private_dagster import WorkerStatus
from registration_pipeline_tests.orchestration.celery_worker import worker_in_this_process

ADDRESSES = {"broker": "memory://", "backend": "cache+memory://"}
STARTED = {"hostname": "worker-1@gone", "pid": 7}


@pytest.fixture
def app() -> Iterator[Celery]:
    with Celery("tests", **ADDRESSES) as made:
        yield made


@pytest.fixture
def one() -> str:
    """The id of a task; what is stored in memory belongs to the process."""
    return str(uuid.uuid4())


class Clock:
    """Seconds that a test lets go by."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def signs_of(app: Celery, clock: Clock, *, queue: str | None = None) -> Signs:
    return Signs(app, lost_seconds=60, queue=queue, answer_seconds=0.01, clock=clock)


def store(app: Celery, task_id: str, result: object, state: str) -> None:
    app.backend.store_result(task_id, result, state)


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REVOKED"])
def test_a_task_that_has_ended_is_not_lost(app: Celery, one: str, state: str) -> None:
    store(app, one, RuntimeError("no") if state == "FAILURE" else 0, state)
    sign = signs_of(app, Clock()).of(one)
    assert (sign.ended_as, sign.is_lost) == (state, False)
    assert state in str(sign)


@pytest.mark.parametrize("is_stored", [True, False], ids=["its worker is known", "nothing is stored of it"])
def test_a_task_without_a_sign_is_lost_after_a_while_and_says_where_it_was(
    app: Celery, one: str, *, is_stored: bool
) -> None:
    clock = Clock()
    signs = signs_of(app, clock)
    if is_stored:
        store(app, one, STARTED, "STARTED")
    for clock.now in (0.0, 59.0):
        assert not signs.of(one).is_lost
    clock.now = 60.0
    sign = signs.of(one)
    assert sign.is_lost
    assert "for 60 s there was no sign of it" in str(sign)
    assert ("worker-1@gone" in str(sign)) is is_stored


def test_a_step_may_wait_in_the_queue_for_as_long_as_it_takes_and_is_lost_when_it_is_gone_from_there(
    app: Celery, one: str
) -> None:
    clock = Clock()
    signs = signs_of(app, clock, queue=one)
    app.send_task("step", task_id=one, queue=one)
    for clock.now in (0.0, 1e6):
        assert not signs.of(one).is_lost
    with app.connection_for_write() as connection:
        assert connection.default_channel.queue_purge(one) == 1
    for clock.now in (2e6, 2e6 + 59):
        assert not signs.of(one).is_lost
    clock.now = 2e6 + 60
    sign = signs.of(one)
    assert sign.is_lost
    assert f"neither in the broker's queue {one} nor at any worker that answers" in str(sign)


def test_a_step_is_lost_when_the_broker_has_no_such_queue(app: Celery, one: str) -> None:
    clock = Clock()
    signs = signs_of(app, clock, queue=f"never-declared-{one}")
    for clock.now in (0.0, 59.0):
        assert not signs.of(one).is_lost
    clock.now = 60.0
    assert signs.of(one).is_lost


def test_of_a_broker_that_only_counts_any_task_in_the_queue_may_be_the_step(app: Celery, one: str) -> None:
    clock = Clock()
    signs = signs_of(app, clock, queue=one)
    app.send_task("step", task_id=f"{one}-another", queue=one)
    for clock.now in (0.0, 1e6):
        assert not signs.of(one).is_lost


def test_a_step_that_has_begun_is_lost_with_its_worker(app: Celery, one: str) -> None:
    clock = Clock()
    signs = signs_of(app, clock, queue=one)
    app.send_task("step", task_id=f"{one}-another", queue=one)
    store(app, one, STARTED, "STARTED")
    assert not signs.of(one).is_lost
    clock.now += 60
    assert signs.of(one).is_lost


@pytest.mark.parametrize("queue", [None, "dagster-steps"], ids=["a run", "a step"])
@pytest.mark.parametrize("is_stored", [True, False], ids=["its worker is known", "nothing is stored of it"])
def test_nothing_is_lost_while_the_broker_does_not_answer(one: str, queue: str | None, *, is_stored: bool) -> None:
    with Celery("tests", broker="redis://127.0.0.1:1/0", backend="cache+memory://") as app:
        app.conf.broker_transport_options = {"max_retries": 0}
        clock = Clock()
        signs = signs_of(app, clock, queue=queue)
        if is_stored:
            store(app, one, STARTED, "STARTED")
        for clock.now in (0.0, 60.0, 1e6):
            assert not signs.of(one).is_lost


def test_a_run_is_not_lost_while_its_events_go_on_although_no_worker_says_that_it_has_it(
    one: str, instance: dg.DagsterInstance
) -> None:
    clock = Clock()
    launcher = RegistrationRunLauncher(default_queue="dagster", lost_seconds=60, **ADDRESSES)
    launcher.register_instance(instance)
    launcher._signs = signs_of(launcher.celery, clock)
    run = instance.create_run_for_job(_nothing, tags={DAGSTER_CELERY_TASK_ID_TAG: one})
    store(launcher.celery, one, STARTED, "STARTED")

    def status_at(seconds: float) -> WorkerStatus:
        clock.now = seconds
        return launcher.check_run_worker_health(run).status

    assert status_at(0) is WorkerStatus.RUNNING
    for seconds in (50, 100, 150):
        instance.report_engine_event("an event of the run", run)
        assert status_at(seconds) is WorkerStatus.RUNNING

    assert status_at(209) is WorkerStatus.RUNNING
    assert status_at(210) is WorkerStatus.FAILED


@dg.job
def _nothing() -> None:
    pass


@pytest.mark.slow
def test_a_worker_that_says_that_it_has_the_task_keeps_it_alive(app: Celery) -> None:
    app.conf.worker_prefetch_multiplier = 1
    clock = Clock()

    @app.task(name="celery.ping")  # type: ignore[untyped-decorator]
    def ping() -> str:
        return "pong"

    @app.task(name="wait", track_started=True)  # type: ignore[untyped-decorator]
    def wait() -> None:
        while clock.now < 1000:
            time.sleep(0.01)

    with worker_in_this_process(app, pool="threads", concurrency=2):
        result = wait.delay()
        signs = Signs(app, lost_seconds=60, queue=None, answer_seconds=2, clock=clock)
        of_steps = Signs(app, lost_seconds=60, queue="celery", answer_seconds=2, clock=clock)
        deadline = time.monotonic() + 300
        try:
            while result.state != "STARTED" and time.monotonic() < deadline:
                time.sleep(0.02)
            for clock.now in (0.0, 100.0, 500.0):
                sign = signs.of(result.id)
                assert (sign.ended_as, sign.is_lost) == (None, False)
            result.forget()
            for clock.now in (600.0, 700.0):
                assert (result.state, of_steps.of(result.id).is_lost) == ("PENDING", False)
        finally:
            clock.now = 2000.0
        result.get(timeout=300)
        assert signs.of(result.id).ended_as == "SUCCESS"


def test_the_result_of_a_lost_step_is_its_failure_and_that_of_another_its_events(
    app: Celery, one: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registration_pipeline.orchestration.celery.executor._LOOK_SECONDS", 0.0)
    clock = Clock()
    signs = signs_of(app, clock, queue="dagster-steps")
    lost, ended = (WatchedResult(app.AsyncResult(task_id), signs, str.upper) for task_id in (one, f"{one}-ended"))
    store(app, one, STARTED, "STARTED")
    assert not lost.ready()
    clock.now = 60.0
    assert lost.ready()
    (failure,) = lost.get()
    assert "WORKER-1@GONE. RE-EXECUTE THE RUN FROM ITS FAILURE" in failure

    assert not ended.ready()
    store(app, f"{one}-ended", ["an event"], "SUCCESS")
    assert ended.ready()
    with denied_join_result():  # as in the task of a run, where Celery forbids to wait
        assert ended.get() == ["an event"]


def test_the_launcher_leaves_runs_of_commands_alone_and_ends_those_whose_task_has_ended(one: str) -> None:
    launcher = RegistrationRunLauncher(default_queue="dagster", lost_seconds=60, **ADDRESSES)
    of_command = dg.DagsterRun("fleet_sync", run_id="a")
    assert launcher.check_run_worker_health(of_command).status is WorkerStatus.RUNNING

    of_worker = dg.DagsterRun("fleet_sync", run_id="b", tags={DAGSTER_CELERY_TASK_ID_TAG: one})
    store(launcher.celery, one, 0, "SUCCESS")
    health = launcher.check_run_worker_health(of_worker)
    assert health.status is WorkerStatus.FAILED
    assert health.msg == "its Celery task has ended as SUCCESS"


def test_dagsters_way_to_submit_a_step_takes_what_the_executor_passes() -> None:
    taken = list(inspect.signature(_submit_task).parameters)
    assert taken == ["app", "plan_context", "step", "queue", "priority", "known_state"]


def _start_a_child(answers: Queue[int]) -> None:
    from registration_pipeline.orchestration.celery.app import app

    assert app.conf.worker_max_tasks_per_child == 1
    signals.worker_process_init.send(sender=None)
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()
    answers.put(child.exitcode or 0)


def test_a_run_in_a_process_of_celery_may_have_processes_of_its_own() -> None:
    answers: Queue[int] = billiard.get_context("fork").Queue()
    of_celery = billiard.get_context("fork").Process(target=_start_a_child, args=(answers,), daemon=True)
    of_celery.start()
    assert answers.get(timeout=300) == 0
    of_celery.join()
