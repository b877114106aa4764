"""The failure log follows a backfill: once for each that has ended, and not while it still runs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from registration_pipeline.orchestration.automation.follow_up import build_follow_up_sensor
from registration_pipeline.orchestration.names import SOURCE_TAG, ConfigurationNames, SourceNames
from registration_pipeline.orchestration.private_dagster import BACKFILL_ID_TAG, make_new_run_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dagster._core.definitions.sensor_definition import SensorExecutionData

FLEET, LIDAR = SourceNames("fleet-cameras"), SourceNames("lidar", ("team",))


def _log(own: SourceNames) -> dg.AssetsDefinition:
    @dg.asset(key=own.failure_log)
    def failure_log() -> None:
        pass

    return failure_log


@dataclass
class World:
    """An instance, and the sensor with its cursor, ticked by hand."""

    instance: DagsterInstance
    cursor: str | None = None
    skipped: str | None = None
    started: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(seconds=1))

    def tick(self) -> list[str]:
        """Evaluate the sensor once and return the sources whose failure log it asks for."""
        evaluated = self.evaluated()
        self.cursor, self.skipped = evaluated.cursor, evaluated.skip_message
        for request in evaluated.run_requests or ():
            own = {FLEET.source: FLEET, LIDAR.source: LIDAR}[request.tags[SOURCE_TAG]]
            assert request.asset_selection == [own.failure_log]
        return [request.tags[SOURCE_TAG] for request in evaluated.run_requests or ()]

    def evaluated(self) -> SensorExecutionData:
        """Evaluate the sensor, and do not remember it."""
        sensor = build_follow_up_sensor([FLEET, LIDAR], ConfigurationNames(), clock=lambda: self.started)
        repository = dg.Definitions(assets=[_log(FLEET), _log(LIDAR)], sensors=[sensor]).get_repository_def()
        context = dg.build_sensor_context(self.instance, cursor=self.cursor, repository_def=repository)
        return sensor.evaluate_tick(context)

    def start(self, *assets: dg.AssetKey, backfill: str | None = None) -> str:
        """Start a run of assets and return its id."""
        run_id = make_new_run_id()
        tags = {} if backfill is None else {BACKFILL_ID_TAG: backfill}
        self.instance.add_run(
            dg.DagsterRun(
                "__ASSET_JOB",
                run_id,
                status=DagsterRunStatus.STARTED,
                tags=tags,
                asset_selection=frozenset(assets) or None,
            )
        )
        return run_id

    def end(self, run_id: str, *, good: bool = True) -> None:
        """Let a run end."""
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        if good:
            self.instance.report_dagster_event(
                dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name), run_id
            )
        else:
            self.instance.report_run_failed(run)

    def start_backfill(self, backfill_id: str) -> None:
        """Write a backfill as the UI does; only what the sensor reads of it."""
        self.instance.add_backfill(
            PartitionBackfill(
                backfill_id, status=BulkActionStatus.REQUESTED, from_failure=False, tags={}, backfill_timestamp=0.0
            )
        )

    def end_backfill(self, backfill_id: str, status: BulkActionStatus = BulkActionStatus.COMPLETED_FAILED) -> None:
        """Let a backfill end."""
        backfill = self.instance.get_backfill(backfill_id)
        assert backfill is not None
        self.instance.update_backfill(backfill.with_status(status))  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def kept_instance(empty_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterInstance]:
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(empty_home, home, dirs_exist_ok=True)
    with DagsterInstance.from_config(str(home)) as opened:
        yield opened


@pytest.fixture
def world(kept_instance: DagsterInstance) -> World:
    """A world without runs, whose sensor has ticked once."""
    kept_instance.run_storage.wipe()
    made = World(kept_instance)
    assert made.tick() == []
    return made


def test_a_backfill_of_two_runs_has_one_log_when_it_has_ended(world: World) -> None:
    world.start_backfill("ours")
    runs = [world.start(FLEET.manifest, FLEET.registration, backfill="ours") for _ in range(2)]
    assert world.tick() == []
    world.end(runs[0])
    assert world.tick() == [], "asked while a run of the backfill runs"
    world.end(runs[1], good=False)
    assert world.tick() == [], "asked while the backfill may start more runs"
    assert world.skipped == "1 backfill not ended yet: ours."

    world.end_backfill("ours")

    assert world.tick() == [FLEET.source]
    assert [world.tick() for _ in range(3)] == [[], [], []]


@pytest.mark.parametrize(
    "status",
    [
        BulkActionStatus.COMPLETED_SUCCESS,
        BulkActionStatus.COMPLETED_FAILED,
        BulkActionStatus.CANCELED,
        BulkActionStatus.FAILED,
    ],
    ids=lambda status: str(status.value),
)
def test_a_backfill_may_end_in_any_way(world: World, status: BulkActionStatus) -> None:
    world.start_backfill("ours")
    world.end(world.start(FLEET.registration, backfill="ours"))
    world.end_backfill("ours", status)

    assert world.tick() == [FLEET.source]


def test_a_backfill_of_two_sources_has_one_log_for_each(world: World) -> None:
    world.start_backfill("both")
    for own in (FLEET, LIDAR):
        world.end(world.start(own.registration, backfill="both"))
    world.end_backfill("both")

    assert world.tick() == [FLEET.source, LIDAR.source]
    assert world.tick() == []


def test_a_run_that_was_executed_again_by_hand_has_a_log(world: World) -> None:
    run = world.start(FLEET.manifest, FLEET.registration)
    assert world.tick() == []
    world.end(run, good=False)

    assert world.tick() == [FLEET.source]
    assert world.tick() == []


def test_a_second_backfill_has_a_log_of_its_own(world: World) -> None:
    for backfill in ("first", "second"):
        world.start_backfill(backfill)
        world.end(world.start(FLEET.registration, backfill=backfill))
        world.end_backfill(backfill)
        assert world.tick() == [FLEET.source]


def test_a_run_that_the_daemon_repeats_after_the_backfill_has_a_log(world: World) -> None:
    world.start_backfill("ours")
    world.end(world.start(FLEET.registration, backfill="ours"), good=False)
    world.end_backfill("ours")
    assert world.tick() == [FLEET.source]

    world.end(world.start(FLEET.registration, backfill="ours"))

    assert world.tick() == [FLEET.source]


@pytest.mark.parametrize(
    "assets",
    [
        pytest.param((), id="a job's, which writes the log itself"),
        pytest.param((FLEET.inventory, FLEET.chunk_plan), id="that registers nothing"),
        pytest.param((FLEET.registration, FLEET.failure_log), id="that wrote the log after it registered"),
        pytest.param((dg.AssetKey(["elsewhere", "registration"]),), id="of another project"),
    ],
)
def test_a_run_needs_no_log(world: World, assets: tuple[dg.AssetKey, ...]) -> None:
    world.end(world.start(*assets))

    assert world.tick() == []
    assert world.skipped == "No backfill or run of assets that registers chunks has ended since the last tick."


def test_a_run_of_everything_that_failed_before_its_log_has_one(world: World) -> None:
    world.end(world.start(FLEET.registration, FLEET.failure_log), good=False)

    assert world.tick() == [FLEET.source]


def test_what_was_before_the_first_tick_is_not_followed(kept_instance: DagsterInstance) -> None:
    kept_instance.run_storage.wipe()
    world = World(kept_instance, started=datetime.now(UTC) + timedelta(hours=1))
    world.end(world.start(FLEET.registration))

    assert world.tick() == []
    assert world.tick() == []


def test_a_repeated_tick_asks_with_the_same_key(world: World) -> None:
    world.end(world.start(FLEET.registration))

    first, second = (world.evaluated().run_requests for _ in range(2))

    assert first
    assert first == second
    assert first[0].run_key
