"""How often and how long a call to Encord is repeated: the only owner of retries, and the only user of tenacity.

Which errors may be repeated is decided by their class (``TransientError``), never here.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from tenacity import Retrying, stop_after_attempt, stop_after_delay

from registration_pipeline.errors import (
    AmbiguousError,
    HaltError,
    NotFoundError,
    PermanentError,
    ServiceUnavailableError,
    StoppedError,
    ThrottledError,
    TransientError,
)
from registration_pipeline.tracing import watched_calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

    from registration_pipeline.submission.calls.pace import Pace

__all__ = ["RetryPolicy", "StoppedError"]

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Full jitter on an exponential, with the service's own hint as the lower bound.

    Args:
        attempts: calls in all. Six with a base of one second wait half a minute on average in sum.
        longest_seconds: no further wait begins when this much time has gone.
        cap_seconds: the longest single wait that we choose ourselves; a hint of the service may be longer.
        hint_cap_seconds: the longest hint that is followed; a longer one halts instead of sleeping for hours.
        confirmations: how often in a row the service must refuse the key, a permission or a place before everything stops:
            one 401 of a gateway in between must not end a night's run.
        pace: how fast may be asked; None: as fast as the callers are.
        source: in whose name ``pace`` is asked.
        advice: what to do when patience ends, as a sentence.
        sleep: injected so that tests do not wait; by default a wait that ``stop`` ends.
        jitter: draws a number between two.
        stop: set when nothing more may be sent.
    """

    attempts: int = 6
    longest_seconds: float = 900
    cap_seconds: float = 60
    hint_cap_seconds: float = 600
    confirmations: int = 3
    pace: Pace | None = None
    source: str = ""
    advice: str = "Nothing is lost; run again later."
    sleep: Callable[[float], object] | None = None
    jitter: Callable[[float, float], float] = field(default=random.uniform)
    stop: threading.Event = field(default_factory=threading.Event)

    def until(self, stop: threading.Event) -> RetryPolicy:
        """Return the policy that gives up when ``stop`` is set."""
        return replace(self, stop=stop)

    def pause(self, seconds: float) -> None:
        """Wait, but not past a stop.

        Raises:
            StoppedError: nothing more may be sent.
        """
        (self.sleep or self.stop.wait)(seconds)
        if self.stop.is_set():
            raise StoppedError("A wait for Encord was cut short because the submission stops; run again.")

    def call(self, what: str, function: Callable[[], _Result]) -> _Result:
        """Call until it passes, fails for good, or patience ends.

        Raises:
            ServiceUnavailableError: it was still failing transiently at the end, or Encord asks for a longer wait than
                ``hint_cap_seconds``.
            StoppedError: nothing more may be sent.
        """
        return self._call(what, function, confirmed=())

    def read(self, what: str, function: Callable[[], _Result]) -> _Result:
        """Like ``call``, for reads that every chunk depends on: a refusal halts instead of failing one chunk.

        Raises:
            NotFoundError: Encord will never answer this read as it is.
            ServiceUnavailableError, StoppedError: as ``call``.
        """
        try:
            return self._call(what, function, confirmed=(PermanentError,))
        except PermanentError as error:
            raise NotFoundError(
                f"Encord refused {what}: {error}. Check that the folder and the integration of the source exist and that "
                "the key's user may use them."
            ) from error

    def _call(self, what: str, function: Callable[[], _Result], *, confirmed: tuple[type[Exception], ...]) -> _Result:
        retrying = Retrying(
            retry=_Patience(self.hint_cap_seconds, self.confirmations, confirmed),
            wait=self._wait,
            stop=stop_after_attempt(self.attempts) | stop_after_delay(self.longest_seconds),
            sleep=self.pause,
            reraise=True,
        )
        try:
            with watched_calls() as calls:
                return retrying(lambda: self._in_turn(function))
        except TransientError as error:
            tries = retrying.statistics["attempt_number"]
            hint = f" It asks to wait {_hint(error):.0f} s." if _hint(error) > self.hint_cap_seconds else ""
            attempts = "1 attempt" if tries == 1 else f"{tries} attempts"
            raise ServiceUnavailableError(
                f"Encord did not respond after {attempts} ({what}): {error}.{hint} {self.advice} "
                "If it lasts, check the network and Encord's address (ENCORD_DOMAIN, else encord.domain)."
                # A call that could not connect has an id that Encord never saw.
                + (f" Encord's trace id of the last call is {calls.newest}." if calls.newest and error.was_sent else "")
            ) from error

    def _in_turn(self, function: Callable[[], _Result]) -> _Result:
        """Ask when it is this source's turn, and report to the pace how it went."""
        if self.pace is None:
            return function()
        self.pace.turn(self.source, self.stop)
        try:
            result = function()
        except ThrottledError as error:
            self.pace.throttled(error.retry_after_seconds)
            raise
        except AmbiguousError as error:
            if isinstance(error.refusal, ThrottledError):
                self.pace.throttled(error.refusal.retry_after_seconds)
            raise
        self.pace.answered()
        return result

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        hint = _hint(error) if isinstance(error, TransientError) else 0.0
        return max(hint, self.jitter(0.0, min(self.cap_seconds, 2.0**state.attempt_number)))


class _Patience:
    """Decides for one call whether it is repeated: transient errors always, refusals until they are confirmed."""

    def __init__(self, hint_cap_seconds: float, confirmations: int, confirmed: tuple[type[Exception], ...]) -> None:
        self._hint_cap_seconds, self._confirmations, self._confirmed = hint_cap_seconds, confirmations, confirmed
        self._refusals = 0

    def __call__(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TransientError):
            self._refusals = 0
            return _hint(error) <= self._hint_cap_seconds
        is_refusal = isinstance(error, self._confirmed) or (isinstance(error, HaltError) and error.is_reply)
        self._refusals += is_refusal
        return is_refusal and self._refusals < self._confirmations


def _hint(error: TransientError) -> float:
    return error.retry_after_seconds or 0.0
