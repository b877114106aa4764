"""What linking a source needs: collaborators, clock and patience. No decisions."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from registration_pipeline.submission.calls.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.settings.metadata import DatasetSettings
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.datasets.gateway import DatasetGateway

ITEMS_PER_INTENT: Final = 20_000
"""About so many items are recorded before they are linked, and linked again after a kill."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkContext:
    """What linking the items of one source needs.

    Args:
        store: the state.
        source: the source's name.
        settings: the dataset's title, and how many items go into one.
        gateway: Encord.
        retry: how it is asked.
        stop: set when nothing more may be sent.
        may_send: asked before everything with an effect; raises when another process may have taken over the source.
        notify: called with texts for people.
        progress: called with how many items were dealt with so far.
        threads: calls at once.
        items_per_intent: see ``ITEMS_PER_INTENT``.
    """

    store: StateStore
    source: str
    settings: DatasetSettings
    gateway: DatasetGateway
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    stop: threading.Event = field(default_factory=threading.Event)
    may_send: Callable[[], None] = lambda: None
    notify: Callable[[str], object] = lambda _: None
    progress: Callable[[int], object] = lambda _: None
    clock: Callable[[], datetime] = _utc_now
    threads: int = 4
    items_per_intent: int = ITEMS_PER_INTENT
