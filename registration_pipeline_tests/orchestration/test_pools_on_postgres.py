"""Pools in Postgres: made once when many use them for the first time at the same moment, and changed with their default."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier
from types import SimpleNamespace
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import sqlalchemy as db
import yaml

from benchmarks.postgres_server import postgres_programs, postgres_server
from registration_pipeline import build_definitions
from registration_pipeline.definitions import defs
from registration_pipeline.orchestration.names import SOURCE_TAG, ConfigurationNames, SourceNames
from registration_pipeline.orchestration.private_dagster import CheckError, InstanceRef, RetryMode
from registration_pipeline.orchestration.runs.pools import ensure_pools
from registration_pipeline.orchestration.runs.stale_runs import build_stale_run_sensor
from registration_pipeline_tests.orchestration.test_embedding import settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registration_pipeline_tests.orchestration.conftest import Pipeline

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(postgres_programs() is None, reason="Postgres is not installed (`make postgres`)"),
]

HOSTS = 8


@pytest.fixture(scope="module")
def open_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], dg.DagsterInstance]]:
    """Opens an instance of one more host; all have one database."""
    pytest.importorskip("dagster_postgres")
    with postgres_server() as url, ExitStack() as stack:

        def opened(default_limit: int) -> dg.DagsterInstance:
            home = tmp_path_factory.mktemp("home")
            (home / "dagster.yaml").write_text(
                f"telemetry: {{enabled: false}}\nstorage: {{postgres: {{postgres_url: '{url}'}}}}\n"
                f"concurrency: {{pools: {{granularity: op, default_limit: {default_limit}}}}}\n"
            )
            return stack.enter_context(dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))))

        yield opened


def limits(instance: dg.DagsterInstance, source: str) -> dict[str, tuple[int, bool, int]]:
    """Return the limit of each pool of a source, whether it is the default one, and how many places there are."""
    storage = instance.event_log_storage
    return {
        pool.name.partition("/")[0]: (
            pool.limit,
            pool.from_default,
            storage.get_concurrency_info(pool.name).slot_count,
        )
        for pool in storage.get_pool_limits()
        if pool.name in SourceNames(source).pools
    }


def before_pools_are_made(host: dg.DagsterInstance, act: Callable[[], object]) -> None:
    """Let something happen each time that a host is about to make a pool."""

    def notice(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("INSERT INTO concurrency_limits"):
            act()

    db.event.listen(host.event_log_storage._engine, "before_cursor_execute", notice)  # type: ignore[attr-defined]


def make_pools(host: dg.DagsterInstance, own: SourceNames) -> None:
    """Make the pools of a source as another host does, if they do not exist."""
    for pool in own.pools:
        if pool not in host.event_log_storage.get_concurrency_keys():
            assert host.event_log_storage.initialize_concurrency_limit_to_default(pool)


def test_a_run_goes_on_whose_pools_another_host_makes_at_the_same_moment(
    open_host: Callable[[int], dg.DagsterInstance], tmp_path: Path
) -> None:
    own = SourceNames("fleet")
    host, other = open_host(1), open_host(1)

    before_pools_are_made(host, lambda: make_pools(other, own))

    job = build_definitions(settings_of(tmp_path, "fleet")).resolve_job_def(own.inventory_job)

    assert job.execute_in_process(instance=host, raise_on_error=False).success
    assert limits(host, "fleet") == dict.fromkeys(("encord_submission", "listing"), (1, True, 1))


def inventory_job() -> dg.JobDefinition:
    return defs().resolve_job_def("fleet_cameras_inventory")


@pytest.mark.timeout(200)
def test_so_does_one_whose_steps_have_processes_of_their_own(
    open_host: Callable[[int], dg.DagsterInstance], pipeline: Pipeline
) -> None:
    pipeline.configure(key_ranges=2)
    document = yaml.safe_load(pipeline.config.read_text())
    pipeline.config.write_text(yaml.safe_dump({**document, "executor": "multiprocess"}))
    pipeline.add_images(1)
    host, other = open_host(1), open_host(1)
    before_pools_are_made(host, lambda: make_pools(other, pipeline.own))

    assert dg.execute_job(dg.reconstructable(inventory_job), instance=host).success

    assert limits(host, pipeline.own.source) == dict.fromkeys(("encord_submission", "listing"), (1, True, 1))


def test_of_many_hosts_that_make_pools_at_the_same_moment_none_fails(
    open_host: Callable[[int], dg.DagsterInstance],
) -> None:
    hosts = [open_host(3) for _ in range(HOSTS)]
    barrier = Barrier(HOSTS, timeout=300)
    for host in hosts:
        before_pools_are_made(host, barrier.wait)

    with ThreadPoolExecutor(HOSTS) as threads:
        list(threads.map(ensure_pools, hosts, [["clips"]] * HOSTS))

    assert limits(hosts[0], "clips") == dict.fromkeys(("encord_submission", "listing"), (3, True, 3))


def test_a_new_default_limit_holds_from_the_next_run_on_and_limits_of_people_stay(
    open_host: Callable[[int], dg.DagsterInstance], tmp_path: Path
) -> None:
    job = build_definitions(settings_of(tmp_path, "rigs")).resolve_job_def(SourceNames("rigs").inventory_job)
    before = open_host(1)
    assert job.execute_in_process(instance=before).success
    before.event_log_storage.set_concurrency_slots(SourceNames("rigs").pool, 5)

    after = open_host(2)

    assert job.execute_in_process(instance=after, raise_on_error=False).success
    assert limits(after, "rigs") == {"encord_submission": (5, False, 5), "listing": (2, True, 2)}
    assert job.execute_in_process(instance=before, raise_on_error=False).success
    assert limits(after, "rigs") == {"encord_submission": (5, False, 5), "listing": (1, True, 1)}


def test_the_sensor_makes_the_pools_of_runs_whose_steps_have_processes_of_their_own(
    open_host: Callable[[int], dg.DagsterInstance],
) -> None:
    host = open_host(3)

    build_stale_run_sensor(ConfigurationNames(), ["scans"]).evaluate_tick(dg.build_sensor_context(instance=host))

    assert limits(host, "scans") == dict.fromkeys(("encord_submission", "listing"), (3, True, 3))


def test_the_executor_for_celery_makes_the_pools_before_it_asks_for_a_place(
    open_host: Callable[[int], dg.DagsterInstance],
) -> None:
    pytest.importorskip("dagster_celery")
    from registration_pipeline.orchestration.celery.executor import WatchingExecutor

    host = open_host(1)
    run = dg.DagsterRun(job_name="reels_sync", tags={SOURCE_TAG: "reels"})
    executor = WatchingExecutor(retries=RetryMode.ENABLED)  # type: ignore[no-untyped-call]

    with pytest.raises(CheckError):  # it goes on to the steps, which are not given here
        next(executor.execute(SimpleNamespace(instance=host, dagster_run=run), None))

    assert limits(host, "reels") == dict.fromkeys(("encord_submission", "listing"), (1, True, 1))
