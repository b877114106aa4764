"""A job that ends without naming an object proves nothing: only an item's UUID makes it registered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.submission.gateway import JobItem, JobReport, UnitError

if TYPE_CHECKING:
    from collections.abc import Callable

FORBIDDEN = "Could not read object: 403"


@pytest.fixture
def fleet(fleet_of: Any) -> Any:
    """One chunk of five images, of which Encord can't read two."""
    fleet = fleet_of(*(f"{letter}.jpg" for letter in "abcde"), chunk_size={"images": 5})
    fleet.encord.fails = lambda url: FORBIDDEN if url in bad(fleet) else None
    return fleet


def bad(fleet: Any) -> set[str]:
    return set(fleet.urls()[1:3])


def without_urls(report: JobReport) -> JobReport:
    return replace(report, unit_errors=tuple(replace(error, object_urls=()) for error in report.unit_errors))


def first_twice(report: JobReport) -> JobReport:
    return replace(report, unit_errors=report.unit_errors[:1] * len(report.unit_errors))


def text_only(report: JobReport) -> JobReport:
    return replace(report, unit_errors=(), units_error=0, errors=(FORBIDDEN,))


def nowhere(report: JobReport) -> JobReport:
    return replace(report, unit_errors=(), units_error=0)


def counted_as_done(report: JobReport) -> JobReport:
    return replace(nowhere(report), units_done=5)


def counted_as_skipped(report: JobReport) -> JobReport:
    return replace(nowhere(report), units_cancelled=len(report.unit_errors))


def of_a_stranger(report: JobReport) -> JobReport:
    strange = UnitError(object_urls=("https://elsewhere/x.jpg",), message=FORBIDDEN)
    return replace(report, unit_errors=(strange,) * len(report.unit_errors))


def with_one_item_for_all(report: JobReport) -> JobReport:
    every = ("raw/a.jpg", "raw/b.jpg", "raw/c.jpg", "raw/d.jpg", "raw/e.jpg")
    return replace(nowhere(report), items=tuple(JobItem(report.items[0].item_uuid, name) for name in every))


def with_other_names(report: JobReport) -> JobReport:
    return replace(report, items=tuple(item._replace(name=item.name.upper()) for item in report.items))


LOST = [
    pytest.param(with_other_names, 0, id="names that are not our titles"),
    pytest.param(without_urls, 2, id="errors without any URL"),
    pytest.param(first_twice, 1, id="one failure listed twice, the other not"),
    pytest.param(text_only, 2, id="only a text of the job"),
    pytest.param(nowhere, 2, id="in no list and no count"),
    pytest.param(counted_as_done, 2, id="counted as done"),
    pytest.param(counted_as_skipped, 0, id="counted as cancelled"),
    pytest.param(of_a_stranger, 2, id="errors for URLs that were not sent"),
    pytest.param(with_one_item_for_all, 2, id="one item for several objects"),
]


@pytest.mark.parametrize(("tells", "unaccounted"), LOST)
def test_what_a_job_does_not_name_and_the_folder_does_not_show_is_unaccounted(
    fleet: Any, tells: Callable[[JobReport], JobReport], unaccounted: int
):
    fleet.encord.tells = tells

    (result,) = fleet.register()

    fleet.assert_exactly_once(failing=bad(fleet))
    assert result.reasons.get("unaccounted", 0) == unaccounted
    assert all(outcome.item_uuid for outcome in fleet.outcomes() if outcome.verdict.is_registered)


@pytest.mark.parametrize(("tells", "unaccounted"), LOST)
def test_what_is_unaccounted_is_registered_by_the_next_retry(
    fleet: Any, tells: Callable[[JobReport], JobReport], unaccounted: int
):
    del unaccounted
    fleet.encord.tells = tells
    fleet.register()
    fleet.encord.fails = lambda _: None

    fleet.register(retry_failed=True)

    fleet.assert_exactly_once()
    assert all(outcome.item_uuid for outcome in fleet.outcomes())


def nothing_named(report: JobReport) -> JobReport:
    return replace(report, items=(), unit_errors=(), units_error=0, units_pending=5, units_done=0)


@pytest.mark.parametrize("trouble", ["503 try again", None], ids=["nothing was registered", "all was registered"])
def test_a_job_that_ends_with_units_pending_is_asked_again_after_quiet(fleet: Any, trouble: str | None):
    """What it still registers after a retry was started would be there twice."""
    fleet.encord.fails = lambda _: trouble
    fleet.encord.tells = nothing_named

    (result,) = fleet.register(settle_seconds=120)

    assert sum(fleet.time.slept) >= 120
    assert dict(result.reasons) == ({"unaccounted": 5} if trouble else {})
    fleet.assert_exactly_once(failing=set(fleet.urls()) if trouble else set())
    assert (result.attempt, len(fleet.encord.manifests)) == (1, 1)
    fleet.encord.fails = lambda _: None
    fleet.register(retry_failed=True)
    fleet.assert_exactly_once()


def test_a_job_that_names_everything_is_not_asked_again_whatever_it_counts(fleet: Any):
    fleet.encord.fails = lambda _: None
    fleet.encord.tells = lambda report: replace(report, units_pending=5)

    (result,) = fleet.register()

    assert (result.state.value, fleet.time.slept) == ("succeeded", [1])
