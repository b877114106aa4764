"""One writer per source: a lease made of create-only files. What is written under it does not belong here.

A term belongs to the process that created its first beat; further beats show that it is alive. The next term may begin
when the newest one was released, when its holder is dead for certain, or when there was no new beat
for ``lease_seconds`` on the clock of the process that waits. A holder counts from before it wrote its newest beat and
gives up after three quarters of that time, so it has stopped before another process may begin. Wall clocks are for
people only; none is ever compared.

The first beat of the newest term always stays. So a slow process can create a beat of a term that is over and cleared away
only where a later term exists, and it checks for one after every beat, before the beat counts.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from registration_pipeline.errors import ConfigurationError, LeaseLostError, StateCorruptError, StateError
from registration_pipeline.state.holder import Holder
from registration_pipeline.state.lease_files import LeaseFiles, Sight, newest_of
from registration_pipeline.state.turn import LeaseObserver, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from registration_pipeline.state.store import StateStore

_VALID_SHARE = 0.75
_BEATS_PER_LEASE = 4
_TAKEN_OVER = "another process took it over"
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_seconds() -> float:
    """Return seconds that never go back and go on while the machine sleeps: a holder that slept must notice it."""
    return time.clock_gettime(_CLOCK)


@contextmanager
def hold_lease(
    store: StateStore,
    source: str,
    *,
    clock: Callable[[], datetime],
    notify: Callable[[str], object],
    stop: threading.Event,
    monotonic: Callable[[], float] = steady_seconds,
    sleep: Callable[[float], object] | None = None,
    lease_seconds: float = 60.0,
    holder: Holder | None = None,
    longest_wait: float | None = None,
) -> Iterator[Lease]:
    """Wait until no other process submits ``source``, then hold its lease for the block and renew it in a thread.

    Args:
        clock: the wall clock, for people who read who holds the lease.
        notify: gets a message that says which process it waits for, at once and then every few minutes.
        stop: ends the waiting.
        monotonic: seconds that never go back.
        sleep: how to wait between two checks; by default a wait that ``stop`` ends.
        lease_seconds: another process takes over when the newest beat is older than this.
        holder: who holds it; by default this process.
        longest_wait: it gives up after so many seconds; a little later if the holder is about to be followed. None: never.

    Raises:
        StoppedError: ``stop`` was set.
        LeaseBusyError: it has waited for ``longest_wait``, and the holder is alive.
        LeaseLostError: the block ended with an error of the state, and the lease was over by then.
        ConfigurationError: the state is in a bucket, and its store creates a file a second time.
        StateError: the state can't be read or written.
    """
    files = LeaseFiles(store, source)
    turn = Turn(
        source,
        notify=notify,
        stop=stop,
        monotonic=monotonic,
        sleep=sleep,
        lease_seconds=lease_seconds,
        longest_seconds=longest_wait,
    )
    lease = _acquired(files, turn, holder or Holder.current(clock()))
    try:
        lease.start_renewing()
        lease.require_created_once()
        yield lease
    except StateCorruptError:
        raise
    except StateError as error:
        # A process that was stopped for minutes often meets its state's store first, with requests that ran out of time.
        if (loss := lease.loss_behind(error)) is not None:
            raise loss from error
        raise
    finally:
        _close(lease, source, notify)


def _acquired(files: LeaseFiles, turn: Turn, holder: Holder) -> Lease:
    """Wait until the lease is free, and return it with its first beat written."""
    observer = LeaseObserver(files, turn.monotonic, turn.lease_seconds)
    while True:
        turn.check_stop()
        newest = observer.check()
        if newest is None or observer.is_over:
            lease = Lease(files, newest.term + 1 if newest else 1, holder, turn=turn)
            if lease.acquire():
                turn.end()
                return lease
            observer.check()  # who was first: a whole pause without a word could be all that it takes
            turn.pause(None if observer.is_over else observer)
        else:
            turn.pause(observer)


def newest_term(store: StateStore, source: str) -> tuple[int, bool]:
    """Return the newest term of a source's lease, 0 if there was none, and whether it has ended in order.

    Raises:
        StateError: the state can't be read.
    """
    sight = LeaseFiles(store, source).newest()
    return (0, True) if sight is None else (sight.term, sight.is_released)


def _close(lease: Lease, source: str, notify: Callable[[str], object]) -> None:
    try:
        lease.close()
    except Exception as error:  # noqa: BLE001 - how the block ended matters more
        notify(
            f"The lease of source {source} could not be given back, so the next run waits until it has expired, unless it is "
            f"on this machine: {error}"
        )


class Lease:
    """The right to submit one source for one term. Made by ``hold_lease``; may be checked from any thread."""

    def __init__(self, files: LeaseFiles, term: int, holder: Holder, *, turn: Turn) -> None:
        self.source, self.term, self.holder, self.turn = files.source, term, holder, turn
        self._files, self._monotonic, self._seconds = files, turn.monotonic, turn.lease_seconds
        self._nonce = secrets.token_hex(8)
        self._beat = self._tried = 0
        self._seen: set[tuple[int, int]] = set()
        self._lock = threading.Lock()
        self._valid_until = 0.0
        self._lost: str | None = "it was never acquired"
        self._is_superseded = False
        self._successor: Holder | None = None
        self._trouble: Exception | None = None
        self._ended, self._has_stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep_renewing, name=f"lease-{files.source}", daemon=True)

    def check(self) -> None:
        """Pass while no other process can hold the lease. Costs one reading of the clock.

        Raises:
            LeaseLostError: it is over, for ever.
        """
        with self._lock:
            self._lose_if_expired()
            why = self._lost
        if why is not None:
            raise LeaseLostError(self._files.source, why, holder=self._successor, trouble=self._trouble)

    def loss_behind(self, error: StateError) -> LeaseLostError | None:
        """Return the loss of the lease that an error of the state followed, with who has it now; None: it is not lost.

        Args:
            error: what the state said; reported with the loss unless it is known who has the lease.
        """
        if not self._is_lost():
            return None
        if self._successor is None:
            self._see_successor()
        said = None if self._successor else self._trouble or error
        return LeaseLostError(self.source, self._lost or "", holder=self._successor, trouble=said)

    def require_created_once(self) -> None:
        """Create the first beat once more, which must be refused: in a bucket the lease rests on that.

        A state was tried when it began; its store, or a proxy on the way from this host, may be another by now. One request.

        Raises:
            ConfigurationError: it was created.
            LeaseLostError: another process took the lease over meanwhile.
            StateError: the state can't be read or written.
        """
        if "://" not in self._files.store.uri:
            return
        try:
            self._files.require_created_once(self._claim(), self.term)
        except ConfigurationError:
            newest = self._files.newest()
            if newest is None or newest.term <= self.term:
                raise
            self._see_successor()  # which has cleared the first beat away: that is why it could be created
            self._files.delete([(self.term, 1)])
            raise LeaseLostError(self.source, _TAKEN_OVER, holder=self._successor) from None

    def acquire(self) -> bool:
        """Try to begin the term; once only. False: another process has it, or a later one.

        Raises:
            StateError: the state can't be read or written.
        """
        began = self._monotonic()
        if self._give_beat() is not None:
            return False
        with self._lock:
            self._lost, self._valid_until = None, began + _VALID_SHARE * self._seconds
        with suppress(StateError):
            self._files.delete([mark for mark in self._seen if mark[0] < self.term])
        return True

    def start_renewing(self) -> None:
        """Renew in a thread from now on."""
        self._thread.start()

    def renew(self) -> None:
        """Write one beat. Trouble of the state is remembered, not raised: only the deadline decides."""
        if self._is_lost():
            # Another beat would only make others wait longer; but the message can say who has it now.
            if not self._is_superseded:
                self._see_successor()
            return
        began, previous = self._monotonic(), self._beat
        try:
            why = self._give_beat()
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the next beat may work
            self._trouble = error
            return
        with self._lock:
            self._lose_if_expired()
            if self._lost is None and why is None:
                self._valid_until, self._trouble = began + _VALID_SHARE * self._seconds, None
            self._lost = self._lost or why
            self._is_superseded = self._is_superseded or why is not None
        with suppress(Exception):  # what stays is cleared away by the next holder
            # Beats that were in doubt lie between the two.
            self._files.delete((self.term, beat) for beat in range(max(2, previous), self._beat))

    def close(self) -> None:
        """Stop renewing and give the lease back; from now on ``check`` raises.

        Raises:
            StateError: the state can't be written; others find out by waiting.
        """
        self._ended.set()
        has_stopped = self._has_stopped_renewing()
        with self._lock:
            self._lost = self._lost or "it was given back"
        # A renewal that still hangs shows that the state does not answer: asking it once more would hang, too.
        if has_stopped and not self._is_superseded:
            self._files.release(self.term)

    def _has_stopped_renewing(self) -> bool:
        """Wait for a renewal that is under way, and return whether it is over.

        Not for the end of its thread: who drops a generator that holds a lease leaves it to the garbage collector, which may
        end it in a thread that is starting another one, and holds a lock then that every thread needs to end.
        """
        if self._thread.ident is None:
            return True
        if threading.current_thread() is self._thread:  # the garbage collector's choice: it would wait for itself
            return False
        return self._has_stopped.wait(self._seconds / _BEATS_PER_LEASE)

    def _keep_renewing(self) -> None:
        try:
            while not self._ended.wait(self._seconds / _BEATS_PER_LEASE):
                self.renew()
        finally:
            self._has_stopped.set()

    def _is_lost(self) -> bool:
        with self._lock:
            self._lose_if_expired()
            return self._lost is not None

    def _lose_if_expired(self) -> None:
        if self._lost is None and self._monotonic() >= self._valid_until:
            self._lost = f"it could not be renewed for {_VALID_SHARE * self._seconds:.0f} s"

    def _give_beat(self) -> str | None:
        """Write the next beat and check that it counts. Returns why it does not.

        No number is used twice: a write that failed may be there all the same, and would then be older than it seems.
        """
        self._tried += 1
        if not self._files.create_beat(self._claim(), self.term, self._tried):
            return "another process wrote in its term"
        marks = self._seen = self._files.marks()
        newest = newest_of(marks)
        why = None
        if newest != Sight(self.term, self._tried, is_released=False):
            why = _TAKEN_OVER
            self._see_successor()
        elif self._beat and (self.term, self._beat) not in marks:
            why = "its files were deleted from the state"
        if why is None:
            self._beat = self._tried
        else:
            with suppress(StateError):
                self._files.delete([(self.term, self._tried)])
        return why

    def _claim(self) -> bytes:
        """Return what a beat holds. The nonce distinguishes our own write, whose answer was lost, from another's."""
        claim = {"holder": self.holder.to_json(), "nonce": self._nonce, "lease_seconds": self._seconds}
        return json.dumps(claim, sort_keys=True).encode("ascii") + b"\n"

    def _see_successor(self) -> None:
        with suppress(Exception):  # it is only for the message
            newest = self._files.newest()
            if newest is not None and newest.term > self.term:
                self._is_superseded, self._successor = True, self._files.claim(newest.term).holder
