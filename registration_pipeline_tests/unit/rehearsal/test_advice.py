"""Which settings follow from which observations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.rehearsal.advice import settings_advice
from registration_pipeline.rehearsal.observations import Observations, Poll, Step
from registration_pipeline.settings import SourceSettings
from registration_pipeline_tests.unit.rehearsal.conftest import OLD, good, item, reply

if TYPE_CHECKING:
    from registration_pipeline.rehearsal.advice import Advice

SETTLE, IN_FLIGHT, TIMEOUT = "sources.fleet.settle_seconds", "sources.fleet.max_in_flight", "encord.timeout_seconds"


def advised(seen: Observations, **settings: Any) -> dict[str, Advice]:
    base: dict[str, Any] = {"name": "fleet", "uri": "s3://bucket/raw/", "storage": {"region": "eu-west-2"}}
    source = SourceSettings.model_validate(base | settings)
    return {advice.key: advice for advice in settings_advice(seen, source, lag_limit=60.0, timeout_seconds=120)}


def slow(seen: Observations, seconds: float, **changes: Any) -> Observations:
    seen.jobs[Step.FIRST] = replace(seen.jobs[Step.FIRST], seconds=seconds, **changes)
    return seen


def doubling(seen: Observations) -> Observations:
    both = tuple(item(one, item_uuid=f"{number}-{one.title}") for one in OLD for number in range(2))
    seen.jobs[Step.SIDE_BY_SIDE_TOO] = replace(seen.jobs[Step.SIDE_BY_SIDE_TOO], listed=both)
    return seen


@pytest.mark.parametrize(
    ("seen", "seconds"),
    [
        pytest.param(good(), 120, id="quick jobs that double nothing"),
        pytest.param(slow(good(), 45.0), 120, id="slow jobs that double nothing"),
        pytest.param(doubling(good()), 120, id="quick jobs that double"),
        pytest.param(slow(doubling(good()), 45.0), 450, id="slow jobs that double"),
        pytest.param(slow(good(), 1.0, lag_seconds=50.0, listings=9), 150, id="a folder that is behind"),
        pytest.param(slow(good(), 1.0, lag_seconds=None, listings=99), 180, id="a folder that never shows items"),
        pytest.param(slow(good(), 1.0, count_lag_seconds=None), 180, id="a count that never follows"),
    ],
)
def test_settle_seconds_follow_from_jobs_lag_and_doubles(seen: Observations, seconds: int) -> None:
    advice = advised(seen)[SETTLE]

    assert advice.value == seconds
    assert advice.is_change is (seconds != 120)


def test_a_smaller_value_is_never_advised() -> None:
    assert advised(good(), settle_seconds=900)[SETTLE].value == 900


def test_a_value_below_the_least_is_raised() -> None:
    assert advised(good(), settle_seconds=0)[SETTLE].value == 30


def test_not_knowing_whether_jobs_double_counts_as_doubling() -> None:
    seen = slow(good(), 45.0)
    del seen.jobs[Step.SIDE_BY_SIDE_TOO]

    assert advised(seen)[SETTLE].value == 450


@pytest.mark.parametrize(("status", "jobs"), [(200, 4), (429, 1)])
def test_throttled_requests_advise_one_job_at_a_time(status: int, jobs: int) -> None:
    seen = good()
    seen.replies.append(reply(status=status))

    assert advised(seen)[IN_FLIGHT].value == jobs


def test_a_slow_reply_advises_a_longer_timeout_and_a_held_poll_does_not() -> None:
    seen = good()
    seen.replies.append(reply(seconds=80.0))
    assert advised(seen)[TIMEOUT].value == 158
    seen.polls.append(Poll(asked=60.0, took=60.0))
    assert advised(seen)[TIMEOUT].value == 120


def test_nothing_is_advised_where_nothing_was_seen() -> None:
    assert advised(Observations()) == {}
