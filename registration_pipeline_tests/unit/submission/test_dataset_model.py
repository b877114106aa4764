"""Any story of nights of linking, with kills, lost replies and retries: every registered item ends in one dataset, once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import HaltError, StateError
from registration_pipeline.settings.metadata import DatasetSettings
from registration_pipeline_tests.dataset_model.world import (
    Absent,
    Answer,
    Crash,
    DyingStore,
    LinkWorld,
    ScriptedDatasets,
    item,
)
from registration_pipeline_tests.doses import DOSES

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Night:
    """What happens before a night's linking, and during it.

    Args:
        new: units of new chunks.
        retried: whether a chunk with failures is registered again, which registers all of it.
        deleted: how many items are deleted in Encord before it.
        forced: whether a chunk is sent again by force, which registers its deleted items under new UUIDs.
        max_items: of a dataset from now on.
        answers: of the calls.
        dies_at: the process ends at this record, before or after it is there; 0: it does not.
    """

    new: list[int] = field(default_factory=list)
    retried: bool = False
    deleted: int = 0
    forced: bool = False
    max_items: int = 7
    answers: list[Answer] = field(default_factory=list)
    dies_at: int = 0
    dies_after: bool = False
    retry_failed: bool = False
    threads: int = 1


NIGHTS = st.builds(
    Night,
    new=st.lists(st.integers(0, 9), max_size=3),
    retried=st.booleans(),
    deleted=st.integers(0, 3),
    forced=st.booleans(),
    max_items=st.integers(1, 12),
    answers=st.lists(st.sampled_from(Answer), max_size=8),
    dies_at=st.integers(0, 12),
    dies_after=st.booleans(),
    retry_failed=st.booleans(),
    threads=st.sampled_from([1, 1, 3]),
)


class Story:
    """A world that lives through nights; draws what the nights leave open."""

    def __init__(self, encord: ScriptedDatasets, seed: int, *, is_steady: bool) -> None:
        self.world = LinkWorld(encord)
        self.is_steady = is_steady
        self.random = Random(seed)
        self.largest = 1
        self.names = iter(range(1_000_000))
        self.most_seen: set[tuple[str, str]] = set()

    def live(self, night: Night) -> None:
        world, random = self.world, self.random
        for count in night.new:
            number = next(self.names)
            failed = random.random() < 0.4
            named = {f"{number}-{n}": item(f"{number}-{n}") for n in range(count)}
            broken = {f"{number}-bad": None} if failed else {}
            world.conclude(f"chunk-{number:04}", {**named, **broken} or {f"{number}-bad": None})
        if night.retried:
            for chunk_id, units in list(world.units.items()):
                if None in units.values():
                    world.conclude(chunk_id, {unit: uuid or item(f"late {unit}") for unit, uuid in units.items()})
        existing = sorted(world.encord.items)
        world.encord.delete(*random.sample(existing, min(night.deleted, len(existing))))
        if night.forced and world.units:
            self._force(random.choice(sorted(world.units)))
        world.settings = DatasetSettings(title="fleet", max_items=night.max_items)
        self.largest = max(self.largest, night.max_items)
        self._link(night)

    def _force(self, chunk_id: str) -> None:
        held = self.world.encord.items
        units = self.world.units[chunk_id]
        again = {
            unit: uuid if uuid is None or uuid in held else item(f"{unit} {next(self.names)}")
            for unit, uuid in units.items()
        }
        self.world.conclude(chunk_id, again)

    def _link(self, night: Night) -> None:
        world = self.world
        world.encord.answers = list(night.answers)
        store = DyingStore(world.store, night.dies_at, after=night.dies_after) if night.dies_at else None
        before = {(uuid, one) for uuid, rows in world.encord.rows.items() for one in rows}
        with suppress(Crash, HaltError, StateError):
            world.link(store=store, retry_failed=night.retry_failed, threads=night.threads, items_per_intent=10)
        after = {(uuid, one) for uuid, rows in world.encord.rows.items() for one in rows}
        assert before <= after, "something was unlinked"
        world.encord.answers = []

    def check(self) -> None:
        """After one night without trouble everything is as it should be."""
        world = self.world
        world.link(items_per_intent=10)
        expected = [uuid for uuid in world.registered if uuid in world.encord.items]
        links = world.links()
        assert {one: links[one] for one in expected} == dict.fromkeys(expected, 1)
        assert set(links.values()) <= {1}
        assert max((len(rows) for rows in world.encord.rows.values()), default=0) <= self.largest
        missing = [uuid for uuid in world.registered if uuid not in world.encord.items]
        assert set(world.failures()) <= set(missing)
        known = world.ledger.chunks
        assert sum(one.total for one in known.values()) == len(world.registered)
        titles = list(world.encord.titles.values())
        assert len(titles) == len(set(titles)), "a dataset was made twice"
        if self.is_steady:
            numbers = [len(rows) for rows in world.encord.rows.values()]
            assert set(numbers[:-1]) <= {world.settings.max_items}, "a dataset before the last one was not filled"
            assert 0 not in numbers, "an empty dataset was left"


@pytest.mark.soak
@settings(
    max_examples=DOSES.link_stories,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    nights=st.lists(NIGHTS, min_size=1, max_size=6),
    absent=st.sampled_from(Absent),
    lists_all=st.booleans(),
    names_items=st.booleans(),
    seed=st.integers(0, 1_000_000),
    steady=st.none() | st.integers(1, 5),
)
def test_every_registered_item_ends_in_one_dataset_once(
    nights: Sequence[Night], absent: Absent, seed: int, steady: int | None, *, lists_all: bool, names_items: bool
) -> None:
    """``steady``: this is ``max_items`` every night and nothing is deleted, so all datasets but the last are full."""
    encord = ScriptedDatasets(absent=absent, lists_all=lists_all, names_items=names_items)
    story = Story(encord, seed, is_steady=steady is not None)

    for drawn in nights:
        night = drawn if steady is None else replace(drawn, max_items=steady, deleted=0)
        story.live(night)
    story.check()
