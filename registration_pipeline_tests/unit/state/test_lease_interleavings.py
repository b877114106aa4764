"""Any interleaving of processes that want one lease: never do two hold it, and whatever happens, the next one gets it.

The processes are threads of which one runs at a time, from one request to the state to the next; what runs when, how time
passes, which requests fail and who is killed is drawn.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from registration_pipeline.errors import LeaseLostError, StateError
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.holder import Holder
from registration_pipeline.state.lease import hold_lease
from registration_pipeline_tests.doses import DOSES, examples
from registration_pipeline_tests.unit.state.lease_world import START, is_held

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.state.lease import Lease
    from registration_pipeline.state.store import StateStore


class Killed(BaseException):
    """The process ends here."""


class Process:
    """Takes the lease, renews it a few times, gives it back, and again; runs only when it is stepped.

    Args:
        store: the state that all share.
        now: the time that all share; each has a monotonic clock that began at another time.
        number: which one it is.
        beats: how often it renews before it gives the lease back.
    """

    def __init__(self, store: StateStore, now: Callable[[], float], number: int, beats: int) -> None:
        self.inner, self.now, self.number, self.beats = store, now, number, beats
        self.uri = store.uri
        self.lease: Lease | None = None
        self.terms: list[int] = []
        self.fault = "none"
        self.events = 0
        self.is_killed = False
        self.go, self.stands = threading.Semaphore(0), threading.Semaphore(0)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.stands.acquire()

    def step(self, fault: str = "none") -> None:
        """Let it run up to its next request to the state, its next sleep or its end."""
        if self.thread.is_alive():
            self.fault = fault
            self.go.release()
            self.stands.acquire()

    def kill(self) -> None:
        self.is_killed, self.lease = True, None
        self.step()
        self.thread.join()

    def run(self) -> None:
        with suppress(Killed):
            self.pause()
            while True:
                with suppress(StateError, LeaseLostError):
                    self.hold_once()
                self.lease = None
                self.events += 1
        self.stands.release()

    def hold_once(self) -> None:
        with hold_lease(
            self,  # type: ignore[arg-type]
            "fleet",
            clock=lambda: START,
            monotonic=lambda: self.now() + 1_000 * self.number,
            sleep=self.sleep,
            notify=lambda _text: None,
            stop=threading.Event(),
            holder=Holder(host=f"w{self.number}", boot="b", pid=1, start="1", namespace="n", since=START),
        ) as lease:
            self.lease = lease
            self.terms.append(lease.term)
            self.events += 1
            for _ in range(self.beats):
                self.pause()
                lease.renew()
                self.events += 1
            self.lease = None  # it sends nothing after its block

    def sleep(self, _seconds: float) -> None:
        self.events += 1
        self.pause()

    def pause(self) -> None:
        if not self.is_killed:
            self.stands.release()
            self.go.acquire()
        if self.is_killed:
            raise Killed

    def request(self, act: Callable[[], Any]) -> Any:
        self.pause()  # the request is under way
        if self.fault == "before":
            raise StateError("no space left")
        result = act()
        self.pause()  # the answer is under way
        if self.fault == "after":
            raise StateError("the answer was lost")
        return result

    def create(self, name: str, data: bytes) -> None:
        self.request(lambda: self.inner.create(name, data))

    def delete(self, name: str) -> None:
        self.request(lambda: self.inner.delete(name))

    def read(self, name: str) -> bytes:
        return bytes(self.request(lambda: self.inner.read(name)))

    def names(self, prefix: str) -> list[str]:
        return list(self.request(lambda: list(self.inner.names(prefix))))


class World:
    """The state, the time and the processes."""

    def __init__(self, beats: list[int]) -> None:
        self.now = 0.0
        self.store = BucketStateStore(MemoryStore(), "memory://state")
        self.processes = [self.process(number, some) for number, some in enumerate(beats)]

    def process(self, number: int, beats: int) -> Process:
        return Process(self.store, lambda: self.now, number, beats)

    def step(self, index: int, steps: int, fault: str) -> None:
        """Let one run for this many steps."""
        process = self.processes[index % len(self.processes)]
        for _ in range(steps):
            process.step(fault)
            self.assert_at_most_one_holds_it()

    def run(self, index: int, events: int = 1) -> None:
        """Let one run until something happened to it: it has to wait, got, renewed or gave back the lease, or failed."""
        process = self.processes[index % len(self.processes)]
        seen = process.events
        while process.events < seen + events:
            self.step(index, 1, "none")

    def restart(self, index: int) -> None:
        index %= len(self.processes)
        old = self.processes[index]
        old.kill()
        self.processes[index] = self.process(old.number + 10, old.beats)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.assert_at_most_one_holds_it()

    def assert_at_most_one_holds_it(self) -> None:
        # All that may send at this moment: also one that stands in the middle of a renewal, or was paused for long.
        leases = [lease for process in self.processes if (lease := process.lease) is not None and is_held(lease)]
        assert len(leases) <= 1, [str(lease.holder) for lease in leases]

    def assert_the_next_one_gets_it(self) -> None:
        for process in self.processes:
            process.kill()
        last = self.process(99, 3)
        self.processes = [last]
        began = self.now
        while last.lease is None:
            self.run(0)
            self.now += 5 if last.lease is None else 0
            assert self.now - began < 80, sorted(self.store.names("fleet/lease/"))
        assert is_held(last.lease)
        last.kill()


WHO = st.integers(0, 2)
FAULT = st.sampled_from(["none", "none", "none", "before", "after"])
KINDS = {
    "step": st.tuples(st.just("step"), WHO, st.integers(1, 4), FAULT),
    "run": st.tuples(st.just("run"), WHO, st.sampled_from([1, 1, 2, 6])),
    "wait": st.tuples(st.just("wait"), st.sampled_from([30.0, 46.0, 61.0])),
    "restart": st.tuples(st.just("restart"), WHO),
}
ACTION = st.sampled_from([*["step"] * 5, *["run"] * 8, *["wait"] * 6, "restart"]).flatmap(lambda kind: KINDS[kind])
ACTIONS = st.lists(ACTION, min_size=25, max_size=80)


PLAYS = given(actions=ACTIONS, beats=st.lists(st.integers(0, 4), min_size=2, max_size=3))


def play(actions: list[Any], beats: list[int]) -> None:
    world = World(beats)
    try:
        for name, *arguments in actions:
            getattr(world, name)(*arguments)
        world.assert_the_next_one_gets_it()
    finally:
        for process in world.processes:
            process.kill()


@PLAYS
@settings(max_examples=examples(5, thorough=15), deadline=None)
def test_never_do_two_hold_it_and_the_next_one_always_gets_it(actions: list[Any], beats: list[int]):
    play(actions, beats)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(1800)
@PLAYS
@settings(max_examples=DOSES.lease_plays, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_never_do_two_hold_it_and_the_next_one_always_gets_it_at_length(actions: list[Any], beats: list[int]):
    play(actions, beats)


def test_the_rehearsal_reaches_takeovers_and_renewals():
    """Without that, the property would hold for an empty world."""
    world = World([4, 4])
    first, second = world.processes
    try:
        world.step(0, 80, "none")
        assert len(first.terms) > 1
        while first.lease is None:
            world.step(0, 1, "none")
        while not second.terms:
            world.step(1, 1, "none")
            world.wait(2)
            assert world.now < 200
        assert world.now > 60
        assert second.terms == [first.terms[-1] + 1]
    finally:
        for process in world.processes:
            process.kill()
