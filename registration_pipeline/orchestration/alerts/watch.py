"""One evaluation of the sensor over all sources: failed runs, syncs that did not start, stale sources, messages to send again.

What it saw last is in the sensor's cursor. Losing that is harmless: what was said is in the state. What does not belong here:
the sensor's declaration (``sensor.py``), and the rules of what is news (``notify``).
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from registration_pipeline.orchestration.alerts.failed_runs import CLOCKS_DIFFER, failed_runs, is_night, lists
from registration_pipeline.orchestration.alerts.report import report_failed_run
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.private_dagster import schedule_execution_time_iterator
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings

GRACE = timedelta(minutes=15)
"""After a tick, until a run has to be there: the daemon makes it within a minute, and catches up after a short restart."""

_LATE_NEWS = timedelta(minutes=10)
_STALE_AGAIN = timedelta(minutes=10)
_BUDGET_SECONDS = 35.0
"""Dagster ends an evaluation after a minute; the next one goes on."""

_UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]
_MOST_RUNS = 1_000
_DONE_TICKS = {"SUCCESS", "SKIPPED"}


@dataclass
class Seen:
    """What was seen of one source.

    Args:
        schedule: cron and time zone of the schedule; with another one it begins again.
        since: from when on ticks count, as a time stamp: what was due before the source was known is not missed.
        known_at: when the source was seen first, as a time stamp.
        synced_at: the last sync that is known, as a time stamp; 0: none.
        stale_at: when the source was last found stale, as a time stamp; 0: it is not.
    """

    schedule: str
    since: float
    known_at: float
    synced_at: float = 0.0
    stale_at: float = 0.0


@dataclass
class Cursor:
    """What the last evaluation saw.

    Args:
        runs_until: runs that were marked as failed before that are reported, as a time stamp.
        sources: by name.
    """

    runs_until: float
    sources: dict[str, Seen] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None, now: datetime) -> "Cursor":
        """Read a cursor; without one, or with one that can't be read, everything begins now."""
        try:
            value: Mapping[str, Any] = json.loads(text or "")
            sources = {str(name): Seen(**seen) for name, seen in value["sources"].items()}
            return cls(float(value["runs_until"]), sources)
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls((now - _LATE_NEWS).timestamp())

    def text(self) -> str:
        """Return the form that Dagster keeps."""
        return json.dumps({"runs_until": self.runs_until, "sources": {n: asdict(s) for n, s in self.sources.items()}})


class Watch:
    """One evaluation.

    Args:
        project: the configuration.
        instance: Dagster's.
        sources: the names of the sources.
        now: the time, aware.
        warn: takes a sentence about what could not be sent.
        has_schedules: whether the schedules of the sources are in the code location.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        project: Project,
        instance: dg.DagsterInstance,
        sources: Sequence[SourceNames],
        *,
        now: datetime,
        warn: Callable[[str], object],
        has_schedules: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._project, self._instance, self._sources = project, instance, list(sources)
        self._now, self._warn, self._has_schedules = now, warn, has_schedules
        self._monotonic, self._began = monotonic, monotonic()

    def evaluate(self, text: str | None) -> tuple[str, int]:
        """Check everything once.

        Args:
            text: the cursor of the last evaluation; None: there was none.

        Returns:
            The new cursor, and how many messages were sent.
        """
        cursor = Cursor.parse(text, self._now)
        sent = self._failed_runs(cursor)
        for own in self._sources:
            if self._is_late():
                break
            source = self._project.source(own.source)
            seen = self._seen(cursor, source)
            sent += self._missed(source, own, seen)
            sent += self._stale(source, seen)
            self._send_again(source)
        return cursor.text(), sent

    def _is_late(self) -> bool:
        return self._monotonic() - self._began > _BUDGET_SECONDS

    def _seen(self, cursor: Cursor, source: SourceSettings) -> Seen:
        schedule = f"{source.schedule} {source.timezone}"
        seen = cursor.sources.get(source.name)
        if seen is None:
            seen = cursor.sources[source.name] = Seen(schedule, self._now.timestamp(), self._now.timestamp())
        elif seen.schedule != schedule:
            seen.schedule, seen.since = schedule, self._now.timestamp()
        return seen

    def _failed_runs(self, cursor: Cursor) -> int:
        sent = 0
        since = datetime.fromtimestamp(cursor.runs_until, UTC) - CLOCKS_DIFFER
        for failed in failed_runs(self._instance, self._sources, since):
            if self._is_late():
                return sent
            sent += report_failed_run(self._project, failed, self._warn, is_brief=True)
        cursor.runs_until = self._now.timestamp()
        return sent

    def _missed(self, source: SourceSettings, own: SourceNames, seen: Seen) -> bool:
        """Report the last sync that was due and did not start."""
        if source.schedule is None or not self._has_schedules:
            return False
        due = _last_tick(source.schedule, source.timezone, seen.since, self._now - GRACE)
        if due is None:
            return False
        seen.since = due.timestamp()
        if self._has_begun(own, due) or self._was_decided(own, due):
            return False
        from registration_pipeline.notify import IncidentKind

        return self._alert(source, IncidentKind.MISSED, due_at=due)

    def _has_begun(self, own: SourceNames, due: datetime) -> bool:
        """Return whether a run that lists was made since the tick, or an earlier one goes on."""
        made = self._instance.get_run_records(RunsFilter(created_after=due - CLOCKS_DIFFER), limit=_MOST_RUNS)
        if any(is_night(record.dagster_run, own, due, record.create_timestamp) for record in made):
            return True
        unfinished = self._instance.get_run_records(RunsFilter(statuses=_UNFINISHED), limit=_MOST_RUNS)
        return any(lists(record.dagster_run, own) for record in unfinished)

    def _was_decided(self, own: SourceNames, due: datetime) -> bool:
        """Return whether the schedule is switched off, or its tick was skipped for a reason that Dagster shows."""
        for state in self._instance.all_instigator_state():
            if state.instigator_name != own.schedule:
                continue
            if state.status.value == "STOPPED":
                return True
            after = (due - timedelta(seconds=1)).timestamp()
            ticks = self._instance.get_ticks(state.instigator_origin_id, state.selector_id, after=after)
            if any(tick.status.value in _DONE_TICKS for tick in ticks):
                return True
        return False

    def _stale(self, source: SourceSettings, seen: Seen) -> bool:
        """Report a source that was not synced for too long. The state is asked only where that may be so."""
        hours, now = source.freshness_hours, self._now.timestamp()
        if hours is None:
            return False
        limit = hours * 3600
        if now - (seen.synced_at or seen.known_at) <= limit:
            return False
        return self._is_stale(source, seen, now, limit)

    def _is_stale(self, source: SourceSettings, seen: Seen, now: float, limit: float) -> bool:
        from registration_pipeline.notify import IncidentKind
        from registration_pipeline.project.alerts import last_sync_at

        if now - seen.stale_at < _STALE_AGAIN.total_seconds():
            return False
        last = last_sync_at(self._project, source)
        seen.synced_at = last.timestamp() if last else 0.0
        if now - (seen.synced_at or seen.known_at) <= limit:
            seen.stale_at = 0.0
            return False
        seen.stale_at = now
        return self._alert(source, IncidentKind.STALE, last_sync_at=last)

    def _alert(self, source: SourceSettings, kind: Any, **fields: Any) -> bool:
        from registration_pipeline.notify.sending import BRIEF
        from registration_pipeline.project.alerts import alert_trouble

        return alert_trouble(self._project, source, kind, self._warn, at=self._now, patience=BRIEF, **fields)

    def _send_again(self, source: SourceSettings) -> None:
        from registration_pipeline.project.alerts import send_again

        send_again(self._project, source, self._warn, now=self._now)


def _last_tick(cron: str, zone: str, after: float, until: datetime) -> datetime | None:
    """Return the last tick of a schedule after a time stamp and not behind a time."""
    last = next(iter(schedule_execution_time_iterator(until.timestamp(), cron, zone, ascending=False)))
    return last if last.timestamp() > after else None
