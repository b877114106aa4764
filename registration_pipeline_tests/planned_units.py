"""Plans of units of many objects, written through the real writer of waves: no rule makes such units yet.

What belongs here is putting them into a fleet's state, and random worlds of them; tests say what becomes of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from registration_pipeline.ids import unit_id
from registration_pipeline.inventory.inventory import latest_inventory
from registration_pipeline.objects import KINDS, MediaKind
from registration_pipeline.planning.chunking import ChunkCutter
from registration_pipeline.planning.counts import PlanCounts
from registration_pipeline.planning.decision import digest_rules
from registration_pipeline.planning.lineage import commit_wave
from registration_pipeline.planning.schema import PLAN_SCHEMA
from registration_pipeline.planning.wave import Wave, load_waves
from registration_pipeline.planning.wave_writer import StateWaveWriter
from registration_pipeline.urls import url_writer
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

GROUP_KINDS = [kind for kind, spec in KINDS.items() if spec.is_group]


class Group(NamedTuple):
    """A unit to be planned.

    Args:
        name: what its id and title follow from; of a single kind, the key.
        keys: of its objects, in the order of their positions.
    """

    kind: MediaKind
    name: str
    keys: tuple[str, ...]

    @property
    def unit_id(self) -> str:
        """The id that it has in a source named fleet."""
        return unit_id("fleet", self.kind, self.name)


def plan_groups(fleet: Any, groups: Sequence[Group], *, chunk_units: int = 100) -> Wave:
    """Put the objects into the fleet's bucket, list it, and commit a wave that plans them as these units."""
    fleet.put(*(key for group in groups for key in group.keys))
    fleet.take_inventory()
    store, source = fleet.store, fleet.source
    inventory = latest_inventory(store, source.name)
    assert inventory is not None
    cutter = ChunkCutter(inventory.inventory_id, dict.fromkeys(MediaKind, chunk_units))
    rows = sorted(
        (row for group in sorted(groups, key=lambda group: min(group.keys)) for row in _rows(fleet, group, cutter)),
        key=lambda row: str(row["key"]).encode(),
    )
    with StateWaveWriter(store, source.name, inventory.inventory_id) as writer:
        writer.write_new(pa.RecordBatch.from_pylist(rows, schema=PLAN_SCHEMA))
        files = writer.finish(cutter.finish())
    wave = Wave(
        wave_id=inventory.inventory_id,
        source=source.name,
        inventory_id=inventory.inventory_id,
        rules_digest=digest_rules(source),
        listing_digest=inventory.digest,
        counts=PlanCounts(objects=len(rows), new=len(rows)),
        parts=files.parts,
        part_first_keys=files.part_first_keys,
        chunk_files=files.chunk_files,
        planned_at=fleet.time.clock(),
    )
    assert commit_wave(store, wave, len(load_waves(store, source.name)) + 1)
    return wave


def _rows(fleet: Any, group: Group, cutter: ChunkCutter) -> list[dict[str, Any]]:
    """Return the rows of one unit, placed in the next chunk of its kind that has room."""
    urls = list(map(url_writer(fleet.source), group.keys))
    objects = [fleet.objects[key] for key in group.keys]
    chunk_id, unit_index = cutter.place(
        group.kind,
        min(group.keys),
        max(group.keys),
        size=sum(facts["size"] for facts in objects),
        url_bytes=sum(map(len, urls)),
        objects=len(urls),
        title=group.name,
    )
    unit = {"chunk_id": chunk_id, "kind": group.kind.value, "unit_index": unit_index, "unit_id": group.unit_id}
    return [
        {**facts, **unit, "key": key, "position": position, "title": group.name, "object_url": url}
        for position, (key, url, facts) in enumerate(zip(group.keys, urls, objects, strict=True))
    ]


unit_sizes = st.one_of(st.integers(1, 4), st.integers(1, 50))
members = st.floats(0, 1, exclude_max=True)
"""Which of something, as a share of how many there are."""


@dataclass
class World:
    """Units that were planned, and what was done to them."""

    fleet: Any
    groups: Sequence[Group]
    failing: frozenset[str]
    """Keys that Encord refuses."""

    @property
    def failed(self) -> list[Group]:
        return [group for group in self.groups if self.failing & set(group.keys)]

    @property
    def registered(self) -> list[Group]:
        return [group for group in self.groups if not self.failing & set(group.keys)]

    def left(self, groups: Sequence[Group]) -> list[tuple[str, ...]]:
        """Return, of the units that the bucket still holds any object of, those objects."""
        kept = (tuple(key for key in group.keys if key in self.fleet.objects) for group in groups)
        return [keys for keys in kept if keys]


def make_world(new_fleet: Any, drawn: dict[str, Any]) -> World:
    """Plan units whose members are scattered over the bucket, and refuse one member of some."""
    spread: Random = drawn["spread"]
    sizes: list[tuple[MediaKind, int]] = drawn["units"]
    keys = [f"raw/é{number:04d}.jpg" for number in range(sum(size for _, size in sizes))]
    spread.shuffle(keys)
    groups = []
    for number, (kind, size) in enumerate(sizes):
        own = tuple(keys.pop() for _ in range(size))
        groups.append(Group(kind, own[0] if kind is MediaKind.IMAGE else f'"group" {number}', own))
    failing = frozenset(
        groups[number % len(groups)].keys[int(share * len(groups[number % len(groups)].keys))]
        for number, share in drawn["failing"]
    )
    fleet = new_fleet()
    plan_groups(fleet, groups, chunk_units=drawn["chunk_units"])
    url_of = {entry.key: entry.object_url for unit in fleet.units() for entry in unit.objects}
    refused = {url_of[key] for key in failing}
    fleet.encord.fails = lambda url: "could not decode" if url in refused else None
    return World(fleet, groups, failing)


worlds = st.fixed_dictionaries(
    {
        "units": st.lists(
            st.one_of(
                st.tuples(st.sampled_from(GROUP_KINDS), unit_sizes), st.tuples(st.just(MediaKind.IMAGE), st.just(1))
            ),
            min_size=1,
            max_size=6,
        ),
        "failing": st.lists(st.tuples(st.integers(0, 5), members), max_size=3),
        "chunk_units": st.integers(1, 3),
        "spread": st.randoms(use_true_random=False),
    }
)
few_examples = settings(
    deadline=None, max_examples=examples(6, thorough=150), suppress_health_check=[HealthCheck.too_slow]
)
changes = st.lists(st.tuples(st.sampled_from(["delete", "change"]), members), max_size=40)


def change_bucket(world: World, changes: Sequence[tuple[str, float]]) -> set[str]:
    """Delete and overwrite objects, and return those that were overwritten and are still there."""
    fleet, changed = world.fleet, set[str]()
    for act, share in changes:
        keys = sorted(fleet.objects)
        if not keys:
            break
        key = keys[int(share * len(keys))]
        if act == "delete":
            del fleet.objects[key]
        else:
            fleet.objects[key]["e_tag"] = "another"
            changed.add(key)
    return {key for key in changed if key in fleet.objects}
