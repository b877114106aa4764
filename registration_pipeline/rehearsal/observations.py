"""What a rehearsal saw: plain facts, gathered step by step.

What does not belong here: what they mean (``findings/``) and how they are gathered (``trial.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import unquote

from registration_pipeline.submission.gateway import JobStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from registration_pipeline.objects import MediaKind
    from registration_pipeline.planning.units import PlannedUnit
    from registration_pipeline.submission.gateway import JobReport, RemoteItem
    from registration_pipeline.submission.trial import Reply


class Step(StrEnum):
    """The upload jobs of a rehearsal, in their order."""

    FIRST = "first"
    AGAIN = "again"
    OVERLAP = "overlap"
    UNREADABLE = "unreadable"
    RESPELLED = "respelled"
    UNKNOWN_KEY = "unknown-key"
    SIDE_BY_SIDE = "side-by-side"
    SIDE_BY_SIDE_TOO = "side-by-side-too"
    WITH_ERROR = "with-error"
    MEDIA_JSON = "media-json"
    UPSERT = "upsert"
    MEDIA_TYPED = "media-typed"
    GROUPS = "groups"
    GROUPS_AGAIN = "groups-again"
    KIND = "kind"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTrial:
    """One upload job and what the folder showed after it.

    Args:
        units: what was sent.
        began_at: our clock at the start call.
        ended_at: our clock when the end was seen.
        seconds: from Encord's acceptance of the job until the end was seen.
        report: the job at its end.
        before: the folder's items before the job.
        listed: the folder's items at last.
        lag_seconds: from the end until the listing showed what it should; None: it never did while it was waited for.
        listings: how many listings that took.
        counted: the folder's item count at last.
        count_lag_seconds: the same for the count of items.
    """

    units: tuple[PlannedUnit, ...]
    began_at: datetime
    ended_at: datetime
    seconds: float
    report: JobReport
    before: tuple[RemoteItem, ...] = ()
    listed: tuple[RemoteItem, ...] = ()
    lag_seconds: float | None = 0.0
    listings: int = 1
    counted: int = 0
    count_lag_seconds: float | None = 0.0

    @property
    def added(self) -> tuple[RemoteItem, ...]:
        """Items that the folder did not hold before."""
        known = {item.item_uuid for item in self.before}
        return tuple(item for item in self.listed if item.item_uuid not in known)

    @property
    def is_done(self) -> bool:
        """Whether Encord ended the job regularly."""
        return self.report.status is JobStatus.DONE

    @property
    def has_groups(self) -> bool:
        """Whether a unit of several objects was sent."""
        return any(len(unit.objects) > 1 for unit in self.units)

    @property
    def added_units(self) -> tuple[PlannedUnit, ...]:
        """Units that an item came into the folder for."""
        return tuple(unit for unit in self.units if items_of(unit, self.added))

    @property
    def failed_units(self) -> tuple[PlannedUnit, ...]:
        """Units that the job names in an error, by their URLs."""
        urls = {unquote(url) for error in self.report.unit_errors for url in error.object_urls}
        return tuple(unit for unit in self.units if unquote(url_of(unit)) in urls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """An answer of PENDING: how long it was asked to be held, and how long it took, in seconds."""

    asked: float
    took: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """The folder read in small pages, in one direction.

    Args:
        sizes: items of each page.
        page_size: as asked for.
        is_ended: False: there were more pages than there can be, and the reading was stopped.
    """

    items: tuple[RemoteItem, ...]
    sizes: tuple[int, ...]
    page_size: int
    is_ended: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TitleSearch:
    """How many units of the first job a search of the folder found.

    Args:
        units: how many were searched for.
        by_title: found by their whole title.
        by_beginning: found by what the titles of all of them begin with; None: they begin with nothing in common.
    """

    units: int
    by_title: int
    by_beginning: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """Items that were deleted.

    Args:
        gone_seconds: from the deletion until the listing showed none of them; None: it still did at last.
        is_refused_in_bulk: whether a look-up of one of them by its UUID was refused.
    """

    items: int
    gone_seconds: float | None
    is_refused_in_bulk: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaTrial:
    """The media metadata that was sent with one object, and what its item shows; both in neutral names.

    Args:
        kind: of the object.
        sent: values that the object does not have.
        shown: None: there is no item.
    """

    kind: MediaKind
    sent: Mapping[str, object]
    shown: Mapping[str, object] | None

    @property
    def matching(self) -> frozenset[str]:
        """Names of the values that the item shows as they were sent."""
        return frozenset(name for name, value in self.sent.items() if (self.shown or {}).get(name) == value)


@dataclass(slots=True, kw_only=True)
class Observations:
    """Everything that a rehearsal saw so far. Steps that were not come to are missing.

    Args:
        is_found_by_name: whether a search by name found the folder that was made; None: it was not tried.
        found_after_seconds: how long that took; None: it was never found.
        jobs: by step.
        refused: what Encord said of manifests that it did not accept.
        kinds: by list of the upload format, for kinds besides the main one: the job, or what Encord said of the manifest.
        polls: answers of PENDING.
        oldest_first: the folder of the first job in small pages.
        newest_first: the same in the other direction.
        title_search: searches for the units of the first job.
        deletion: the first deletion of all items.
        was_pending: whether the first of two jobs side by side was pending when the second had been accepted.
        is_unknown_job_refused: whether a job that never was is answered with an error that is not transient.
        job_kept: whether the first job was known at the end, and how many seconds after its own end that was.
        upload_jobs_pending: the summary's count of jobs while one was pending; None: none was seen pending.
        upload_jobs_ended: the same after all jobs had ended.
        patched: client metadata of an item before some keys of it were patched, and after.
        patch_refusal: what Encord said of the patch.
        media: what items show of the media metadata that was sent, by the step that sent it.
        upserted: client metadata of an item before an upsert, and after.
        replies: of every request.
        longest_wait: the longest time, in seconds, that items were waited for to show in the folder.
    """

    found_after_seconds: float | None = None
    is_found_by_name: bool | None = None
    jobs: dict[Step, JobTrial] = field(default_factory=dict)
    refused: dict[Step, str] = field(default_factory=dict)
    kinds: dict[str, JobTrial | str] = field(default_factory=dict)
    polls: list[Poll] = field(default_factory=list)
    oldest_first: Pages | None = None
    newest_first: Pages | None = None
    title_search: TitleSearch | None = None
    deletion: Deletion | None = None
    was_pending: bool | None = None
    is_unknown_job_refused: bool | None = None
    job_kept: tuple[bool, float] | None = None
    upload_jobs_pending: int | None = None
    upload_jobs_ended: int | None = None
    patched: tuple[dict[str, object], dict[str, object]] | None = None
    patch_refusal: str | None = None
    media: dict[Step, tuple[MediaTrial, ...]] = field(default_factory=dict)
    upserted: tuple[dict[str, object], dict[str, object]] | None = None
    replies: list[Reply] = field(default_factory=list)
    longest_wait: float = 0.0

    def all_jobs(self) -> dict[str, JobTrial]:
        """Return every job that ended, by a name for people."""
        kinds = {f"{Step.KIND} {name}": job for name, job in self.kinds.items() if isinstance(job, JobTrial)}
        return {step.value: job for step, job in self.jobs.items()} | kinds


def url_of(unit: PlannedUnit) -> str:
    """Return the URL of a unit of one object, and of a unit of several the first one."""
    return unit.objects[0].object_url


def items_of(unit: PlannedUnit, items: tuple[RemoteItem, ...]) -> list[RemoteItem]:
    """Return the items that are the unit's by any of what they carry: our id, the title or the URL."""
    url = unquote(url_of(unit))
    return [
        item
        for item in items
        if item.unit_id == unit.unit_id or item.name == unit.title or (item.url and unquote(item.url) == url)
    ]


def doubled(units: tuple[PlannedUnit, ...], items: tuple[RemoteItem, ...]) -> int:
    """Return how many items there are beyond one for each unit."""
    return sum(max(0, len(items_of(unit, items)) - 1) for unit in units)
