"""Waiting until a start whose fate is unknown can no longer be under way.

Encord has no call that lists jobs, so quiet is seen on the folder itself: its item count must stay the same for
``settle_seconds`` while none of our own jobs runs there (the registrar sees to that).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.errors import ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.gateway import RegistrationGateway

_CHECKS_PER_SETTLE = 12
_LONGEST_CHECK_SECONDS = 10.0
# A folder that another user fills all night is never quiet. With the default of 120 s both numbers say an hour.
_MOST_SETTLES = 30
_SHORTEST_PATIENCE_SECONDS = 3600.0


def wait_for_quiet(
    *,
    gateway: RegistrationGateway,
    retry: RetryPolicy,
    folder_uuid: str,
    settle_seconds: float,
    sleep: Callable[[float], object],
    monotonic: Callable[[], float],
) -> float:
    """Return after the folder's item count has not changed for ``settle_seconds``; the result is the seconds waited.

    Raises:
        ServiceUnavailableError: the folder never became quiet.
        HaltError: what ``sleep`` raises to stop the wait, or the folder can't be read.
    """
    step = min(_LONGEST_CHECK_SECONDS, max(settle_seconds / _CHECKS_PER_SETTLE, 0.05))
    patience = max(_MOST_SETTLES * settle_seconds, _SHORTEST_PATIENCE_SECONDS)
    began = monotonic()
    count = _count(gateway, retry, folder_uuid)
    # Only after the count came back: what was registered while it was asked for may or may not be in it.
    quiet_since = monotonic()
    while monotonic() - quiet_since < settle_seconds:
        if monotonic() - began > patience:
            raise ServiceUnavailableError(
                f"Encord folder {folder_uuid} has not been quiet for {settle_seconds:.0f} s within {patience:.0f} s, so it "
                "is not known whether an upload of this source is still under way. Nothing is lost; run again when no "
                "one else uploads to this folder."
            )
        sleep(step)
        latest = _count(gateway, retry, folder_uuid)
        if latest != count:
            count, quiet_since = latest, monotonic()
    return monotonic() - began


def _count(gateway: RegistrationGateway, retry: RetryPolicy, folder_uuid: str) -> int:
    return retry.read(f"counting items of folder {folder_uuid}", lambda: gateway.count_items(folder_uuid))
