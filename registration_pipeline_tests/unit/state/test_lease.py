"""One writer per source: who gets the lease, who waits, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from obstore.store import MemoryStore

from registration_pipeline.errors import LeaseLostError, StoppedError
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.holder import Holder, boot_id, process_start
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.state_places import BUCKETS
from registration_pipeline_tests.unit.state.lease_world import FOLDER, START, World, abandoned, is_held

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.state.store import StateStore
    from registration_pipeline_tests.state_places import StateServers

needs_proc = pytest.mark.skipif(not boot_id(), reason="there is no /proc here, so no death is certain")


@pytest.fixture(params=["local", "memory", *(pytest.param(name, marks=pytest.mark.slow) for name in BUCKETS)])
def any_store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateStore:
    if request.param == "local":
        return LocalStateStore(tmp_path / "state")
    if request.param == "memory":
        return BucketStateStore(MemoryStore(), "memory://state")
    servers: StateServers = request.getfixturevalue("state_servers")
    return servers.place(request.param, tmp_path).use(monkeypatch).open()


def test_the_life_of_a_lease_on_every_store(any_store: StateStore):
    world = World(any_store)
    with world.lease() as first:
        assert first.term == 1
        for _ in range(5):
            world.now += 15
            first.renew()
            first.check()
        assert world.files() == ["00000001-00000001.json", "00000001-00000006.json"]
    assert not is_held(first)
    assert world.files() == ["00000001-00000001.json", "00000001-00000006.json", "00000001-released.json"]
    with world.lease("worker-2") as second:
        second.check()
        assert second.term == 2
        assert world.files() == ["00000002-00000001.json"]
    assert world.told == []


def test_of_eight_that_begin_at_once_one_has_it_at_a_time(any_store: StateStore):
    world = World(any_store)
    inside, together, terms = [], [], []
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        pause = threading.Event()
        with world.lease(f"worker-{number}", sleep=lambda _seconds: pause.wait(0.001)) as lease:
            lease.check()
            inside.append(number)
            together.append(len(inside))
            terms.append(lease.term)
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert together == [1] * 8
    assert sorted(terms) == list(range(1, 9))


def test_the_second_waits_and_says_for_whom_at_once_and_every_few_minutes(world: World):
    stop = threading.Event()
    with world.lease("worker-3") as first:

        def meanwhile() -> None:
            first.renew()
            if world.now > 650:
                stop.set()

        world.meanwhile = meanwhile
        with pytest.raises(StoppedError, match=r"source fleet.*nothing was sent"), world.lease("b", stop=stop):
            raise AssertionError("two hold it")
        first.check()
    assert len(world.told) == 3
    assert len(set(world.told)) == 1
    assert world.told[0].startswith(
        "Source fleet is being submitted by pid 4711 on worker-3 since 2026-11-21T02:00:00Z; waiting until it ends."
    )


def test_a_stop_that_was_set_before_takes_nothing(world: World):
    stop = threading.Event()
    stop.set()

    with pytest.raises(StoppedError, match="Stopped"), world.lease(stop=stop):
        raise AssertionError("it began after the stop")
    assert world.files() == []


def test_what_the_sleep_raises_ends_the_waiting(world: World):
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    with world.lease() as first:
        with pytest.raises(KeyboardInterrupt), world.lease("worker-2", sleep=interrupted):
            raise AssertionError("two hold it")
        first.check()


def test_a_stop_during_the_default_wait_ends_it_at_once(world: World):
    stop = threading.Event()
    timer = threading.Timer(0.05, stop.set)
    waiting = world.lease("worker-2", stop=stop, sleep=None, lease_seconds=3_600, notify=lambda _: timer.start())
    with world.lease(), pytest.raises(StoppedError), waiting:
        raise AssertionError("two hold it")


def test_a_silent_holder_is_followed_after_one_lease_and_not_before(world: World):
    with abandoned(world, "worker-1") as first:
        lost_at = []
        world.meanwhile = lambda: None if is_held(first) else lost_at.append(world.now)
        with world.lease("worker-2") as second:
            second.check()
            assert second.term == 2
            assert 60 <= world.now <= 66
            assert lost_at[0] == 45
        assert not is_held(first)


@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(days=1)], ids=["back an hour", "forward a day"])
def test_a_jump_of_the_wall_clock_takes_the_lease_from_no_one(world: World, jump: timedelta):
    stop = threading.Event()
    with world.lease() as first:

        def meanwhile() -> None:
            world.wall_jumps = jump
            if world.now % 15 == 0:
                first.renew()
            first.check()
            if world.now >= 600:
                stop.set()

        world.meanwhile = meanwhile
        with pytest.raises(StoppedError), world.lease("worker-2", stop=stop):
            raise AssertionError("two hold it")


def test_a_released_lease_is_taken_at_once_whatever_the_wall_clock_says(world: World):
    with world.lease():
        pass
    world.wall_jumps = timedelta(hours=-1)

    with world.lease("worker-2") as second:
        second.check()

    assert world.now == 0


@needs_proc
def test_a_holder_that_was_killed_on_this_machine_is_followed_at_once(world: World):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    holder = replace(Holder.current(START), pid=child.pid, start=str(process_start(child.pid)))
    with ExitStack() as stack:
        stack.enter_context(world.lease(holder=holder))

        def kill_after_a_while() -> None:
            if world.now == 20:
                child.kill()
                child.communicate()

        world.meanwhile = kill_after_a_while
        with world.lease("worker-2") as second:
            second.check()
            assert world.now == 20


def test_without_a_holder_given_it_is_this_process(world: World):
    with world.lease(holder=None) as lease:
        assert (lease.holder.pid, lease.holder.since) == (os.getpid(), START)


def test_two_threads_of_one_process_are_two_that_want_it(world: World):
    stop = threading.Event()
    with world.lease(holder=None) as first:

        def meanwhile() -> None:
            first.renew()
            stop.set()

        world.meanwhile = meanwhile
        with pytest.raises(StoppedError), world.lease(holder=None, stop=stop):
            raise AssertionError("two hold it")
        first.check()


def test_a_holder_that_was_paused_stops_for_ever_and_says_who_has_it(world: World):
    with abandoned(world, "worker-1") as first, world.lease("worker-2") as second:
        with pytest.raises(LeaseLostError, match=r"source fleet: it could not be renewed for 45 s.*safe to run again"):
            first.check()
        first.renew()
        with pytest.raises(LeaseLostError, match=r"Now pid 4711 on worker-2 since 2026-11-21T02:00:00Z has it"):
            first.check()
        second.renew()
        second.check()


def test_a_holder_sees_a_later_term_at_its_next_beat(world: World):
    """No process takes a lease from one that lives; but what if: it must stop, however young its last beat is."""
    with world.lease() as first:
        world.store.create(f"{FOLDER}00000002-00000001.json", b"{}")
        first.check()
        first.renew()
        with pytest.raises(LeaseLostError, match="another process took it over"):
            first.check()
    assert world.files() == ["00000001-00000001.json", "00000002-00000001.json"]


def test_a_holder_whose_files_someone_deleted_stops(world: World):
    with world.lease() as first:
        first.renew()
        for name in list(world.store.names(FOLDER)):
            world.store.delete(name)
        with world.lease("worker-2") as second:
            first.renew()
            assert not is_held(first)
            second.renew()
            second.check()
