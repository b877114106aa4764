"""Any bucket, any rules, any order of nights: a plan comes to what the model of plain dictionaries comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from registration_pipeline_tests.doses import DOSES
from registration_pipeline_tests.plan_model.nights import STORIES
from registration_pipeline_tests.plan_model.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline_tests.plan_model.model import Rules
    from registration_pipeline_tests.plan_model.nights import NightStory


@pytest.mark.soak
@settings(deadline=None, max_examples=DOSES.plan_stories)
@given(story=STORIES)
def test_every_object_has_one_fate_every_unit_is_whole_and_nothing_is_planned_twice(
    new_bucket: Callable[..., Any], story: tuple[Rules, list[NightStory]]
) -> None:
    rules, nights = story
    world = World(new_bucket(), rules)
    for night in nights:
        world.live(night)
