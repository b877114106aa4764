"""How often and how long a call is repeated."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import (
    AmbiguousError,
    CredentialsError,
    HaltError,
    NotFoundError,
    PermanentError,
    PermissionDeniedError,
    ServiceUnavailableError,
    TransientError,
)
from registration_pipeline.submission.calls.retry import RetryPolicy, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable


class Service:
    """Fails as scripted, then answers with the number of calls."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


def transient(*hints: float | None) -> list[TransientError]:
    return [TransientError("429", retry_after_seconds=hint) for hint in hints]


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def policy(waits: list[float]) -> RetryPolicy:
    """Waits as long as it may, and not at all."""
    return RetryPolicy(sleep=waits.append, jitter=lambda _low, high: high)


def test_a_transient_error_is_repeated_with_growing_waits_up_to_the_cap(policy: RetryPolicy, waits: list[float]):
    service = Service(*transient(None, None, None))

    assert policy.call("asking", service) == 4
    assert waits == [2, 4, 8]


def test_the_waits_are_jittered_from_zero(waits: list[float]):
    drawn: list[tuple[float, float]] = []

    def jitter(low: float, high: float) -> float:
        drawn.append((low, high))
        return high / 3

    policy = RetryPolicy(sleep=waits.append, jitter=jitter, cap_seconds=5)
    policy.call("asking", Service(*transient(None, None, None, None)))

    assert drawn == [(0, 2), (0, 4), (0, 5), (0, 5)]
    assert waits == [high / 3 for _, high in drawn]


def test_the_services_hint_is_a_lower_bound(policy: RetryPolicy, waits: list[float]):
    policy.call("asking", Service(*transient(90, 1)))

    assert waits == [90, 4]


def test_a_hint_beyond_patience_halts_at_once(policy: RetryPolicy, waits: list[float]):
    with pytest.raises(ServiceUnavailableError, match=r"after 1 attempt .*It asks to wait 7200 s"):
        policy.call("asking", Service(*transient(7200)))
    assert waits == []


def test_patience_ends_after_the_last_attempt(policy: RetryPolicy, waits: list[float]):
    service = Service(*transient(*[None] * 9))

    with pytest.raises(ServiceUnavailableError, match=r"after 6 attempts \(asking\): 429\. Nothing is lost"):
        policy.call("asking", service)
    assert (service.calls, len(waits)) == (6, 5)


@pytest.mark.parametrize("error", [PermanentError("400"), AmbiguousError("cut"), CredentialsError("401")], ids=repr)
def test_nothing_but_transient_errors_is_repeated(policy: RetryPolicy, error: Exception):
    service = Service(error)

    with pytest.raises(type(error)):
        policy.call("asking", service)
    assert service.calls == 1


def test_a_refused_read_halts(policy: RetryPolicy):
    with pytest.raises(NotFoundError, match="Encord refused listing folder f: 404: gone"):
        policy.read("listing folder f", Service(*[PermanentError("404: gone")] * 3))


def test_a_read_that_is_refused_once_is_asked_again(policy: RetryPolicy):
    assert policy.read("listing folder f", Service(PermanentError("404"), PermanentError("404"))) == 3


@pytest.mark.parametrize("kind", [CredentialsError, PermissionDeniedError, NotFoundError])
def test_a_refusal_halts_only_when_it_is_repeated(policy: RetryPolicy, kind: type[HaltError]):
    """A gateway in between may say 401 once; a night's run must not end of it."""
    assert policy.call("asking", Service(kind("no", is_reply=True), kind("no", is_reply=True))) == 3

    service = Service(*[kind("no", is_reply=True)] * 3)
    with pytest.raises(kind):
        policy.call("asking", service)
    assert service.calls == 3


def test_refusals_that_come_between_other_troubles_are_not_counted_together(policy: RetryPolicy):
    refusal = CredentialsError("401", is_reply=True)

    assert policy.call("asking", Service(refusal, refusal, *transient(None), refusal, refusal)) == 6


def test_what_we_found_out_ourselves_halts_at_once(policy: RetryPolicy):
    service = Service(NotFoundError("no integration of that title"))
    with pytest.raises(NotFoundError):
        policy.call("asking", service)

    assert service.calls == 1


def test_a_stop_ends_a_wait_at_once_and_nothing_more_is_called():
    stop = threading.Event()
    policy = RetryPolicy(jitter=lambda _low, _high: 60).until(stop)
    service = Service(*transient(None, None))
    threading.Timer(0.05, stop.set).start()
    began = time.monotonic()

    with pytest.raises(StoppedError):
        policy.call("asking", service)

    assert time.monotonic() - began < 30, "the wait itself takes 60 s"
    assert service.calls == 1


def _tries(policy: RetryPolicy) -> Callable[[], int]:
    return Service(*transient(*[None] * (policy.attempts - 1)))


@pytest.mark.parametrize("attempts", [1, 2, 6])
def test_the_last_attempt_counts(waits: list[float], attempts: int):
    policy = RetryPolicy(attempts=attempts, sleep=waits.append)

    assert policy.call("asking", _tries(policy)) == attempts
