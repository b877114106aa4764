"""A broker that is away: the daemon keeps runs in its queue, with the shipped ``dagster.yaml``, and ``check`` says so."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
import yaml
from celery import Celery
from dagster._core.launcher import LaunchRunContext
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from benchmarks.celery_cluster import SHIPPED
from benchmarks.redis_server import RedisServer, free_port, redis_program, redis_server
from registration_pipeline.errors import ConfigurationError, ServiceUnavailableError
from registration_pipeline.orchestration.celery.broker import address_of, ask_broker
from registration_pipeline.orchestration.celery.launcher import RegistrationRunLauncher, RunNotSentError
from registration_pipeline.orchestration.celery.signs import Signs
from registration_pipeline.orchestration.preflight import run_all_checks
from registration_pipeline.orchestration.private_dagster import (
    InstanceRef,
    LoadableTargetOrigin,
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from registration_pipeline.project.preflight import CELERY
from registration_pipeline.project.project import Project
from registration_pipeline.settings import load_settings
from registration_pipeline_tests.orchestration.celery_worker import worker_in_this_process
from registration_pipeline_tests.orchestration.test_celery import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registration_pipeline.project.preflight import Finding

needs_redis = pytest.mark.skipif(redis_program() is None, reason="Redis is not installed (`make redis`)")
BACKEND = "cache+memory://"
OUTAGE_SECONDS = 15 * 60
TICK_SECONDS = 30
SECRET = "a-secret"


@dg.job
def fleet_sync() -> None:
    """Is launched, and never executed here."""


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """One that tests stop and start again."""
    with redis_server(is_persistent=False) as server:
        yield server


@contextmanager
def shipped_instance(folder: Path, most_runs: int | None = 3, **run_queue: int) -> Iterator[dg.DagsterInstance]:
    """Open an instance of the shipped file, with its database in a folder."""
    shipped: dict[str, Any] = yaml.safe_load((SHIPPED / "dagster.yaml").read_text(encoding="utf-8"))
    del shipped["storage"]
    shipped["run_queue"] |= run_queue
    shipped["concurrency"]["runs"]["max_concurrent_runs"] = most_runs
    if most_runs is None:
        del shipped["concurrency"]["runs"]["max_concurrent_runs"]
    (folder / "dagster.yaml").write_text(yaml.safe_dump(shipped))
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(folder))) as opened:
        yield opened


def queued_run(instance: dg.DagsterInstance) -> str:
    """Put a run into the queue, and return its id."""
    origin = dg.reconstructable(fleet_sync).get_python_origin()
    place = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name="fleet"), location_name="fleet")
    repository = RemoteRepositoryOrigin(code_location_origin=place, repository_name="__repository__")
    remote = RemoteJobOrigin(repository_origin=repository, job_name="fleet_sync")
    run = instance.create_run_for_job(fleet_sync, job_code_origin=origin, remote_job_origin=remote)
    instance.report_dagster_event(dg.DagsterEvent.job_enqueue(run), run_id=run.run_id)
    return run.run_id


@contextmanager
def queue_daemon(instance: dg.DagsterInstance) -> Iterator[Any]:
    """Yield what makes Dagster's own daemon go through its queue at a time."""
    with create_test_daemon_workspace_context(EmptyWorkspaceTarget(), instance) as context:
        daemon = QueuedRunCoordinatorDaemon(interval_seconds=TICK_SECONDS)
        yield lambda now: list(daemon.run_iteration(context, fixed_iteration_time=now))


def status_of(instance: dg.DagsterInstance, run_id: str) -> str:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status.value


@pytest.mark.slow
@needs_redis
def test_a_run_waits_for_a_quarter_of_an_hour_for_its_broker_and_is_sent_once(
    tmp_path: Path, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", redis.url)
    monkeypatch.setenv("CELERY_RESULT_BACKEND", BACKEND)
    began = time.time()
    with shipped_instance(tmp_path) as instance, queue_daemon(instance) as tick:
        run_id, other_id = queued_run(instance), queued_run(instance)
        redis.kill()
        for second in range(0, OUTAGE_SECONDS, TICK_SECONDS):
            tick(began + second)
            assert status_of(instance, run_id) == status_of(instance, other_id) == "QUEUED"
        redis.start()
        tick(began + OUTAGE_SECONDS)

        assert status_of(instance, run_id) == status_of(instance, other_id) == "STARTING"
        assert isinstance(instance.run_launcher, RegistrationRunLauncher)
        with instance.run_launcher.celery.connection_for_read() as connection:
            assert connection.default_channel.client.llen("dagster") == 2


def test_a_run_that_has_waited_in_vain_says_what_happened_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("CELERY_BROKER_URL", f"redis://:{SECRET}@127.0.0.1:{port}/0")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", BACKEND)
    with shipped_instance(tmp_path, max_user_code_failure_retries=1) as instance, queue_daemon(instance) as tick:
        run_id = queued_run(instance)
        for now in (time.time(), time.time() + TICK_SECONDS):
            assert status_of(instance, run_id) == "QUEUED"
            tick(now)

        assert status_of(instance, run_id) == "FAILURE"
        entries = instance.all_logs(run_id)

    said = [str(entry.get_dagster_event().message) for entry in entries if entry.dagster_event]
    ours = [text for text in said if text.startswith("The Celery broker")]
    assert len(ours) == 2
    assert f"redis://127.0.0.1:{port}/0 does not answer (Error 111" in ours[0]
    assert "nothing was sent. Start it, or correct the address" in ours[0]
    assert SECRET not in str(entries)


@needs_redis
def test_a_run_may_have_been_sent_when_the_broker_dies_meanwhile_and_is_kept_too(
    tmp_path: Path, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", redis.url)
    monkeypatch.setenv("CELERY_RESULT_BACKEND", BACKEND)
    monkeypatch.setattr("registration_pipeline.orchestration.celery.launcher.ask_broker", lambda _: redis.kill())
    with shipped_instance(tmp_path) as instance:
        run = instance.get_run_by_id(queued_run(instance))
        assert run is not None
        assert isinstance(instance.run_launcher, RegistrationRunLauncher)
        instance.run_launcher.celery.conf.task_publish_retry = False
        with pytest.raises(RunNotSentError, match="whether the run was sent is not known"):
            instance.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
        redis.start()


@needs_redis
def test_a_run_is_lost_only_when_no_worker_has_it_for_long_after_the_broker_is_back(redis: RedisServer) -> None:
    clock = Clock()
    with Celery("tests", broker=redis.url, backend=BACKEND) as app:
        app.conf.broker_transport_options = {"max_retries": 0}
        app.backend.store_result("a-run", {"hostname": "worker-1@gone"}, "STARTED")
        signs = Signs(app, lost_seconds=60, queue=None, answer_seconds=0.1, clock=clock)
        assert not signs.of("a-run").is_lost
        redis.kill()
        for clock.now in (30.0, 1e6):
            assert not signs.of("a-run").is_lost
        redis.start()
        for clock.now in (1e6 + 1, 1e6 + 60):
            assert not signs.of("a-run").is_lost
        clock.now = 1e6 + 61
        assert signs.of("a-run").is_lost


def celery_finding(folder: Path, *, has_launcher: bool = True, most_runs: int | None = 1, **source: object) -> Finding:
    """Return what ``check`` says of Celery, for a source whose steps it executes."""
    media = folder / "media"
    media.mkdir(exist_ok=True)
    values = {"uri": media.as_uri() + "/", "encord": {"integration": "sandbox"}, **source}
    (folder / "registration.yaml").write_text(yaml.safe_dump({"executor": "celery", "sources": {"fleet": values}}))
    home = folder / "home"
    home.mkdir(exist_ok=True)
    if has_launcher:
        with shipped_instance(home, most_runs):
            pass
    environ = {"DAGSTER_HOME": str(home)}
    project = Project(load_settings(folder / "registration.yaml", environ), environ)
    return next(one for one in run_all_checks(project, project.settings.sources["fleet"]) if one.what == CELERY)


@pytest.mark.parametrize("has_launcher", [True, False], ids=["of the launcher", "of the executor"])
def test_check_says_that_the_broker_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_launcher: bool
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", f"redis://:{SECRET}@127.0.0.1:1/0")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", BACKEND)

    found = celery_finding(tmp_path, has_launcher=has_launcher)

    assert isinstance(found.error, ServiceUnavailableError)
    assert found.detail.startswith("the Celery broker redis://127.0.0.1:1/0 does not answer: Error 111")
    assert ("run_launcher.config of dagster.yaml" in found.detail) is has_launcher
    assert SECRET not in found.detail


def test_check_waits_a_few_seconds_for_a_broker_from_which_nothing_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("CELERY_BROKER_URL", f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        monkeypatch.setenv("CELERY_RESULT_BACKEND", BACKEND)
        monkeypatch.setattr(ask_broker, "__defaults__", (0.2,))

        found = celery_finding(tmp_path)

    assert found.error is not None
    assert "There was no answer within 0.2 s. Start it" in found.detail


@needs_redis
@pytest.mark.parametrize(
    ("backend", "says"),
    [
        (
            f"db+postgresql://dagster:{SECRET}@127.0.0.1:1/results",
            "db+postgresql://127.0.0.1:1/results does not answer",
        ),
        (f"redis://:{SECRET}@127.0.0.1:1/0", "redis://127.0.0.1:1/0 does not answer"),
    ],
    ids=["Postgres", "Redis"],
)
def test_check_says_that_the_result_backend_does_not_answer(
    tmp_path: Path, redis: RedisServer, monkeypatch: pytest.MonkeyPatch, backend: str, says: str
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", redis.url)
    monkeypatch.setenv("CELERY_RESULT_BACKEND", backend)

    found = celery_finding(tmp_path)

    assert isinstance(found.error, ServiceUnavailableError)
    assert f"Celery's result backend {says}" in found.detail
    assert "efused" in found.detail
    assert SECRET not in found.detail


@needs_redis
def test_check_counts_the_workers_of_the_queues_that_the_source_needs(
    tmp_path: Path, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", redis.url)
    monkeypatch.setenv("CELERY_RESULT_BACKEND", f"db+sqlite:///{tmp_path}/results.db")
    monkeypatch.setattr("registration_pipeline.orchestration.celery.services._WORKER_SECONDS", 1.0)

    without = celery_finding(tmp_path)
    assert without.is_remark
    assert not (tmp_path / "results.db").exists() or not (tmp_path / "results.db").stat().st_size
    assert f"the broker {redis.url} and the result backend db+sqlite:///" in without.detail
    assert "; 0 workers on the queue dagster; until a worker is started with `--queues dagster`, runs" in without.detail
    assert without.detail.endswith("fail after run_monitoring.start_timeout_seconds")

    app = Celery("tests", broker=redis.url, backend=BACKEND)
    with worker_in_this_process(app, pool="solo", queues=["dagster"]):
        one = celery_finding(tmp_path)
        assert (one.error, one.is_remark) == (None, False)
        assert one.detail.endswith("; 1 worker on the queue dagster")
        both = celery_finding(tmp_path, key_ranges=4)
        assert both.is_remark
        assert (
            "; 1 worker on the queue dagster; 0 workers on the queue dagster-steps; until a worker is started"
            in both.detail
        )


@needs_redis
@pytest.mark.parametrize(
    ("most_runs", "says"),
    [
        (2, None),
        (
            3,
            "3 runs at once (max_concurrent_runs) to workers that take 2: those that wait for a worker fail after run_mon",
        ),
        (1, "1 run at once (max_concurrent_runs) to workers that take 2: the other workers are idle"),
        (
            -1,
            "any number of runs at once (max_concurrent_runs) to workers that take 2: those that wait for a worker fail",
        ),
        (None, "10 runs at once (max_concurrent_runs) to workers that take 2: those that wait for a worker fail after"),
    ],
    ids=["as many", "more", "fewer", "no limit", "Dagster's default"],
)
def test_check_remarks_that_the_queue_sends_another_number_of_runs_than_workers_take(
    tmp_path: Path, redis: RedisServer, monkeypatch: pytest.MonkeyPatch, most_runs: int | None, says: str | None
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", redis.url)
    monkeypatch.setenv("CELERY_RESULT_BACKEND", f"db+sqlite:///{tmp_path}/results.db")

    app = Celery("tests", broker=redis.url, backend=BACKEND)
    with worker_in_this_process(app, pool="threads", concurrency=2, queues=["dagster", "large"]):
        found = celery_finding(tmp_path, most_runs=most_runs, run_tags={"dagster-celery/queue": "large"})

    assert found.error is None
    assert found.is_remark is (says is not None)
    assert "; 1 worker on the queue large" in found.detail
    assert says is None or f"dagster.yaml sends {says}" in found.detail


@pytest.mark.parametrize(
    ("broker", "says"),
    [
        (None, "the environment variable CELERY_BROKER_URL is not set; set it as on the machine of the daemon"),
        (f"carrier-pigeon://:{SECRET}@loft/0", "has an address that Celery can't use (KeyError: 'No such transport"),
        (f"redis://:{SECRET}@host:a-port/0", "has an address that Celery can't use (ValueError"),
    ],
    ids=["unset", "unknown", "no port"],
)
def test_check_names_an_address_that_is_missing_or_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: str | None, says: str
) -> None:
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    if broker is not None:
        monkeypatch.setenv("CELERY_BROKER_URL", broker)
    monkeypatch.setenv("CELERY_RESULT_BACKEND", BACKEND)

    found = celery_finding(tmp_path)

    assert isinstance(found.error, ConfigurationError)
    assert says in found.detail
    assert SECRET not in found.detail


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        (f"redis://:{SECRET}@host:6379/0?password={SECRET}", "redis://host:6379/0"),
        (f"sentinel://:{SECRET}@a:1;sentinel://:{SECRET}@b:2", "sentinel://a:1;sentinel://b:2"),
        (f"db+postgresql://dagster:{SECRET}@db:5432/results", "db+postgresql://db:5432/results"),
        (f"redis://:/{SECRET}?{SECRET}@host:6379/0", "redis://host:6379/0"),
        ("memory://", "memory://"),
    ],
    ids=["Redis", "several", "Postgres", "not encoded", "memory"],
)
def test_an_address_is_shown_without_credentials(urls: str, said: str) -> None:
    assert address_of(urls) == said
