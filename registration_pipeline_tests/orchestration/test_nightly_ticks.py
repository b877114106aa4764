"""Which ticks of the nightly schedule start a sync: overlapping and missed nights, and nights in which clocks change."""

from __future__ import annotations

import itertools
import json
import shutil
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from registration_pipeline.orchestration.automation.nightly import build_schedule, ticks_after
from registration_pipeline.orchestration.names import SOURCE_TAG, SourceNames
from registration_pipeline.orchestration.runs.launch import remote_origin
from registration_pipeline.orchestration.runs.processes import WORKER_TAG, worker_tag
from registration_pipeline.settings import SourceSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWN = SourceNames("fleet-cameras")
SECONDS = timedelta(seconds=5)
"""What the daemon takes to come to a tick."""


def source(**changes: Any) -> SourceSettings:
    values = {"name": OWN.source, "uri": "file:///files/", "encord": {"integration": "sandbox"}, **changes}
    return SourceSettings.model_validate({"schedule": "30 2 * * *", **values})


@pytest.fixture(scope="module")
def kept_instance(empty_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterInstance]:
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(empty_home, home, dirs_exist_ok=True)
    with DagsterInstance.from_config(str(home)) as opened:
        yield opened


@pytest.fixture
def instance(kept_instance: DagsterInstance) -> DagsterInstance:
    """An instance without runs; a schedule is not evaluated with one that is only in memory."""
    kept_instance.run_storage.wipe()
    return kept_instance


def tick(
    instance: DagsterInstance, at: datetime, *, now: datetime | None = None, **settings: Any
) -> dg.RunRequest | str:
    """Evaluate the schedule as the daemon does: the run that is asked for, or why there is none."""
    schedule = build_schedule(source(**settings), OWN, clock=lambda: now or at.astimezone(UTC) + SECONDS)
    assert schedule is not None
    evaluated = schedule.evaluate_tick(dg.build_schedule_context(instance, scheduled_execution_time=at))
    if evaluated.run_requests:
        (request,) = evaluated.run_requests
        return request
    assert evaluated.skip_message
    return evaluated.skip_message


def add_run(instance: DagsterInstance, job_name: str, status: DagsterRunStatus) -> dg.DagsterRun:
    @dg.job(name=job_name)
    def job() -> None:
        pass

    tags = {SOURCE_TAG: OWN.source}
    return instance.create_run_for_job(job, status=status, tags=tags, remote_job_origin=remote_origin(job_name))


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def test_a_tick_asks_for_one_sync_that_shows_its_source(instance: DagsterInstance) -> None:
    asked = tick(instance, at("2026-11-22T02:30"))

    assert isinstance(asked, dg.RunRequest)
    assert asked.tags[SOURCE_TAG] == OWN.source


def test_no_schedule_means_none() -> None:
    assert build_schedule(source(schedule=None), OWN) is None


def test_of_three_missed_nights_the_last_makes_up_all(instance: DagsterInstance) -> None:
    now = at("2026-11-25T09:00")
    first, second, third = (tick(instance, at(f"2026-11-{day}T02:30"), now=now) for day in (23, 24, 25))

    for skipped, day in ((first, 23), (second, 24)):
        assert isinstance(skipped, str)
        assert f"2026-11-{day} 02:30 UTC was missed" in skipped
        assert "the tick of 2026-11-25 02:30 UTC is due" in skipped
    assert isinstance(third, dg.RunRequest)


@pytest.mark.parametrize("job", OWN.sync_jobs)
@pytest.mark.parametrize(
    ("status", "does"),
    [
        pytest.param(DagsterRunStatus.QUEUED, "is queued", id="queued"),
        pytest.param(DagsterRunStatus.STARTING, "runs", id="starting"),
        pytest.param(DagsterRunStatus.STARTED, "runs", id="running"),
        pytest.param(DagsterRunStatus.CANCELING, "runs", id="being terminated"),
    ],
)
def test_a_night_that_overlaps_the_last_sync_skips_and_names_its_run(
    instance: DagsterInstance, job: str, status: DagsterRunStatus, does: str
) -> None:
    run = add_run(instance, job, status)

    skipped = tick(instance, at("2026-11-22T02:30"))

    assert isinstance(skipped, str)
    assert f"still {does}: run {run.run_id} of {job}" in skipped
    assert "force termination" in skipped


@pytest.mark.parametrize(
    ("job", "status"),
    [
        pytest.param(OWN.sync_job, DagsterRunStatus.SUCCESS, id="a sync that has ended"),
        pytest.param(OWN.sync_job, DagsterRunStatus.NOT_STARTED, id="a sync that was never queued"),
        pytest.param(OWN.audit_job, DagsterRunStatus.STARTED, id="another job"),
        pytest.param(SourceNames("lidar").sync_job, DagsterRunStatus.STARTED, id="another source"),
    ],
)
def test_other_runs_hold_no_night_up(instance: DagsterInstance, job: str, status: DagsterRunStatus) -> None:
    add_run(instance, job, status)

    assert isinstance(tick(instance, at("2026-11-22T02:30")), dg.RunRequest)


def test_a_sync_whose_process_is_gone_holds_no_night_up(instance: DagsterInstance) -> None:
    run = add_run(instance, OWN.sync_job, DagsterRunStatus.STARTED)
    recorded = json.loads(worker_tag(run.run_id)[WORKER_TAG])
    instance.add_run_tags(run.run_id, {WORKER_TAG: json.dumps({**recorded, "pid": 2**22 + 1})})

    assert isinstance(tick(instance, at("2026-11-22T02:30")), dg.RunRequest)


ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"]
CHANGES = [date(2026, 10, 1), date(2027, 4, 30)]
"""All changes of clocks of a year, north and south, are between these days."""


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("cron", ["17 2 * * *", "59 2 * * *", "30 1 * * *", "0 3 * * *", "@daily"])
def test_every_night_of_every_zone_has_one_tick_also_when_clocks_change(
    instance: DagsterInstance, zone: str, cron: str
) -> None:
    first, last = CHANGES
    ticks = list(
        itertools.takewhile(
            lambda one: one.date() <= last, ticks_after(cron, zone, at(f"{first - timedelta(1)}T12:00", zone))
        )
    )

    assert Counter(one.date() for one in ticks) == Counter(
        first + timedelta(day) for day in range((last - first).days + 1)
    )
    changing = {two for one, two in itertools.pairwise(ticks) if one.utcoffset() != two.utcoffset()}
    for one in changing:
        asked = tick(instance, one, schedule=cron, timezone=zone)
        assert isinstance(asked, dg.RunRequest), asked
    assert bool(changing) == (zone != "UTC")


@pytest.mark.parametrize(
    ("night", "hour"),
    [
        pytest.param(
            "2027-03-28", "2027-03-28T01:00:00+00:00", id="an hour that does not exist: at the end of the gap"
        ),
        pytest.param("2026-10-25", "2026-10-25T01:30:00+00:00", id="an hour that exists twice: the second time"),
    ],
)
def test_the_night_in_which_clocks_change_runs_at(night: str, hour: str) -> None:
    found = next(ticks_after("30 2 * * *", "Europe/Berlin", at(f"{night}T00:00", "Europe/Berlin")))

    assert found.astimezone(UTC).isoformat() == hour
