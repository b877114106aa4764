"""What the model check has found, each as one small story that must never happen again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import StoppedError
from registration_pipeline_tests.submission_model import variants
from registration_pipeline_tests.submission_model.hostile_encord import Fate
from registration_pipeline_tests.submission_model.world import World

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def world_of(new_fleet: Any) -> Callable[..., World]:
    """Make a planned source with objects of these names in one chunk."""

    def make(*names: str, variant: variants.Variant = variants.GOOD) -> World:
        world = World(new_fleet, variant, chunk_size={"images": 5})
        world.fleet.put(*(f"raw/{name}" for name in names))
        world.sync()
        return world

    return make


def test_a_split_that_is_written_after_another_process_gave_the_attempt_up(world_of: Callable[..., World]):
    """A machine that falls asleep between Encord's refusal and its record left a journal that no one could read."""
    world = world_of("a.jpg", "b.jpg")
    world.encord.most_units = 1
    asleep = world.start(world.nightly)
    asleep.go_until("split")
    asleep.is_frozen = True
    other = world.start(world.nightly)
    other.go_until("closed")
    other.step()

    world.finish(asleep)

    world.check()
    world.end()
    assert len(world.encord.urls()) == 2


def failing(world: World) -> None:
    world.encord.troubles = {url: ("corrupt", float("inf")) for url in world.key_of}


def test_two_processes_that_replace_the_same_leftover_of_a_failure_log(world_of: Callable[..., World]):
    """The one that held the lease ended with "exists already", because the one before it had woken up."""
    world = world_of("a.jpg")
    failing(world)
    killed = world.start(world.nightly)
    killed.go_until("failures")
    killed.step()
    killed.kill()
    asleep = world.start(world.nightly)
    asleep.go_until("failures")
    asleep.step()
    assert not list(world.store.names("fleet/failures/"))
    asleep.is_frozen = True
    other = world.start(world.nightly)
    other.go_until("failures")
    other.step()

    asleep.step()
    world.finish(other)

    assert other.halt is None
    world.end()


def test_the_failure_log_of_a_chunk_is_not_replaced_by_a_process_that_was_overtaken(world_of: Callable[..., World]):
    world = world_of("a.jpg")
    failing(world)
    asleep = world.start(world.nightly)
    asleep.go_until("outcomes")
    asleep.is_frozen = True
    world.finish(world.start(world.nightly))
    logs = {name: world.store.read(name) for name in world.store.names("fleet/failures/")}
    assert len(logs) == 2

    world.finish(asleep)

    assert isinstance(asleep.halt, StoppedError)
    assert {name: world.store.read(name) for name in world.store.names("fleet/failures/")} == logs


def test_an_entry_that_is_refused_after_a_lost_attempt_registered_it(world_of: Callable[..., World]):
    """It was called failed, though it was in the folder: a refusal was taken at its word without a look."""
    world = world_of("a.jpg", "b.jpg")
    world.encord.fates = [Fate(is_forgotten=True, units=1)]
    process = world.start(world.nightly)
    process.go_until("poll")
    (there,) = world.encord.urls()
    world.encord.refused.add(there)

    world.finish(process)

    registered, failed, _ = world.standings()
    assert (registered, failed) == ({"raw/a.jpg", "raw/b.jpg"}, set())
