"""Which settings of ``registration.yaml`` follow from what a rehearsal saw: pure functions.

What does not belong here: what was seen means for the rules (``findings/``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from registration_pipeline.rehearsal.findings.duplicates import may_double
from registration_pipeline.rehearsal.findings.finding import seconds

if TYPE_CHECKING:
    from registration_pipeline.rehearsal.observations import Observations
    from registration_pipeline.settings import SourceSettings

_SHORTEST_SETTLE: Final = 30
_JOBS_IN_A_SETTLE: Final = 10
"""An upload job of five objects that is alone is the quickest there is: one that waits in a queue takes many times as long."""
_LAGS_IN_A_SETTLE: Final = 3
_ROUND: Final = 10
_TOO_MANY: Final = 429
_LONGEST_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What one setting should be.

    Args:
        key: in ``registration.yaml``.
        now: its value.
        value: what it should be at least, or at most; equal to ``now`` where that is right.
        why: from which observations that follows.
    """

    key: str
    now: int
    value: int
    why: str

    @property
    def is_change(self) -> bool:
        """Whether the configuration should be changed."""
        return self.now != self.value


def settings_advice(
    seen: Observations, source: SourceSettings, *, lag_limit: float, timeout_seconds: int
) -> tuple[Advice, ...]:
    """Return what the observations mean for the settings.

    Args:
        seen: what was observed.
        source: its settings.
        lag_limit: how long items were waited for, in seconds, where they never came.
        timeout_seconds: ``encord.timeout_seconds``.
    """
    found = [_settle(seen, source, lag_limit), _in_flight(seen, source), _timeout(seen, timeout_seconds)]
    return tuple(advice for advice in found if advice is not None)


def _settle(seen: Observations, source: SourceSettings, lag_limit: float) -> Advice | None:
    jobs = [job for job in seen.all_jobs().values() if job.is_done]
    if not jobs:
        return None
    slowest = max(job.seconds for job in jobs)
    late = (job.lag_seconds if job.lag_seconds is not None else lag_limit for job in jobs if job.listings > 1)
    counted = (job.count_lag_seconds if job.count_lag_seconds is not None else lag_limit for job in jobs if job.added)
    lag = max((*late, *(value for value in counted if value >= 1)), default=0.0)
    doubles = may_double(seen)
    needed = _LAGS_IN_A_SETTLE * lag + (_JOBS_IN_A_SETTLE * slowest if doubles else 0.0)
    least = max(_SHORTEST_SETTLE, _ROUND * math.ceil(needed / _ROUND))
    behind = f", and the folder was up to {seconds(lag)} behind" if lag else ""
    twice = "two jobs under way may register a URL twice" if doubles else "two jobs under way do not double a URL"
    why = f"the slowest job took {seconds(slowest)}{behind}; {twice}: at least {least} is needed"
    return Advice(
        key=f"sources.{source.name}.settle_seconds",
        now=source.settle_seconds,
        value=max(source.settle_seconds, least),
        why=why,
    )


def _in_flight(seen: Observations, source: SourceSettings) -> Advice | None:
    if not seen.replies:
        return None
    refused = sum(reply.status == _TOO_MANY for reply in seen.replies)
    why = f"{refused} of {len(seen.replies)} requests were refused for their number (429)"
    key = f"sources.{source.name}.max_in_flight"
    return Advice(key=key, now=source.max_in_flight, value=1 if refused else source.max_in_flight, why=why)


def _timeout(seen: Observations, timeout_seconds: int) -> Advice | None:
    # Polls are held on purpose, so that the slowest reply counts only as far as it was not asked to wait.
    asked = max((poll.asked for poll in seen.polls), default=0.0)
    slowest = max((reply.seconds for reply in seen.replies), default=0.0)
    if not seen.replies:
        return None
    needed = math.ceil(max(0.0, slowest - asked) / _LONGEST_SHARE)
    why = f"the slowest of {len(seen.replies)} replies took {seconds(slowest)}, polls included"
    return Advice(key="encord.timeout_seconds", now=timeout_seconds, value=max(timeout_seconds, needed), why=why)
