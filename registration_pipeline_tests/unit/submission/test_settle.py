"""Quiet counts only while the folder's item count does not change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import NotFoundError, PermanentError, ServiceUnavailableError, TransientError
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.settle import wait_for_quiet
from registration_pipeline.submission.testing import ScriptedGateway

if TYPE_CHECKING:
    from collections.abc import Callable


class Folder(ScriptedGateway):
    """A folder whose count follows the time."""

    def __init__(self, count_at: Callable[[float], int], now: Callable[[], float]) -> None:
        super().__init__()
        self.count_at, self.now, self.errors = count_at, now, list[Exception]()

    def count_items(self, folder_uuid: str) -> int:
        del folder_uuid
        if self.errors:
            raise self.errors.pop(0)
        return self.count_at(self.now())


@pytest.fixture
def quiet_of(new_fleet: Any) -> Callable[..., tuple[float, list[float]]]:
    """Wait for the quiet of a folder; returns the seconds that it took and the single waits."""

    def wait(count_at: Callable[[float], int], settle_seconds: float, *errors: Exception) -> tuple[float, list[float]]:
        time = new_fleet().time
        folder = Folder(count_at, time.monotonic)
        folder.errors = list(errors)
        took = wait_for_quiet(
            gateway=folder,
            retry=RetryPolicy(sleep=time.sleep, jitter=lambda _low, high: high),
            folder_uuid="f",
            settle_seconds=settle_seconds,
            sleep=time.sleep,
            monotonic=time.monotonic,
        )
        assert took == pytest.approx(time.monotonic())
        return took, time.slept

    return wait


def test_a_quiet_folder_takes_the_settle_time(quiet_of: Any):
    took, slept = quiet_of(lambda _: 7, 120)

    assert took == pytest.approx(120)
    assert max(slept) <= 10


def test_every_change_starts_the_quiet_again(quiet_of: Any):
    took, _ = quiet_of(lambda now: min(int(now // 50), 4), 120)

    assert 200 + 120 <= took <= 200 + 120 + 10


def test_items_that_go_away_are_a_change_too(quiet_of: Any):
    took, _ = quiet_of(lambda now: 10 if now < 60 else 9, 120)

    assert took >= 60 + 120


def test_time_spent_on_repeated_calls_before_the_first_count_is_no_quiet(quiet_of: Any):
    took, _ = quiet_of(lambda _: 7, 10, TransientError("429", retry_after_seconds=300))

    assert took >= 310


def test_no_quiet_is_asked_for_with_zero_seconds(quiet_of: Any):
    assert quiet_of(lambda _: 7, 0) == (0, [])


def test_a_folder_that_is_never_quiet_halts(quiet_of: Any):
    with pytest.raises(ServiceUnavailableError, match="has not been quiet for 120 s within 3600 s"):
        quiet_of(int, 120)


def test_a_folder_that_can_not_be_counted_halts(quiet_of: Any):
    with pytest.raises(NotFoundError, match="counting items of folder f: 404"):
        quiet_of(lambda _: 7, 120, *[PermanentError("404")] * 3)
