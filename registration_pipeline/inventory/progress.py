"""How far a listing is, how fast, and how long it may still take. Showing it does not belong here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.inventory.lister import ObjectLister

_SECONDS_PER_MINUTE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingProgress:
    """A listing under way.

    Args:
        objects: listed so far.
        requests: made so far.
        seconds: since its start.
        expected: objects of the inventory before this one, the best guess at how many there are; None at the first.
    """

    objects: int
    requests: int
    seconds: float
    expected: int | None = None

    @property
    def rate(self) -> float:
        """Objects per second so far."""
        return self.objects / self.seconds if self.seconds else 0.0

    @property
    def remaining_seconds(self) -> float | None:
        """How long the rest may take; None where it can't be known, as when there are more objects than expected."""
        if self.expected is None or not self.rate or self.objects >= self.expected:
            return None
        return (self.expected - self.objects) / self.rate

    def __str__(self) -> str:
        """Say it in one line."""
        of = f" of about {self.expected:,}" if self.remaining_seconds is not None else ""
        requests = "1 request" if self.requests == 1 else f"{self.requests:,} requests"
        return f"{self.objects:,}{of} objects, {requests}, {self.rate:,.0f} objects/s{_left(self.remaining_seconds)}"


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < _SECONDS_PER_MINUTE:
        return f", about {seconds:.0f} s left"
    return f", about {seconds / _SECONDS_PER_MINUTE:,.0f} min left"


class ListingReporter:
    """Reports a listing's progress.

    Args:
        lister: counts its requests.
        progress: called with the progress; None: nothing is reported.
        monotonic: seconds that never go back.
        expected: objects, from an earlier inventory; None: not known.
    """

    def __init__(
        self,
        lister: ObjectLister,
        progress: Callable[[ListingProgress], None] | None,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        expected: int | None,
    ) -> None:
        self._lister, self._progress, self._monotonic, self._expected = lister, progress, monotonic, expected
        self._began = monotonic()

    def report(self, objects: int) -> None:
        """Report that so many objects were listed."""
        if self._progress is not None:
            seconds = self._monotonic() - self._began
            requests, expected = self._lister.requests, self._expected
            self._progress(ListingProgress(objects=objects, requests=requests, seconds=seconds, expected=expected))
