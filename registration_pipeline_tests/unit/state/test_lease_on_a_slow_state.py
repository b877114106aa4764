"""A state whose every request takes 5 to 40 s, and a network that is cut: the holder gives up before another one begins."""

from __future__ import annotations

import random
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import MemoryStore

from registration_pipeline.errors import LeaseLostError, StateError
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline_tests.doses import examples
from registration_pipeline_tests.unit.state.lease_world import World, is_held

if TYPE_CHECKING:
    from registration_pipeline.state.lease import Lease

KEPT = "kept all the time"
SEEDS = range(examples(15, thorough=200))


class Slow:
    """A host's way to the state: each request takes its time before and after its effect; none gets through once it is cut.

    Args:
        world: whose time passes.
        moments: how long requests take.
        longest: seconds.
    """

    def __init__(self, world: World, moments: random.Random, longest: float) -> None:
        self.world, self.moments, self.longest = world, moments, longest
        self.is_cut = False

    def create(self, name: str, data: bytes) -> None:
        self._half()
        self.world.store.create(name, data)
        self._half()

    def names(self, prefix: str) -> list[str]:
        self._half()
        found = list(self.world.store.names(prefix))
        self._half()
        return found

    def _half(self) -> None:
        self.world.now += self.moments.uniform(2.5, self.longest / 2)
        if self.is_cut:
            raise StateError("The state does not answer.")

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.world.store, attribute)


def contest(seed: int, longest: float, cut_after: int | None) -> str:
    """Let a host with a slow state hold the lease while another one with a fast state wants it; say how that ended."""
    moments = random.Random(seed)
    world = World(BucketStateStore(MemoryStore(), "memory://state"))
    with ExitStack() as stack:
        slow = Slow(world, moments, longest)
        first: Lease = stack.enter_context(world.lease(store=slow))
        next_beat, beats = world.now + 15, 0

        def meanwhile() -> None:
            nonlocal next_beat, beats
            if world.now >= next_beat:
                slow.is_cut = cut_after is not None and beats >= cut_after
                first.renew()
                beats += 1
                next_beat = world.now + 15
            if world.now > 600:
                raise TimeoutError

        world.meanwhile = meanwhile
        try:
            second = stack.enter_context(world.lease("worker-2"))
        except TimeoutError:
            assert is_held(first)
            return KEPT
        second.check()
        assert not is_held(first), f"both hold it after {world.now:.0f} s"
        with pytest.raises(LeaseLostError):
            first.check()
        return "followed"


def test_two_never_hold_it_however_slow_the_state_of_one_is() -> None:
    ends = [contest(seed, longest, None) for seed in SEEDS for longest in (5.0, 20.0, 40.0)]

    assert set(ends) == {KEPT, "followed"}


def test_a_host_that_is_cut_off_from_the_state_has_stopped_when_another_begins() -> None:
    ends = {contest(seed, longest, cut) for seed in SEEDS for longest in (5.0, 20.0) for cut in (0, 1, 5)}

    assert ends == {"followed"}
