"""The sensor that writes the failure log after a backfill, or after any run of assets that registers chunks.

Jobs write it themselves. Each tick reads the runs that ended since the last one and never a partition, so that 100,000 chunks
cost nothing. What does not belong here: what is in the log (``stages.py``).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from registration_pipeline.counted import counted
from registration_pipeline.orchestration.names import ConfigurationNames, SourceNames
from registration_pipeline.orchestration.private_dagster import BACKFILL_ID_TAG, BULK_ACTION_TERMINAL_STATUSES
from registration_pipeline.project.project import utc_now

_ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
_NOT_ENDED = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
# A run's update may be committed after that of a run with a later time; reading further back only costs rows.
_LOOK_BACK = timedelta(seconds=60)
_MOST_RUNS = 1_000


@dataclass
class _Cursor:
    """What the sensor remembers between ticks.

    Args:
        until: the time of the newest update of a run that was read.
        read: the runs that were updated in that time before it, and are not read again.
        waiting: backfills that have not ended, each with its newest ended run by source.
    """

    until: datetime
    read: dict[str, datetime] = field(default_factory=dict)
    waiting: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None, now: datetime) -> "_Cursor":
        """Read a cursor; without one nothing that was before now is followed."""
        if text is None:
            return cls(now)
        held = json.loads(text)
        read = {run_id: datetime.fromisoformat(time) for run_id, time in held["read"].items()}
        return cls(datetime.fromisoformat(held["until"]), read, held["waiting"])

    def __str__(self) -> str:
        """Return the text that ``parse`` reads."""
        read = {run_id: time.isoformat() for run_id, time in self.read.items() if time >= self.until - _LOOK_BACK}
        return json.dumps({"until": self.until.isoformat(), "read": read, "waiting": self.waiting})


def build_follow_up_sensor(
    sources: Sequence[SourceNames], shared: ConfigurationNames, *, clock: Callable[[], datetime] = utc_now
) -> dg.SensorDefinition:
    """Return the sensor of all sources of a configuration; the pages of their failure logs show it.

    Args:
        sources: the names of the sources.
        shared: the names of what the configuration has once.
        clock: the time now, with time zone.
    """
    by_name = {own.source: own for own in sources}

    @dg.sensor(
        name=shared.sensor("failure_log_after_backfills"),
        asset_selection=dg.AssetSelection.assets(*(own.failure_log for own in sources)),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Writes the failure log of a source once when a backfill, or another run of assets, that registered its "
        "chunks has ended.",
    )
    def follow_up(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = _Cursor.parse(context.cursor, clock())
        ended = _read(context.instance, cursor, sources)
        for backfill in [one for one in cursor.waiting if _has_ended(context.instance, one)]:
            ended = {**cursor.waiting.pop(backfill), **ended}
        requests = [_request(by_name[source], run_id) for source, run_id in sorted(ended.items()) if source in by_name]
        return dg.SensorResult(
            run_requests=requests, skip_reason=None if requests else _why_none(cursor), cursor=str(cursor)
        )

    return follow_up


def _read(instance: dg.DagsterInstance, cursor: _Cursor, sources: Sequence[SourceNames]) -> dict[str, str]:
    """Read the runs that ended since the last tick; put backfills on the cursor, and return the newest other run by source."""
    wanted = RunsFilter(statuses=_ENDED, updated_after=cursor.until - _LOOK_BACK)
    records = instance.get_run_records(wanted, limit=_MOST_RUNS, order_by="update_timestamp", ascending=True)
    ended: dict[str, str] = {}
    for record in records:
        run, updated = record.dagster_run, record.update_timestamp.astimezone(UTC)
        if run.run_id in cursor.read:
            continue
        cursor.read[run.run_id] = updated
        cursor.until = max(cursor.until, updated)
        backfill = run.tags.get(BACKFILL_ID_TAG)
        for own in sources:
            if _needs_log(run, own):
                found = ended if backfill is None else cursor.waiting.setdefault(backfill, {})
                found[own.source] = run.run_id
    return ended


def _needs_log(run: dg.DagsterRun, own: SourceNames) -> bool:
    """Return whether a run registered chunks of a source and did not write the log after that itself."""
    selected = run.asset_selection or ()
    return own.registration in selected and not (own.failure_log in selected and run.is_success)


def _has_ended(instance: dg.DagsterInstance, backfill_id: str) -> bool:
    """Return whether a backfill starts no more runs and all that it started have ended.

    The row of a backfill of 100,000 partitions is 2 MB, so it is read only while none of its runs is under way.
    """
    if instance.get_runs_count(RunsFilter(tags={BACKFILL_ID_TAG: backfill_id}, statuses=_NOT_ENDED)):
        return False
    backfill = instance.get_backfill(backfill_id)
    return backfill is None or backfill.status in BULK_ACTION_TERMINAL_STATUSES


def _request(own: SourceNames, run_id: str) -> dg.RunRequest:
    """Ask for the log after a run; the key keeps a tick that the daemon repeats from asking twice."""
    return dg.RunRequest(run_key=f"{own.source}/{run_id}", asset_selection=[own.failure_log], tags=own.run_tags)


def _why_none(cursor: _Cursor) -> str:
    if not cursor.waiting:
        return "No backfill or run of assets that registers chunks has ended since the last tick."
    return f"{counted(len(cursor.waiting), 'backfill')} not ended yet: {', '.join(sorted(cursor.waiting))}."
