"""What the model check has found, each as one small story that must never happen again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline_tests.submission_model import variants
from registration_pipeline_tests.submission_model.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline_tests.submission_model.process import Process


@pytest.fixture
def world_of(new_fleet: Any) -> Callable[..., World]:
    """Make a planned source with objects of these names in one chunk."""

    def make(*names: str, variant: variants.Variant = variants.GOOD) -> World:
        world = World(new_fleet, variant, chunk_size={"images": 5})
        world.fleet.put(*(f"raw/{name}" for name in names))
        world.sync()
        return world

    return make


def go_until(process: Process, act: str) -> None:
    """Let it go on until it stands before the act."""
    for _ in range(200):
        if process.act == act:
            return
        process.step()
    raise AssertionError(f"it never came to {act}")


def test_a_split_that_is_written_after_another_process_gave_the_attempt_up(world_of: Callable[..., World]):
    """A machine that falls asleep between Encord's refusal and its record left a journal that nobody could read."""
    world = world_of("a.jpg", "b.jpg")
    world.encord.most_units = 1
    asleep = world.start(world.nightly)
    go_until(asleep, "split")
    asleep.is_frozen = True
    other = world.start(world.nightly)
    go_until(other, "closed")
    other.step()

    world.finish(asleep)

    world.check()
    world.end()
    assert len(world.encord.urls()) == 2
