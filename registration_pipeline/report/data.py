"""What a report says, as values. Gathering them is in ``gather.py``, what they are shown as in ``page.py``.

Nothing here grows with the number of objects: rows are counted, and only the worst and the newest are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.tracking.failures.files import FailureRow
    from registration_pipeline.tracking.status import SourceStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonFigures:
    """What has one reason in one stage.

    Args:
        stage: of ``FailureRow``.
        remedy: who has to act, and how.
        rows: failed units and rejected objects.
        objects: of those rows.
        is_accepted: the source's ``accept_rejected`` names the reason: no action is needed.
    """

    stage: str
    reason: str
    remedy: str
    rows: int
    objects: int
    is_accepted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixFigures:
    """Failures below one folder of the bucket.

    Args:
        prefix: the first segments of the path below the source's own prefix; empty: objects that are in no folder.
        rows: failed units and rejected objects.
        objects: of those rows.
        reason: the most frequent one.
    """

    prefix: str
    rows: int
    objects: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureFigures:
    """The failure log of a source in figures.

    Args:
        rows: of the whole log.
        objects: that are not registered.
        reasons: the most objects first.
        prefixes: the worst, the most objects first.
        more_prefixes: how many others there are.
        is_exact: False: there were too many prefixes to count each, and those shown have at least this many.
        first: the first rows.
    """

    rows: int = 0
    objects: int = 0
    reasons: tuple[ReasonFigures, ...] = ()
    prefixes: tuple[PrefixFigures, ...] = ()
    more_prefixes: int = 0
    is_exact: bool = True
    first: tuple[FailureRow, ...] = ()

    @property
    def accepted_objects(self) -> int:
        """Rejected objects whose reason the source accepts."""
        return sum(reason.objects for reason in self.reasons if reason.is_accepted)


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryFigures:
    """One listing of the bucket.

    Args:
        at: when it began, UTC.
        seconds: how long it took.
        requests: that were made to the store.
    """

    inventory_id: str
    at: datetime
    objects: int
    bytes: int
    seconds: float
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFigures:
    """Upload jobs of a time.

    Args:
        jobs: that ended with a verdict.
        median_seconds: from Encord's acceptance of a manifest to the verdict; None: there was no job.
        p95_seconds: 95 of 100 jobs took at most this long.
        busy_seconds: during which at least one job was open.
        objects_per_second: objects of these jobs divided by ``busy_seconds``.
    """

    jobs: int = 0
    median_seconds: float | None = None
    p95_seconds: float | None = None
    busy_seconds: float = 0.0
    objects_per_second: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFigures:
    """One day with a verdict, in the source's time zone.

    Args:
        last_at: of the day's last verdict, UTC.
        registered: objects that became registered; negative when more were lost than gained.
        registered_total: from the first day to the end of this one, also of objects that the bucket does not hold any more.
    """

    day: date
    last_at: datetime
    jobs: JobFigures
    registered: int
    registered_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFigures:
    """The newest audit.

    Args:
        findings: rows by finding, also those with 0.
        is_clean: bucket, ledger and Encord agree.
        inventory_id: the listing that was compared.
    """

    audit_id: str
    at: datetime
    inventory_id: str
    items: int
    findings: Mapping[str, int]
    is_clean: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """One source.

    Args:
        uri: what is listed.
        folder: in Encord, as configured.
        stale_after_hours: ``freshness_hours``; None: the source never counts as stale.
        inventories: the newest ones, the oldest first.
        days: the newest days with a verdict, the oldest first.
        jobs: of all time.
    """

    source: str
    uri: str
    folder: str
    timezone: str
    stale_after_hours: int | None
    status: SourceStatus
    failures: FailureFigures
    inventories: tuple[InventoryFigures, ...] = ()
    days: tuple[DayFigures, ...] = ()
    jobs: JobFigures = JobFigures()
    audit: AuditFigures | None = None

    @property
    def attention(self) -> int:
        """Objects that wait for a person: failed ones, and rejected ones whose reason is not accepted."""
        return self.status.failed + max(0, self.status.rejected - self.failures.accepted_objects)

    def is_stale(self, at: datetime) -> bool:
        """Return whether the last sync is too long ago."""
        last, hours = self.status.last_sync_at, self.stale_after_hours
        return hours is not None and last is not None and (at - last).total_seconds() > hours * 3600

    def as_json(self) -> dict[str, Any]:
        """Return the source's part of ``report --json``."""
        shown = {field.name: _plain(getattr(self, field.name)) for field in fields(self) if field.name != "status"}
        return {**shown, "status": self.status.as_json(), "attention": self.attention}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The state of some sources at one moment.

    Args:
        at: UTC.
        version: of the pipeline.
        state: where the state lives.
    """

    at: datetime
    version: str
    state: str
    sources: tuple[SourceReport, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the document of ``report --json``."""
        sources = {source.source: source.as_json() for source in self.sources}
        return {"at": _plain(self.at), "version": self.version, "state": self.state, "sources": sources}


def _plain(value: Any) -> Any:
    """Return a value in JSON's types; times are ISO 8601."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return dict(value) if hasattr(value, "items") else value
