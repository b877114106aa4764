"""Observations of a rehearsal in which everything is as the rules assume, to be changed by a test."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.units import PlannedObject, PlannedUnit
from registration_pipeline.rehearsal.manifests import CHANGED_KEY, CHANGED_VALUE, KEPT_KEY, group_of
from registration_pipeline.rehearsal.observations import Deletion, JobTrial, MediaTrial, Observations, Pages, Poll, Step
from registration_pipeline.submission.gateway import JobItem, JobReport, JobStatus, RemoteItem, UnitError
from registration_pipeline.submission.trial import Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

START: Final = datetime(2026, 11, 27, 2, tzinfo=UTC)
URL: Final = "https://bucket.s3.eu-west-2.amazonaws.com/raw/"


def unit(name: str, kind: MediaKind = MediaKind.IMAGE) -> PlannedUnit:
    return PlannedUnit(f"id-{name}", kind, f"raw/{name}", (PlannedObject(f"raw/{name}", f"{URL}{name}", 10),), 0)


def item(of: PlannedUnit, **changes: Any) -> RemoteItem:
    fields: dict[str, Any] = {
        "item_uuid": f"item-{of.title}",
        "name": of.title,
        "url": of.objects[0].object_url,
        "unit_id": of.unit_id,
        "created_at": START + timedelta(seconds=1),
    }
    return RemoteItem(**fields | changes)


OLD: Final = tuple(unit(f"{number}.jpg") for number in range(5))
NEW: Final = tuple(unit(f"new-{number}.jpg") for number in range(2))
MISSING: Final = unit("missing.jpg")
GROUP: Final = group_of(OLD[:2], "group")
BAD_GROUP: Final = group_of((MISSING, OLD[2]), "bad")
PART_GROUP: Final = group_of(OLD[1:3], "part")


def job(
    units: Sequence[PlannedUnit],
    *,
    before: Sequence[RemoteItem] = (),
    added: Sequence[RemoteItem] = (),
    report: JobReport | None = None,
    **changes: Any,
) -> JobTrial:
    """Return a job that listed and counted what it added."""
    named = tuple(JobItem(one.item_uuid, one.name) for one in added)
    listed = (*before, *added)
    trial = JobTrial(
        units=tuple(units),
        began_at=START,
        ended_at=START + timedelta(seconds=2),
        seconds=1.0,
        report=report or JobReport(status=JobStatus.DONE, items=named, units_done=len(added)),
        before=tuple(before),
        listed=listed,
        counted=len(listed),
    )
    return replace(trial, **changes)


def media(kind: MediaKind = MediaKind.IMAGE, *, lost: tuple[str, ...] = (), **sent: object) -> MediaTrial:
    """Return what an item shows of media metadata: all but what was lost, which it shows as another value."""
    sent = sent or {"width": 1234, "file_size": 7_654_321}
    return MediaTrial(kind=kind, sent=sent, shown={**sent, **dict.fromkeys(lost, 1)})


def groups(*urls: str, **changes: Any) -> JobTrial:
    """Return a job of two groups whose error of the bad one names these URLs."""
    error = UnitError(object_urls=urls, message="404 Not Found")
    report = JobReport(status=JobStatus.DONE, unit_errors=(error,), units_done=1, units_error=1)
    return job((GROUP, BAD_GROUP), added=[item(GROUP)], report=report, **changes)


def good() -> Observations:
    held = [item(one) for one in OLD]
    all_held = [*held, *(item(one) for one in NEW)]
    failed = JobReport(
        status=JobStatus.DONE,
        unit_errors=(UnitError(object_urls=(MISSING.objects[0].object_url,), message="404 Not Found"),),
        units_error=1,
    )
    twice = job(OLD, added=held)
    pages = Pages(items=tuple(held), sizes=(2, 2, 1), page_size=2)
    return Observations(
        is_found_by_name=True,
        found_after_seconds=0.1,
        jobs={
            Step.FIRST: job(OLD, added=held),
            Step.AGAIN: job(OLD, before=held),
            Step.OVERLAP: job((*OLD[:3], *NEW), before=held, added=[item(one) for one in NEW]),
            Step.UNREADABLE: job((MISSING,), before=all_held, report=failed),
            Step.SIDE_BY_SIDE: twice,
            Step.SIDE_BY_SIDE_TOO: replace(twice, report=JobReport(status=JobStatus.DONE)),
            Step.MEDIA_JSON: job(OLD[:1], added=held[:1]),
            Step.UPSERT: job(OLD[:1], before=held[:1]),
            Step.MEDIA_TYPED: job(OLD[:1], added=held[:1]),
            Step.GROUPS: groups(MISSING.objects[0].object_url),
            Step.GROUPS_AGAIN: job((GROUP, PART_GROUP), before=[item(GROUP)], added=[item(PART_GROUP)]),
        },
        polls=[Poll(asked=1.0, took=1.0)],
        oldest_first=pages,
        newest_first=replace(pages, items=tuple(reversed(held))),
        deletion=Deletion(items=7, gone_seconds=0.1, is_refused_in_bulk=True),
        media={Step.MEDIA_JSON: (media(),), Step.MEDIA_TYPED: (media(),)},
        upserted=({KEPT_KEY: "first", CHANGED_KEY: "first"}, {KEPT_KEY: "first", CHANGED_KEY: CHANGED_VALUE}),
        was_pending=True,
        is_unknown_job_refused=True,
        job_kept=(True, 20.0),
        upload_jobs_ended=0,
        replies=[reply()],
    )


def reply(**changes: Any) -> Reply:
    fields: dict[str, Any] = {"status": 200, "seconds": 0.2, "at": START, "received_at": START, "limits": {}}
    return Reply(**fields | changes)


@pytest.fixture
def seen() -> Observations:
    """Everything as the rules assume."""
    return good()
