"""How far a listing is, how fast, and how long it may still take. Showing it does not belong here."""

from __future__ import annotations

from dataclasses import dataclass

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
