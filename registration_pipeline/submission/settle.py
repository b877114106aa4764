"""Waiting until a start whose fate is unknown can no longer be under way.

Encord has no call that lists jobs, so quiet is seen on the folder itself: its item count must stay the same for
``settle_seconds`` while none of our own jobs runs there (the registrar sees to that).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.errors import ServiceUnavailableError
from registration_pipeline.submission.verdicts import FolderEvidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from registration_pipeline.planning.units import PlannedUnit
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.gateway import ItemPage, RegistrationGateway, RemoteItem

MOST_PAGES = 20
"""Of 1,000 items: a folder may hold ten million, and a night may have registered most of them since."""

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


def search_folder(
    *,
    gateway: RegistrationGateway,
    retry: RetryPolicy,
    folder_uuid: str,
    units: Sequence[PlannedUnit],
    since: datetime,
) -> FolderEvidence:
    """Return what the folder's newest items show of the units: back to ``since``, and no more than ``MOST_PAGES``.

    Nothing depends on seeing a unit that is there: a chunk that is not seen whole is sent again, and Encord skips what it
    has. Searching saves a job, and finds the items' UUIDs.
    """
    return FolderEvidence.collect(units, _newest_items(gateway, retry, folder_uuid, since))


def gone_items(*, gateway: RegistrationGateway, retry: RetryPolicy, item_uuids: Sequence[str]) -> set[str]:
    """Return which of the items Encord does not show any more; it does not say which, so a refused batch is halved."""
    if not item_uuids or retry.read("looking up items", lambda: gateway.folders_of_items(item_uuids)) is not None:
        return set()
    if len(item_uuids) == 1:
        return set(item_uuids)
    middle = len(item_uuids) // 2
    halves = (item_uuids[:middle], item_uuids[middle:])
    return set().union(*(gone_items(gateway=gateway, retry=retry, item_uuids=half) for half in halves))


def _newest_items(
    gateway: RegistrationGateway, retry: RetryPolicy, folder_uuid: str, since: datetime
) -> Iterator[RemoteItem]:
    token: str | None = None
    for _ in range(MOST_PAGES):

        def read(token: str | None = token) -> ItemPage:
            return gateway.items_page(folder_uuid, token, newest_first=True)

        page = retry.read(f"listing folder {folder_uuid}", read)
        for item in page.items:
            if item.created_at < since:
                return
            yield item
        token = page.next_token
        if token is None:
            return


def _count(gateway: RegistrationGateway, retry: RetryPolicy, folder_uuid: str) -> int:
    return retry.read(f"counting items of folder {folder_uuid}", lambda: gateway.count_items(folder_uuid))
