"""Ten nights of a source whose bucket changes: Dagster's own scheduler ticks them, and each is counted again independently.

The ticks are in the autumn of 2027, when clocks change in Berlin; what runs takes the time that it takes. So the watch for
messages is asked twice: about runs now, and about ticks at the time of the night.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import dagster as dg
import dagster._daemon
import pytest
import yaml
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._scheduler.scheduler import launch_scheduled_runs

from registration_pipeline.orchestration.alerts.watch import Watch
from registration_pipeline.orchestration.names import CODE_LOCATION, DEFINITIONS_MODULE
from registration_pipeline.orchestration.private_dagster import NO_CAPTURE, InstanceRef, LoadableTargetOrigin
from registration_pipeline.orchestration.runs.instance import dagster_home, prepare_home
from registration_pipeline.orchestration.runs.launch import remote_origin
from registration_pipeline.project.project import utc_now
from registration_pipeline.sandbox.faults.values import Effect, Fault
from registration_pipeline.sandbox.jobs.unit_rules import UnitRule
from registration_pipeline_tests.message_servers import MessageServer, message_server
from registration_pipeline_tests.orchestration.check_statuses import shown_checks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from registration_pipeline_tests.orchestration.conftest import Pipeline

ZONE = ZoneInfo("Europe/Berlin")
HALF_PAST_TWO = "30 2 * * *"
IN_THIS_PROCESS = {
    **NO_CAPTURE,
    "run_launcher": {
        "module": "dagster._core.launcher.sync_in_memory_run_launcher",
        "class": "SyncInMemoryRunLauncher",
    },
    "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
}
"""A run is executed as soon as the scheduler submits it, and its tick ends after it."""
LOG = logging.getLogger(__name__)


@contextmanager
def instance_of(pipeline: Pipeline) -> Iterator[DagsterInstance]:
    home = dagster_home(pipeline.project.settings, os.environ)
    home.mkdir()
    prepare_home(home)
    with DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=IN_THIS_PROCESS)) as opened:
        yield opened


@dataclass
class Nights:
    """The source, its daemon's scheduler, who watches it, and what a person would count."""

    pipeline: Pipeline
    instance: DagsterInstance
    workspace: WorkspaceProcessContext
    messages: MessageServer
    iterations: dict[str, Any] = field(default_factory=dict)
    cursors: dict[str, str | None] = field(default_factory=lambda: {"runs": None, "ticks": None})
    listed: frozenset[str] = frozenset()
    broken: set[str] = field(default_factory=set)
    overwritten: set[str] = field(default_factory=set)

    @property
    def bucket(self) -> Path:
        """Where the objects are."""
        return self.pipeline.root / "files"

    def keys(self) -> frozenset[str]:
        """What is in the bucket, asked of the file system."""
        return frozenset(str(path.relative_to(self.bucket)) for path in self.bucket.rglob("*") if path.is_file())

    def add(self, *names: str) -> None:
        """Put objects into the bucket."""
        for name in names:
            path = self.bucket / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"\xff")

    def overwrite(self, name: str) -> None:
        """Write an object again, with other content."""
        (self.bucket / name).write_bytes(b"\xff\xff")
        self.overwritten.add(name)

    def delete(self, *names: str) -> None:
        """Remove objects."""
        for name in names:
            (self.bucket / name).unlink()

    def schedule(self, at: datetime) -> None:
        """Let the daemon's scheduler do one iteration."""
        list(launch_scheduled_runs(self.workspace, LOG, at.astimezone(UTC), self.iterations))

    def watch(self, at: datetime) -> None:
        """Let the sensor of messages see what has become of runs, and half an hour later of ticks."""
        times = {"runs": utc_now(), "ticks": at.astimezone(UTC) + timedelta(minutes=30)}
        for what, now in times.items():
            watch = Watch(
                self.pipeline.project,
                self.instance,
                [self.pipeline.own],
                now=now,
                warn=LOG.warning,
                has_schedules=what == "ticks",
            )
            self.cursors[what], _ = watch.evaluate(self.cursors[what])

    def night(self, day: str, *, lists: bool = True) -> list[str]:
        """Live through a night and return the kinds of the messages that it brought.

        Args:
            day: whose night it is.
            lists: whether the bucket is listed.
        """
        before = len(self.messages.received)
        tick = datetime.fromisoformat(f"{day}T02:30").replace(tzinfo=ZONE, fold=1)
        self.schedule(tick.astimezone(UTC) + timedelta(seconds=5))
        self.watch(tick)
        if lists:
            self.listed = self.keys()
        self.recount()
        return self.messages.kinds[before:]

    def recount(self) -> None:
        """Compare what the pipeline and Dagster show with the bucket and the sandbox."""
        registered = Counter(
            unquote(urlsplit(url).path).removeprefix(f"{self.bucket}/") for url in self.pipeline.urls()
        )
        assert set(registered.values()) <= {1}, "registered twice"
        there = frozenset(registered)
        failed = (self.listed & self.broken) - there
        expected, status = self.expected(there, failed), self.pipeline.status.as_json()
        assert {name: status[name] for name in expected} == expected
        shown = self.pipeline.shown(self.instance, self.pipeline.own.registration)
        assert shown.counts == (len(there), len(failed), 0)
        log = self.instance.get_latest_materialization_event(self.pipeline.own.failure_log)
        assert log is not None
        assert log.asset_materialization is not None
        assert log.asset_materialization.metadata["dagster/row_count"].value == len(failed)

    def expected(self, there: frozenset[str], failed: frozenset[str]) -> Mapping[str, int]:
        """What a person would count."""
        return {
            "objects": len(self.listed),
            "registered": len(self.listed & there),
            "failed": len(failed),
            "pending": len(self.listed - there - failed),
            "rejected": 0,
            "excluded": 0,
            "deleted": len(there - self.listed),
            "changed": len(self.overwritten & self.listed & there),
        }

    def last_runs(self) -> dict[str, DagsterRunStatus]:
        """How the last run ended that was about to materialize an asset, as its page shows it."""
        own = self.pipeline.own
        found = {}
        for key in (own.inventory, own.chunk_plan, own.failure_log):
            planned = self.instance.get_latest_planned_materialization_info(key)
            run = None if planned is None else self.instance.get_run_by_id(planned.run_id)
            assert run is not None
            found[key.path[-1]] = run.status
        return found

    def runs(self) -> int:
        """How many syncs the schedule started."""
        return self.instance.get_runs_count(dg.RunsFilter(job_name=self.pipeline.own.nightly_job))

    def last_tick(self) -> tuple[TickStatus, str]:
        """How the last tick ended, and why nothing was started."""
        (state,) = self.instance.all_instigator_state()
        (tick,) = self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        return tick.status, tick.skip_reason or ""

    @contextmanager
    def sync_that_takes_long(self) -> Iterator[dg.DagsterRun]:
        """Have a run of the sync job that does not end in time."""
        name = self.pipeline.own.sync_job
        run = self.instance.create_run_for_job(
            self.pipeline.definitions.get_job_def(name),
            status=DagsterRunStatus.STARTED,
            tags={"registration/source": self.pipeline.own.source},
            remote_job_origin=remote_origin(name),
        )
        yield run
        self.instance.report_run_canceled(run)


@pytest.fixture
def nights(pipeline: Pipeline) -> Iterator[Nights]:
    with message_server() as messages:
        pipeline.configure(schedule=HALF_PAST_TWO, timezone=ZONE.key, freshness_hours=None)
        settings = yaml.safe_load(pipeline.config.read_text())
        pipeline.config.write_text(yaml.safe_dump({**settings, "notify": [{"webhook": messages.url}]}))
        target = LoadableTargetOrigin(module_name=DEFINITIONS_MODULE, working_directory=str(pipeline.root))
        origin = InProcessCodeLocationOrigin(target, location_name=CODE_LOCATION)
        with (
            instance_of(pipeline) as instance,
            WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin)) as workspace,
        ):
            made = Nights(pipeline, instance, workspace, messages)
            made.schedule(datetime(2027, 10, 25, 12, tzinfo=UTC))
            made.watch(datetime(2027, 10, 25, 12, tzinfo=UTC))
            yield made


@pytest.mark.slow
def test_ten_nights_of_a_bucket_that_changes(nights: Nights) -> None:
    # 1: new objects.
    nights.add(*(f"first/{number}.jpg" for number in range(6)))
    assert nights.night("2027-10-26") == []

    # 2: more of them, and one written again.
    nights.add("second/0.jpg", "second/1.jpg", "second/2.jpg")
    nights.overwrite("first/0.jpg")
    assert nights.night("2027-10-27") == []

    # 3: two are gone.
    nights.delete("first/1.jpg", "second/2.jpg")
    assert nights.night("2027-10-28") == []

    # 4: Encord no longer accepts the key.
    nights.add("fourth/0.jpg")
    nights.pipeline.sandbox.script(Fault(effect=Effect.STATUS, status=401, times=None))
    checks = shown_checks(nights.pipeline, nights.instance)
    assert nights.night("2027-10-29", lists=False) == ["halted"]
    assert shown_checks(nights.pipeline, nights.instance) == checks, "a check that was not executed shows something new"
    assert nights.last_runs() == {
        "inventory": DagsterRunStatus.FAILURE,
        "chunk_plan": DagsterRunStatus.SUCCESS,
        "failure_log": DagsterRunStatus.SUCCESS,
    }

    # 5: it does again.
    nights.pipeline.sandbox.clear_faults()
    assert nights.night("2027-10-30") == ["recovered"]
    assert nights.runs() == 5

    # 6: half past two comes twice, and is the second time.
    nights.add("sixth/0.jpg")
    nights.schedule(datetime(2027, 10, 31, 0, 30, 5, tzinfo=UTC))
    assert nights.runs() == 5
    assert nights.night("2027-10-31") == []
    nights.schedule(datetime(2027, 10, 31, 2, 30, 5, tzinfo=UTC))
    assert nights.runs() == 6

    # 7: Encord refuses one of three.
    nights.broken.add("seventh/1.jpg")
    nights.pipeline.sandbox.plant(UnitRule("seventh/1", "The object can't be read (404)."))
    nights.add("seventh/0.jpg", "seventh/1.jpg", "seventh/2.jpg")
    assert nights.night("2027-11-01") == ["failed"]
    assert nights.runs() == 7

    # 8: the last sync still runs.
    nights.add("eighth/0.jpg")
    with nights.sync_that_takes_long() as run:
        assert nights.night("2027-11-02", lists=False) == []
    status, reason = nights.last_tick()
    assert status is TickStatus.SKIPPED
    assert run.run_id in reason

    # 9: the scheduler is away.
    nights.delete("first/2.jpg")
    before = len(nights.messages.received)
    nights.watch(datetime(2027, 11, 3, 12, tzinfo=UTC))
    assert nights.messages.kinds[before:] == ["missed"]
    nights.recount()
    assert nights.runs() == 7

    # 10: it is back, and one sync makes up the night before; what Encord refused before rings no more.
    nights.add("tenth/0.jpg")
    assert nights.night("2027-11-04") == ["recovered"]
    assert nights.runs() == 8
    assert nights.messages.kinds == ["halted", "recovered", "failed", "missed", "recovered"]
