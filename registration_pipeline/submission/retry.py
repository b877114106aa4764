"""How often and how long a call to Encord is repeated: the only owner of retries, and the only user of tenacity.

Which errors may be repeated is decided by their class (``TransientError``), never here.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay

from registration_pipeline.errors import ServiceUnavailableError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Full jitter on an exponential, with the service's own hint as the lower bound.

    Args:
        attempts: calls in all. Six with a base of one second wait half a minute on average in sum.
        longest_seconds: no further call is made when this much time has gone.
        cap_seconds: the longest single wait that we choose ourselves; a hint of the service may be longer.
        hint_cap_seconds: the longest hint that is followed; a longer one halts instead of sleeping for hours.
        sleep: injected so that tests do not wait.
    """

    attempts: int = 6
    longest_seconds: float = 900
    cap_seconds: float = 60
    hint_cap_seconds: float = 600
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[float, float], float] = field(default=random.uniform)

    def call(self, what: str, function: Callable[[], _Result]) -> _Result:
        """Call until it passes, fails for good, or patience ends.

        Raises:
            ServiceUnavailableError: it was still failing transiently at the end.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            wait=self._wait,
            stop=stop_after_attempt(self.attempts) | stop_after_delay(self.longest_seconds),
            sleep=self.sleep,
            reraise=True,
        )
        try:
            return retrying(function)
        except TransientError as error:
            raise ServiceUnavailableError(
                f"Encord does not answer usefully ({what}), {self.attempts} tries: {error}. Nothing is lost; run again later."
            ) from error

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        hint = min(getattr(error, "retry_after_seconds", None) or 0.0, self.hint_cap_seconds)
        return max(hint, self.jitter(0.0, min(self.cap_seconds, 2.0**state.attempt_number)))
