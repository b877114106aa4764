"""Waiting until a start whose fate is unknown can no longer be under way.

Encord has no call that lists jobs, so quiet is seen on the folder itself: its item count must stay the same for
``settle_seconds`` while none of our own jobs runs there (the registrar sees to that).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.submission.verdicts import FolderEvidence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from registration_pipeline.planning.wave import PlannedUnit
    from registration_pipeline.submission.gateway import RegistrationGateway
    from registration_pipeline.submission.retry import RetryPolicy

_LOOKS_PER_SETTLE = 12
_LONGEST_LOOK_SECONDS = 10.0


def wait_for_quiet(
    *,
    gateway: RegistrationGateway,
    retry: RetryPolicy,
    folder_uuid: str,
    settle_seconds: float,
    sleep: Callable[[float], object],
    monotonic: Callable[[], float],
) -> float:
    """Return after the folder's item count has not changed for ``settle_seconds``; the result is the seconds waited."""
    step = min(_LONGEST_LOOK_SECONDS, max(settle_seconds / _LOOKS_PER_SETTLE, 0.05))
    began = quiet_since = monotonic()
    count = _count(gateway, retry, folder_uuid)
    while monotonic() - quiet_since < settle_seconds:
        sleep(step)
        latest = _count(gateway, retry, folder_uuid)
        if latest != count:
            count, quiet_since = latest, monotonic()
    return monotonic() - began


def look_for(
    *,
    gateway: RegistrationGateway,
    retry: RetryPolicy,
    folder_uuid: str,
    units: Sequence[PlannedUnit],
    since: datetime,
) -> FolderEvidence:
    """Return what the folder's items created at ``since`` or later show of the units, newest first and no further back."""
    return retry.call(
        f"listing folder {folder_uuid}",
        lambda: FolderEvidence.collect(units, gateway.items_since(folder_uuid, since)),
    )


def _count(gateway: RegistrationGateway, retry: RetryPolicy, folder_uuid: str) -> int:
    return retry.call(f"counting items of folder {folder_uuid}", lambda: gateway.count_items(folder_uuid))
