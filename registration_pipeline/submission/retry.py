"""How often and how long a call to Encord is repeated: the only owner of retries, and the only user of tenacity.

Which errors may be repeated is decided by their class (``TransientError``), never here.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay

from registration_pipeline.errors import (
    HaltError,
    NotFoundError,
    PermanentError,
    ServiceUnavailableError,
    TransientError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

_Result = TypeVar("_Result")


class StoppedError(HaltError):
    """Work on a chunk stopped because the whole submission halts; its journal says where to go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Full jitter on an exponential, with the service's own hint as the lower bound.

    Args:
        attempts: calls in all. Six with a base of one second wait half a minute on average in sum.
        longest_seconds: no further wait begins when this much time has gone.
        cap_seconds: the longest single wait that we choose ourselves; a hint of the service may be longer.
        hint_cap_seconds: the longest hint that is followed; a longer one halts instead of sleeping for hours.
        sleep: injected so that tests do not wait; by default a wait that ``stop`` ends.
        jitter: draws a number between two.
        stop: set when nothing more may be sent.
    """

    attempts: int = 6
    longest_seconds: float = 900
    cap_seconds: float = 60
    hint_cap_seconds: float = 600
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
        retrying = Retrying(
            retry=retry_if_exception(self._may_be_repeated),
            wait=self._wait,
            stop=stop_after_attempt(self.attempts) | stop_after_delay(self.longest_seconds),
            sleep=self.pause,
            reraise=True,
        )
        try:
            return retrying(function)
        except TransientError as error:
            tries = retrying.statistics["attempt_number"]
            hint = f" It asks to wait {_hint(error):.0f} s." if _hint(error) > self.hint_cap_seconds else ""
            raise ServiceUnavailableError(
                f"Encord does not answer usefully ({what}, tries: {tries}): {error}.{hint} Nothing is lost; run again "
                "later. If it lasts, check the network and Encord's address (ENCORD_DOMAIN, else encord.domain)."
            ) from error

    def read(self, what: str, function: Callable[[], _Result]) -> _Result:
        """Like ``call``, for reads that every chunk depends on: a refusal halts instead of failing one chunk.

        Raises:
            NotFoundError: Encord will never answer this read as it is.
            ServiceUnavailableError, StoppedError: as ``call``.
        """
        try:
            return self.call(what, function)
        except PermanentError as error:
            raise NotFoundError(
                f"Encord refused {what}: {error}. Check that the folder and the integration of the source exist and that "
                "the key's user may use them."
            ) from error

    def _may_be_repeated(self, error: BaseException) -> bool:
        return isinstance(error, TransientError) and _hint(error) <= self.hint_cap_seconds

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        hint = _hint(error) if isinstance(error, TransientError) else 0.0
        return max(hint, self.jitter(0.0, min(self.cap_seconds, 2.0**state.attempt_number)))


def _hint(error: TransientError) -> float:
    return error.retry_after_seconds or 0.0
