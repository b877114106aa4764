"""One writer per source, with a state that is slow, full or unreadable, and processes that sleep or die in between."""

from __future__ import annotations

import json
import queue
import threading
import time
from contextlib import ExitStack, suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import MemoryStore

from registration_pipeline.errors import (
    ConfigurationError,
    LeaseBusyError,
    LeaseLostError,
    StateCorruptError,
    StateError,
    StoppedError,
)
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.holder import Holder, boot_id
from registration_pipeline.state.lease import newest_term, steady_seconds
from registration_pipeline_tests.unit.state.lease_world import FOLDER, World, abandoned, is_held, somebody_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.state.lease import Lease
    from registration_pipeline.state.store import StateStore

needs_proc = pytest.mark.skipif(not boot_id(), reason="there is no /proc here, so no death is certain")


class Crash(BaseException):
    """The process ends here."""


class Slow:
    """A store whose next writes or looks take a while; looks with the time before or after what they show.

    Args:
        world: whose time passes.
        meanwhile: what happens every 15 s of it.
    """

    def __init__(self, world: World, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.world, self.meanwhile = world, meanwhile
        self.create_seconds = 0
        self.look_seconds: list[tuple[int, int]] = []

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.world.now += 1
            if self.world.now % 15 == 0:
                self.meanwhile()

    def create(self, name: str, data: bytes) -> None:
        self.pass_time(self.create_seconds)
        self.world.store.create(name, data)

    def names(self, prefix: str) -> list[str]:
        before, after = self.look_seconds.pop(0) if self.look_seconds else (0, 0)
        self.pass_time(before)
        found = list(self.world.store.names(prefix))
        self.pass_time(after)
        return found

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.world.store, attribute)


def test_a_lease_that_ends_where_a_thread_is_started_is_given_back_at_once(world: World) -> None:
    """The garbage collector may end the generator that holds it there; every thread needs that lock to end."""
    held = world.lease()
    held.__enter__()
    began = time.monotonic()

    with threading._active_limbo_lock:  # type: ignore[attr-defined]
        held.__exit__(None, None, None)

    assert newest_term(world.store, "fleet") == (1, True)
    assert time.monotonic() - began < 10, "a renewal is waited for 15 s"


def test_a_lease_that_its_own_thread_ends_does_not_wait_for_itself(world: World) -> None:
    """The garbage collector may end the generator in any thread."""
    ended: queue.SimpleQueue[float] = queue.SimpleQueue()

    class Ending:
        """A store that ends the lease when it is renewed."""

        def create(self, name: str, data: bytes) -> None:
            if threading.current_thread().name.startswith("lease-"):
                began = time.monotonic()
                held.__exit__(None, None, None)
                ended.put(time.monotonic() - began)
            world.store.create(name, data)

        def __getattr__(self, attribute: str) -> Any:
            return getattr(world.store, attribute)

    held = world.lease(store=Ending(), lease_seconds=1.0)
    held.__enter__()

    assert ended.get(timeout=30) < 0.2, "a renewal is waited for 0.25 s"


def test_a_lease_counts_from_before_its_newest_beat_was_written(world: World):
    slow = Slow(world)
    slow.create_seconds = 14
    with world.lease(store=slow) as lease:
        assert world.now == 28, "the first beat, and that it can't be created again"
        lease.renew()
        assert world.now == 42
        world.now = 72
        lease.check()
        world.now = 73
        assert not is_held(lease)


def test_a_first_beat_that_took_long_leaves_less_time(world: World):
    slow = Slow(world)
    slow.create_seconds = 20
    with world.lease(store=slow) as lease:
        world.now = 45
        assert not is_held(lease)


def test_a_renewal_that_ends_after_the_deadline_revives_nothing(world: World):
    slow = Slow(world)
    with world.lease(store=slow) as lease:
        world.now = 40
        slow.create_seconds = 10
        lease.renew()
        assert not is_held(lease)


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([(70, 0)], id="shows what is there at its end"),
        pytest.param([(0, 0), (0, 70)], id="shows the past"),
    ],
)
def test_a_check_that_took_long_proves_no_silence(world: World, looks: list[tuple[int, int]]):
    with world.lease() as first:
        slow = Slow(world, first.renew)
        slow.look_seconds = looks
        with world.lease("worker-2", store=slow) as second:
            second.check()
            assert world.now > 100
            assert not is_held(first)


class Failing:
    """A store that refuses writes for a while, before or after they took effect."""

    def __init__(self, inner: StateStore) -> None:
        self.inner, self.refuses, self.after = inner, False, False

    def create(self, name: str, data: bytes) -> None:
        if self.after or not self.refuses:
            self.inner.create(name, data)
        if self.refuses:
            raise StateError(f"The state at {name}: No space left on device.")

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.inner, attribute)


@pytest.mark.parametrize("effect", ["not written", "written all the same"])
def test_a_full_disk_is_forgiven_until_the_deadline(world: World, effect: str):
    store = Failing(world.store)
    with world.lease(store=store) as lease:
        store.refuses, store.after = True, effect == "written all the same"
        for _ in range(2):
            world.now += 15
            lease.renew()
            lease.check()
        store.refuses = False
        world.now += 14
        lease.renew()
        world.now += 44
        lease.check()
        assert world.files() == ["00000001-00000001.json", "00000001-00000004.json"]
        store.refuses = True
        world.now += 1
        lease.renew()
        with pytest.raises(LeaseLostError, match="could not be renewed for 45 s"):
            lease.check()
        store.refuses = False
        lease.renew()
        assert not is_held(lease)


def test_the_message_of_a_lost_lease_says_what_the_state_said(world: World):
    store = Failing(world.store)
    with world.lease(store=store) as lease:
        store.refuses = True
        world.now += 15
        lease.renew()
        world.now += 30
        with pytest.raises(LeaseLostError, match=r"The state said: .*No space left on device\. Nothing is lost"):
            lease.check()


NO_CONNECTION = "The store at http://127.0.0.1:1 did not serve s3://bucket/fleet/a (no connection). Check the network."


@pytest.mark.parametrize(
    ("taken_over", "says"),
    [
        pytest.param(
            True, r"for 45 s\. Now pid 4711 on worker-2 since .* has it\. Nothing is lost, and it", id="taken over"
        ),
        pytest.param(
            False, r"for 45 s\. Another process may .* The state said: The store at .*\(no connection\)", id="not yet"
        ),
    ],
)
def test_an_error_of_the_state_after_a_pause_ends_as_the_loss_of_the_lease(
    world: World, says: str, *, taken_over: bool
):
    """The request that was under way when the process stopped has run out of time when it goes on."""

    def submit() -> None:
        with ExitStack() as stack, world.lease():
            world.now += 300
            if taken_over:
                stack.enter_context(world.lease("worker-2")).check()
            raise StateError(NO_CONNECTION)

    with pytest.raises(LeaseLostError, match=says) as lost:
        submit()
    assert str(lost.value.__cause__) == NO_CONNECTION


@pytest.mark.parametrize(
    ("seconds", "error"),
    [
        pytest.param(44, StateError(NO_CONNECTION), id="the lease is held"),
        pytest.param(300, StateCorruptError("fleet/a is not what was written."), id="damage is not the loss's"),
        pytest.param(300, ZeroDivisionError(), id="not the state's"),
    ],
)
def test_other_errors_under_a_lease_pass_as_they_are(world: World, seconds: int, error: Exception):
    def submit() -> None:
        with world.lease():
            world.now += seconds
            raise error

    with pytest.raises(type(error)) as passed:
        submit()
    assert passed.value is error


def test_a_store_that_replaces_files_by_now_is_refused_before_anything_is_sent(world: World):
    """The state was begun when it did not."""

    class Replacing:
        uri = "s3://bucket/state"

        def create(self, name: str, data: bytes) -> None:
            world.store.delete(name)
            world.store.create(name, data)

        def __getattr__(self, attribute: str) -> Any:
            return getattr(world.store, attribute)

    with (
        pytest.raises(ConfigurationError, match=r"state: the store at s3://bucket/state created the same file 2 times"),
        world.lease(store=Replacing()),
    ):
        raise AssertionError("submits in a store that holds nothing back")
    assert world.files() == ["00000001-00000001.json", "00000001-released.json"]


def test_a_first_beat_that_a_successor_has_cleared_away_does_not_blame_the_store(world: World):
    """It was stopped right after its first beat, for so long that another began the next term: the name is free again."""
    with ExitStack() as stack:

        class Sleepy:
            uri = world.store.uri
            beats = 0

            def create(self, name: str, data: bytes) -> None:
                self.beats += 1
                if self.beats == 2:
                    world.now += 300
                    stack.enter_context(world.lease("worker-2"))
                world.store.create(name, data)

            def __getattr__(self, attribute: str) -> Any:
                return getattr(world.store, attribute)

        taken_over = r"another process took it over\. Now pid 4711 on worker-2"
        with pytest.raises(LeaseLostError, match=taken_over), world.lease(store=Sleepy()):
            raise AssertionError("two hold it")
        assert world.files() == ["00000002-00000001.json"]


def test_a_beat_in_doubt_is_not_written_again_under_its_number(world: World):
    """Others may have seen it when it was written; counted from its repetition, the lease would last too long."""
    store = Failing(world.store)
    with world.lease(store=store) as lease:
        store.refuses = store.after = True
        world.now += 15
        lease.renew()
        assert world.files() == ["00000001-00000001.json", "00000001-00000002.json"]
        store.refuses = False
        world.now += 15
        lease.renew()
        assert world.files() == ["00000001-00000001.json", "00000001-00000003.json"]


def test_a_lost_answer_to_our_own_write_is_no_conflict(world: World):
    class LostAnswer:
        """A bucket whose client repeats a write that had worked, and finds that the name exists."""

        def create(self, name: str, data: bytes) -> None:
            world.store.create(name, data)
            world.store.create(name, data)

        def __getattr__(self, attribute: str) -> Any:
            return getattr(world.store, attribute)

    with world.lease(store=LostAnswer()) as lease:
        lease.check()
        world.now += 40
        lease.renew()
        world.now += 40
        lease.check()
    assert world.files()[-1] == "00000001-released.json"


def test_of_two_that_both_saw_it_expire_one_gets_it(world: World):
    """The rival takes the term between the other's look and its write."""
    with abandoned(world, "worker-1"), ExitStack() as stack:
        rivals: list[Lease] = []

        class Overtaken:
            def create(self, name: str, data: bytes) -> None:
                if not rivals and "/00000002-" in name:
                    rivals.append(stack.enter_context(world.lease("worker-3")))
                world.store.create(name, data)

            def __getattr__(self, attribute: str) -> Any:
                return getattr(world.store, attribute)

        stop = threading.Event()

        def meanwhile() -> None:
            if rivals:
                rivals[0].check()
                stop.set()

        world.meanwhile = meanwhile
        with pytest.raises(StoppedError), world.lease("worker-2", store=Overtaken(), stop=stop):
            raise AssertionError("two hold it")


@pytest.mark.parametrize("longest", [None, 0.0], ids=["for ever", "not at all"])
def test_of_two_that_begin_at_once_the_second_says_for_whom_it_waits_or_gives_up_at_once(
    world: World, longest: float | None
):
    with ExitStack() as stack:
        rivals: list[Lease] = []

        class Overtaken:
            def create(self, name: str, data: bytes) -> None:
                if not rivals and "/00000001-" in name:
                    rivals.append(stack.enter_context(world.lease("worker-3")))
                world.store.create(name, data)

            def __getattr__(self, attribute: str) -> Any:
                return getattr(world.store, attribute)

        stop = threading.Event()
        world.meanwhile = stop.set
        ended = pytest.raises(StoppedError if longest is None else LeaseBusyError)
        with ended as error, world.lease("worker-2", store=Overtaken(), stop=stop, longest_wait=longest):
            raise AssertionError("two hold it")

    said = str(error.value) if world.told == [] else world.told[0]
    assert "Source fleet is being submitted by pid 4711 on worker-3" in said
    assert world.now == (5.0 if longest is None else 0.0)


def test_a_taker_that_slept_over_a_whole_term_does_not_get_it_again(world: World):
    """The files of the term that it wants are gone, so its write succeeds: only the later term gives it away."""
    with ExitStack() as stack:
        later: list[Lease] = []

        class Sleepy:
            def create(self, name: str, data: bytes) -> None:
                if not later and "/00000001-" in name:
                    with world.lease("worker-3"):
                        pass
                    later.append(stack.enter_context(world.lease("worker-4")))
                world.store.create(name, data)

            def __getattr__(self, attribute: str) -> Any:
                return getattr(world.store, attribute)

        stop = threading.Event()
        world.meanwhile = stop.set
        with pytest.raises(StoppedError), world.lease("worker-2", store=Sleepy(), stop=stop):
            raise AssertionError("two hold it")
        later[0].check()
        assert world.files() == ["00000002-00000001.json"]


def test_a_holder_with_a_longer_lease_is_given_its_time(world: World):
    with ExitStack() as stack:
        stack.enter_context(world.lease(lease_seconds=600))
        with world.lease("worker-2", lease_seconds=60):
            assert 600 <= world.now <= 606


@pytest.mark.parametrize("claim", [b"", b"[]", b'{"holder":{}}', b"\xff"], ids=["empty", "list", "no holder", "binary"])
def test_a_lease_file_that_cannot_be_read_is_known_by_its_beats(world: World, claim: bytes):
    world.store.create(f"{FOLDER}00000007-00000001.json", claim)
    world.store.create(f"{FOLDER}notes.txt", b"not ours")

    with world.lease() as lease:
        assert lease.term == 8
        assert world.now >= 60
        assert "being submitted by another process" in world.told[0]
        assert world.files() == ["00000008-00000001.json", "notes.txt"]


def test_what_ended_the_block_is_not_hidden_by_a_state_that_takes_no_release(world: World):
    store = Failing(world.store)

    def submit() -> None:
        with world.lease(store=store):
            store.refuses = True
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        submit()
    assert "could not be given back" in world.told[0]
    assert "No space left" in world.told[0]


def test_a_state_that_takes_no_first_beat_is_reported(world: World):
    store = Failing(world.store)
    store.refuses = True
    with pytest.raises(StateError, match="No space left"), world.lease(store=store):
        raise AssertionError("held without a file")


def test_a_beat_says_who_holds_the_lease(world: World):
    with world.lease("worker-3"):
        claim = json.loads(world.store.read(f"{FOLDER}00000001-00000001.json"))

    assert Holder.from_json(claim["holder"]) == somebody_on("worker-3")
    assert claim["lease_seconds"] == 60


def test_the_thread_renews_until_the_block_ends(world: World):
    fourth = threading.Event()

    class Watched:
        def create(self, name: str, data: bytes) -> None:
            world.store.create(name, data)
            if name.endswith("-00000004.json"):
                fourth.set()

        def __getattr__(self, attribute: str) -> Any:
            return getattr(world.store, attribute)

    with world.lease(store=Watched(), lease_seconds=0.04) as lease:
        assert fourth.wait(10)
        lease.check()
    assert not [thread for thread in threading.enumerate() if thread.name == "lease-fleet"]


def test_the_default_clock_goes_on_and_never_back():
    first = steady_seconds()

    assert 0 <= steady_seconds() - first < 60


class Dying:
    """A store whose process ends before or after one of its writes, deletions included; nothing reaches it after that."""

    def __init__(self, inner: StateStore, number: int, moment: str) -> None:
        self.inner, self.left, self.moment, self.is_dead = inner, number, moment, False

    def create(self, name: str, data: bytes) -> None:
        self.write(lambda: self.inner.create(name, data))

    def delete(self, name: str) -> None:
        self.write(lambda: self.inner.delete(name))

    def write(self, act: Callable[[], object]) -> None:
        if self.is_dead:
            raise Crash
        self.left -= 1
        self.is_dead = self.left == 0
        if not self.is_dead or self.moment == "after":
            act()
        if self.is_dead:
            raise Crash

    def __getattr__(self, attribute: str) -> Any:
        if self.is_dead:
            raise Crash
        return getattr(self.inner, attribute)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_any_write_leaves_a_lease_that_the_next_one_gets(moment: str):
    for number in count(1):
        world = World(BucketStateStore(MemoryStore(), "memory://state"))
        with abandoned(world, "worker-1") as first:
            first.renew()  # leftovers: two beats and no release
            store = Dying(world.store, number, moment)
            with suppress(Crash), world.lease("worker-2", store=store) as second:
                for _ in range(3):
                    world.now += 15
                    second.renew()
            began = world.now
            with world.lease("worker-3") as third:
                third.check()
                assert world.now - began <= 66
            assert not is_held(first)
        with world.lease("worker-4") as fourth:
            fourth.check()
            assert len(world.files()) == 1
        if not store.is_dead:
            break
    assert number > 8, "there was nothing to crash at"
