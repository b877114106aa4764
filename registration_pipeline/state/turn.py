"""Waiting for one's turn: what a process that waits has seen of the holder, what it says, and how long it waits at most.

What does not belong here: taking the lease (``lease.py``, ``folder_lease.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.errors import LeaseBusyError, StoppedError
from registration_pipeline.state.lease_files import Claim, LeaseFiles, Sight

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

_CHECKS_PER_LEASE = 12
_CHECKS_BEFORE_TAKING_OVER = 2
_NOTIFY_SECONDS = 300


class Turn:
    """The wait of one process for its turn, for the source and then for its folder.

    Args:
        source: what it wants to submit.
        notify: gets a message that says which process it waits for, at once and then every few minutes.
        stop: ends the waiting.
        monotonic: seconds that never go back.
        sleep: how to wait between two checks; by default a wait that ``stop`` ends.
        lease_seconds: another process takes over when the newest beat is older than this.
        longest_seconds: it gives up after this time; None: never.
    """

    def __init__(
        self,
        source: str,
        *,
        notify: Callable[[str], object],
        stop: threading.Event,
        monotonic: Callable[[], float],
        sleep: Callable[[float], object] | None,
        lease_seconds: float,
        longest_seconds: float | None,
    ) -> None:
        self.source, self.monotonic, self.lease_seconds = source, monotonic, lease_seconds
        self._notify, self._stop, self._sleep = notify, stop, sleep or stop.wait
        self._longest, self._began, self._waited = longest_seconds, monotonic(), 0.0
        self._notified_at: float | None = None

    def begin(self) -> None:
        """Wait from now on, in addition to what was waited before."""
        self._began = self.monotonic() - self._waited

    def end(self) -> None:
        """Note that the wait is over for now."""
        self._waited = self.monotonic() - self._began

    def check_stop(self) -> None:
        """Go on waiting only while nothing ends it.

        Raises:
            StoppedError: ``stop`` was set.
        """
        if self._stop.is_set():
            raise StoppedError(
                f"Stopped before source {self.source} was this process's turn; nothing was sent. Run again."
            )

    def pause(self, observer: LeaseObserver | None = None, folder: str | None = None) -> None:
        """Say for whom it waits, and wait until the next check.

        Args:
            observer: what was seen of the holder; None: another process was first a moment ago.
            folder: the Encord folder that it waits for; None: for the source.

        Raises:
            LeaseBusyError: it has waited for the longest time, and the holder is alive.
        """
        between = self.lease_seconds / _CHECKS_PER_LEASE
        if observer is not None:
            now = self.monotonic()
            waited, left = now - self._began, observer.seconds_left(now)
            # One that is about to be followed is waited for: else a dead holder would keep every short wait from its turn.
            is_nearly_free = left <= _CHECKS_BEFORE_TAKING_OVER * between
            if self._longest is not None and waited >= self._longest and not is_nearly_free:
                raise LeaseBusyError(
                    self.source, observer.source, folder=folder, holder=observer.holder, seconds=waited
                )
            if self._notified_at is None or now - self._notified_at >= _NOTIFY_SECONDS:
                self._notified_at = now
                self._notify(_waiting_for(self.source, observer, folder))
        self._sleep(between)


class LeaseObserver:
    """What a process that waits has seen so far of the newest term of a source's lease, and since when nothing changed."""

    def __init__(self, files: LeaseFiles, monotonic: Callable[[], float], lease_seconds: float) -> None:
        self.files, self._monotonic, self._seconds = files, monotonic, lease_seconds
        self._sight: Sight | None = None
        self._claim = Claim()
        self._seen_at: float | None = None
        self._checked_at = 0.0

    @property
    def source(self) -> str:
        """The source whose lease it is."""
        return self.files.source

    @property
    def holder(self) -> object:
        """Who has the newest term, as far as that is known."""
        return self._claim.holder or "another process"

    @property
    def patience(self) -> float:
        """How many seconds without a beat prove that the holder has given up."""
        return max(self._seconds, self._claim.lease_seconds)

    def seconds_left(self, now: float) -> float:
        """Return how long the holder has to be silent from now on until it is followed."""
        return self.patience if self._seen_at is None else self.patience - (now - self._seen_at)

    def check(self) -> Sight | None:
        """Read which term is the newest; None: there was never one."""
        self._checked_at = self._monotonic()
        sight = self.files.newest()
        if sight is not None and (self._sight is None or sight.term != self._sight.term):
            self._claim = self.files.claim(sight.term)
        if sight != self._sight or self._seen_at is None:
            # The beat was written before this moment; a check that begins a whole lease later and finds no newer one
            # proves that its holder has given up.
            self._sight, self._seen_at = sight, self._monotonic()
        return sight

    @property
    def is_over(self) -> bool:
        """Whether the newest term has ended, at the last check: released, its holder dead, or silent for too long."""
        if self._sight is not None and (self._sight.is_released or self._claim.is_dead):
            return True
        return self._seen_at is not None and self._checked_at - self._seen_at >= self.patience


def _waiting_for(source: str, observer: LeaseObserver, folder: str | None) -> str:
    until = (
        f"waiting until it ends. If it has died, this process takes over {observer.patience:.0f} s after its last beat. To "
        "stop waiting, press Ctrl-C; nothing has been sent."
    )
    if folder is None:
        return f"Source {source} is being submitted by {observer.holder}; {until}"
    return (
        f"Source {source} registers in Encord folder {folder}, as source {observer.source} does, which is being submitted by "
        f"{observer.holder}; {until}"
    )
