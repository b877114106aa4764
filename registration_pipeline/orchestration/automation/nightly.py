"""The nightly schedule of a source: which ticks start a sync, and why the others do not.

What does not belong here: the job that it starts (``jobs.py``), and reading the cron expression (``settings/cron.py``).
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice, takewhile

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from registration_pipeline.orchestration import names
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.private_dagster import schedule_execution_time_iterator
from registration_pipeline.orchestration.runs.processes import why_gone
from registration_pipeline.project.project import utc_now
from registration_pipeline.settings import SourceSettings

Clock = Callable[[], datetime]

# Not NOT_STARTED: a run that was made and never queued has no worker, and no daemon starts it any more.
_QUEUED = (DagsterRunStatus.QUEUED,)
_RUNNING = (DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)
_MOST_TICKS = 1_000
"""Later ticks that are counted, to name the last: a cron of every minute has 1,440 a day, and the name is only for people."""


def build_schedule(source: SourceSettings, own: SourceNames, *, clock: Clock = utc_now) -> dg.ScheduleDefinition | None:
    """Return the nightly sync, which runs as soon as the code location is loaded; None when it is switched off.

    Args:
        source: its settings.
        own: what it is called.
        clock: the time now, with time zone.
    """
    cron, zone = source.schedule, source.timezone
    if cron is None:
        return None

    @dg.schedule(
        name=own.schedule,
        job_name=own.nightly_job,
        cron_schedule=cron,
        execution_timezone=zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Nightly sync of {source.uri}: inventory, plan, registration and failure log of what is due.",
        tags=own.run_tags,
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        tick = context.scheduled_execution_time
        reason = _made_up_later(cron, zone, tick, clock()) or _overlaps(context.instance, own)
        return dg.RunRequest(tags=own.run_tags) if reason is None else dg.SkipReason(reason)

    return nightly


def ticks_after(cron: str, zone: str, tick: datetime) -> Iterator[datetime]:
    """Yield the ticks of a schedule after one of them, as the daemon counts them.

    A night whose hour does not exist, because clocks go forward, has its tick at the end of the gap; one whose hour exists
    twice has it once.
    """
    # In seconds: a time of day plus a second would be the first of two that an hour of the night has twice.
    yield from schedule_execution_time_iterator(tick.timestamp() + 1, cron, zone)


def _made_up_later(cron: str, zone: str, tick: datetime, now: datetime) -> str | None:
    """Return why a tick needs no sync of its own, if a later one is due, too; None if it is the last one that is due.

    The daemon itself asks for the last tick only as long as it was not interrupted in the middle of them.
    """
    later = list(
        islice(takewhile(lambda one: one.timestamp() <= now.timestamp(), ticks_after(cron, zone, tick)), _MOST_TICKS)
    )
    if not later:
        return None
    return (
        f"The tick of {_said(tick)} was missed and needs no sync of its own: the tick of {_said(later[-1])} is due, too, and "
        "makes it up."
    )


def _overlaps(instance: dg.DagsterInstance, own: SourceNames) -> str | None:
    """Return why a sync must not start now, if one of this source is queued or runs; None if none does."""
    wanted = RunsFilter(tags={names.SOURCE_TAG: own.source}, statuses=[*_QUEUED, *_RUNNING])
    for record in instance.get_run_records(wanted):
        run = record.dagster_run
        if run.job_name not in own.sync_jobs or why_gone(instance, run) is not None:
            continue
        does, since = ("is queued", record.create_timestamp) if run.status in _QUEUED else ("runs", _start(record))
        return (
            f"The last sync of source {own.source} still {does}: run {run.run_id} of {run.job_name}, since {_said(since)}. "
            "This tick starts none; the next one registers what is new by then. If the process of that run has ended, "
            "terminate the run in the Dagster UI (force termination)."
        )
    return None


def _start(record: dg.RunRecord) -> datetime:
    started = record.start_time
    return (
        record.create_timestamp if started is None else datetime.fromtimestamp(started, record.create_timestamp.tzinfo)
    )


def _said(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M %Z")
