"""Sources of one state that register in one Encord folder take turns there, and a folder never stays occupied."""

from __future__ import annotations

import random
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import MemoryStore

from registration_pipeline.errors import LeaseBusyError, LeaseLostError, StateError, StoppedError
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.folder_lease import hold_folder, hold_title, newest_entry
from registration_pipeline.state.lease import hold_lease
from registration_pipeline_tests.unit.state.lease_world import START, World, is_held, somebody_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registration_pipeline.state.lease import Lease

FOLDER = "6b2f9a80-0000-4000-8000-000000000001"
NAMES = f"_folders/{FOLDER}/"


class Sources:
    """Sources of one state, each on a host of its own, in the time of a world."""

    def __init__(self, world: World, stack: ExitStack) -> None:
        self.world, self.stack = world, stack

    def lease(self, source: str, **options: Any) -> Lease:
        values: dict[str, Any] = {
            "clock": lambda: START,
            "monotonic": lambda: self.world.now,
            "sleep": self.world.sleep,
            "notify": self.world.told.append,
            "stop": threading.Event(),
            "holder": somebody_on(f"host of {source}"),
        }
        store = options.pop("store", self.world.store)
        return self.stack.enter_context(hold_lease(store, source, **values | options))

    def files(self) -> list[str]:
        return [name.removeprefix(NAMES) for name in self.world.store.names(NAMES)]


def renewing(*leases: Lease) -> Callable[[], None]:
    """What happens while the test waits: these write their beats."""

    def renew() -> None:
        for lease in leases:
            lease.renew()

    return renew


@pytest.fixture
def sources(world: World) -> Iterator[Sources]:
    with ExitStack() as stack:
        yield Sources(world, stack)


def test_the_second_waits_says_for_whom_and_gives_up_in_time(sources: Sources, world: World) -> None:
    first, second = sources.lease("fleet"), sources.lease("harbour", longest_wait=30)
    hold_folder(world.store, first, FOLDER)
    world.meanwhile = renewing(first, second)

    with pytest.raises(
        LeaseBusyError, match=rf"fleet is being .* on host of fleet .*, to Encord folder {FOLDER}"
    ) as busy:
        hold_folder(world.store, second, FOLDER)

    assert 30 <= world.now <= 35
    assert busy.value.folder == FOLDER
    (said,) = world.told
    assert said.startswith(f"Source harbour registers in Encord folder {FOLDER}, as source fleet does")
    assert is_held(first)
    assert sources.files() == ["00000001.json"]


@pytest.mark.parametrize("is_followed", [False, True], ids=["released", "followed by the next run of its source"])
def test_a_folder_is_free_at_once_when_the_lease_that_had_it_has_ended(
    sources: Sources, world: World, *, is_followed: bool
) -> None:
    first = sources.lease("fleet")
    hold_folder(world.store, first, FOLDER)
    first.close()
    if is_followed:
        sources.lease("fleet")
    began = world.now

    hold_folder(world.store, sources.lease("harbour"), FOLDER)

    assert world.now == began
    assert sources.files() == ["00000002.json"]
    assert newest_entry(world.store, FOLDER).source == "harbour"  # type: ignore[union-attr]


def test_a_silent_holder_is_followed_after_one_lease_and_has_given_up_by_then(sources: Sources, world: World) -> None:
    first, second = sources.lease("fleet"), sources.lease("harbour")
    hold_folder(world.store, first, FOLDER)
    world.meanwhile = second.renew

    hold_folder(world.store, second, FOLDER)

    assert 60 <= world.now <= 66
    assert not is_held(first)
    assert is_held(second)


def test_the_next_run_of_the_same_source_takes_its_folder_again(sources: Sources, world: World) -> None:
    for term in (1, 2, 3):
        lease = sources.lease("fleet")
        hold_folder(world.store, lease, FOLDER)
        assert newest_entry(world.store, FOLDER).term == lease.term == term  # type: ignore[union-attr]
        lease.close()
    assert sources.files() == ["00000003.json"]


def test_who_loses_its_own_lease_while_it_waits_gets_no_folder(sources: Sources, world: World) -> None:
    first, second = sources.lease("fleet"), sources.lease("harbour")
    hold_folder(world.store, first, FOLDER)
    world.meanwhile = first.renew  # the other one can't write any more

    with pytest.raises(LeaseLostError):
        hold_folder(world.store, second, FOLDER)
    assert newest_entry(world.store, FOLDER).source == "fleet"  # type: ignore[union-attr]


def test_an_entry_that_cannot_be_read_is_waited_out(sources: Sources, world: World) -> None:
    world.store.create(f"{NAMES}00000004.json", b"?")
    lease = sources.lease("harbour")
    world.meanwhile = lease.renew

    hold_folder(world.store, lease, FOLDER)

    assert 60 <= world.now <= 66
    assert sources.files() == ["00000005.json"]


def test_a_stop_ends_the_wait(sources: Sources, world: World) -> None:
    stop = threading.Event()
    first, second = sources.lease("fleet"), sources.lease("harbour", stop=stop)
    hold_folder(world.store, first, FOLDER)
    world.meanwhile = stop.set

    with pytest.raises(StoppedError):
        hold_folder(world.store, second, FOLDER)


def test_two_sources_that_make_a_folder_of_one_title_take_turns(sources: Sources, world: World) -> None:
    first, second = sources.lease("fleet"), sources.lease("harbour", longest_wait=0)
    hold_title(world.store, first, "all media")
    hold_title(world.store, second, "another title")

    with pytest.raises(LeaseBusyError):
        hold_title(world.store, second, "all media")


class Sleepy:
    """A store whose process sleeps before its next creation of a folder's entry, while something else happens."""

    def __init__(self, inner: Any, meanwhile: Callable[[], object]) -> None:
        self.inner, self.meanwhile = inner, [meanwhile]

    def create(self, name: str, data: bytes) -> None:
        if name.startswith("_folders/") and self.meanwhile:
            self.meanwhile.pop()()
        self.inner.create(name, data)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.inner, attribute)


def test_who_slept_over_several_turns_does_not_get_an_old_number_again(sources: Sources, world: World) -> None:
    sleeper = sources.lease("fleet", longest_wait=0)

    def others() -> None:
        passed = sources.lease("harbour")
        hold_folder(world.store, passed, FOLDER)
        passed.close()
        hold_folder(world.store, sources.lease("depot"), FOLDER)

    with pytest.raises(LeaseBusyError):
        hold_folder(Sleepy(world.store, others), sleeper, FOLDER)
    assert sources.files() == ["00000002.json"]
    assert newest_entry(world.store, FOLDER).source == "depot"  # type: ignore[union-attr]


class Unsteady:
    """A store whose creations fail now and then, before or after they took effect."""

    def __init__(self, inner: Any, moments: random.Random) -> None:
        self.inner, self.moments = inner, moments

    def create(self, name: str, data: bytes) -> None:
        fate = self.moments.random() if name.startswith("_folders/") else 1.0
        if fate > 0.1:
            self.inner.create(name, data)
        if fate < 0.2:
            raise StateError("the answer was lost")

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.inner, attribute)


@pytest.mark.parametrize("seed", range(20))
def test_of_many_sources_one_has_the_folder_at_a_time_whatever_fails(seed: int) -> None:
    moments = random.Random(seed)
    world = World(BucketStateStore(MemoryStore(), "memory://state"))
    store: Any = Unsteady(world.store, moments)
    holding: dict[str, Lease] = {}
    turns = 0
    for number in range(40):
        with ExitStack() as stack:
            source = f"s{moments.randrange(4)}"
            lease = Sources(world, stack).lease(source)
            world.meanwhile = lease.renew
            try:
                hold_folder(store, lease, FOLDER)
            except StateError:
                continue
            turns += 1
            assert not [one for one, other in holding.items() if one != source and is_held(other)]
            holding = {source: lease}
            if moments.random() < 0.5:  # it dies without a word
                stack.pop_all()
            world.now += moments.uniform(0, 30)
            assert len(list(world.store.names(NAMES))) <= number + 1
    assert turns > 20
