"""Audits of random units of 1 to 5 objects against a model in dictionaries, computed without any code of the audit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from uuid import NAMESPACE_URL, uuid5

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registration_pipeline.audit.audit import AuditLimits
from registration_pipeline.audit.report import audit_findings
from registration_pipeline.ids import objects_digest
from registration_pipeline.objects import MediaKind
from registration_pipeline.submission.gateway import RemoteItem
from registration_pipeline_tests.doses import DOSES
from registration_pipeline_tests.planned_units import GROUP_KINDS, Group, plan_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(1800)]

HOME, ARCHIVE = "fleet", "archive"  # the source's folder, and one that no audit lists

hands = st.one_of(
    *(
        st.tuples(st.just(act))
        for act in ("remove", "move", "copy", "forget", "change", "delete", "single", "stranger")
    ),
    st.tuples(
        st.just("by hand"),
        st.sampled_from(["same", "reversed", "without one", "with one more", "one twice", "encoded"]),
        st.sampled_from([None, "0123456789abcdef"]),
    ),
)
worlds = st.fixed_dictionaries(
    {
        "sizes": st.lists(
            st.one_of(st.tuples(st.sampled_from(GROUP_KINDS), st.integers(1, 5)), st.just((MediaKind.IMAGE, 1))),
            min_size=1,
            max_size=6,
        ),
        "chunk_units": st.integers(1, 3),
        "failing": st.sets(st.integers(0, 11), max_size=2),
        "registered_chunks": st.integers(0, 6),
        "hands": st.lists(st.tuples(st.integers(0, 11), st.integers(0, 4), hands), max_size=10),
        "partition": st.sampled_from([1, 2, 1000]),
        "spread": st.randoms(use_true_random=False),
    }
)


class GroupWorld:
    """Planned units, some registered, some failed, some not tried; and hands that change Encord and the bucket."""

    def __init__(self, new_fleet: Any, drawn: dict[str, Any]) -> None:
        keys = [f"raw/é{number:03d}.jpg" for number in range(sum(size for _, size in drawn["sizes"]))]
        drawn["spread"].shuffle(keys)
        self.groups = []
        for number, (kind, size) in enumerate(drawn["sizes"]):
            own = tuple(keys.pop() for _ in range(size))
            self.groups.append(Group(kind, own[0] if kind is MediaKind.IMAGE else f"group {number}", own))
        self.fleet = new_fleet()
        plan_groups(self.fleet, self.groups, chunk_units=drawn["chunk_units"])
        self.urls = {entry.key: entry.object_url for unit in self.fleet.units() for entry in unit.objects}
        failing = {self.urls[key] for key in self.urls if int(key[5:8]) in drawn["failing"]}
        self.fleet.encord.fails = lambda url: "403" if url in failing else None
        self.fleet.register(tasks=self.fleet.tasks()[: drawn["registered_chunks"]])
        self.changed: set[str] = set()
        self._numbers = count()
        for unit, member, hand in drawn["hands"]:
            group = self.groups[unit % len(self.groups)]
            self.use_hand(group, group.keys[member % len(group.keys)], *hand)
        self.fleet.take_inventory()

    def folder(self, name: str) -> list[RemoteItem]:
        items: list[RemoteItem] = self.fleet.encord.items.setdefault(self.fleet.encord.create_folder(name), [])
        return items

    def contents(self, item: RemoteItem) -> list[str]:
        """Return the decoded URLs of an item, whatever it is."""
        children = self.fleet.encord.child_items(self.fleet.encord.create_folder(HOME), item.item_uuid)
        return [unquote(child.url) for child in children] if children else [unquote(item.url or "")]

    def use_hand(self, group: Group, key: str, act: str, *how: Any) -> None:
        items, urls = self.folder(HOME), [self.urls[key] for key in group.keys]
        held = next((item for item in items if item.name == group.name), None)
        if act == "change" and key in self.fleet.objects:
            self.fleet.objects[key]["e_tag"] = "another"
            self.changed.add(key)
        elif act == "delete":
            self.fleet.objects.pop(key, None)
        elif act == "single":
            self.put(self.urls[key], name="single")
        elif act == "stranger":
            self.put(None, contents=["s3://other/1.jpg", "s3://other/2.jpg"])
        elif act == "by hand" and group.kind is not MediaKind.IMAGE:
            changed = {
                "same": urls,
                "reversed": urls[::-1],
                "without one": urls[1:],
                "with one more": [*urls, "s3://other/more.jpg"],
                "one twice": [*urls[:-1], urls[0]],
                "encoded": list(map(unquote, urls)),
            }
            if changed[how[0]]:
                objects = objects_digest(changed[how[0]]) if how[1] else None
                self.put(None, contents=changed[how[0]], unit_id=how[1], objects=objects)
        elif held is not None:
            self.change_item(items, held, group, act)

    def change_item(self, items: list[RemoteItem], held: RemoteItem, group: Group, act: str) -> None:
        if act == "copy":
            contents = None if held.url else [self.urls[key] for key in group.keys]
            self.put(held.url, name="copy", unit_id=group.unit_id, contents=contents, objects=held.objects)
            return
        items.remove(held)
        if act == "move":
            self.folder(ARCHIVE).append(held)
        elif act == "forget":
            items.append(replace(held, unit_id=None))

    def put(
        self,
        url: str | None,
        *,
        name: str = "by hand",
        unit_id: str | None = None,
        contents: Sequence[str] | None = None,
        objects: str | None = None,
    ) -> None:
        self.fleet.time.sleep(1)
        item = RemoteItem(
            item_uuid=str(uuid5(NAMESPACE_URL, f"by hand {next(self._numbers)}")),
            name=name,
            url=url,
            unit_id=unit_id,
            created_at=self.fleet.time.clock(),
            objects=objects,
        )
        if contents is None:
            self.folder(HOME).append(item)
        else:
            self.fleet.encord.add_group(self.fleet.encord.create_folder(HOME), item, contents)


class Model:
    """What an audit must find in a world, from dictionaries of everything."""

    def __init__(self, world: GroupWorld) -> None:
        self.world = world
        self.units = {group.unit_id: group for group in world.groups}
        self.urls = {group.unit_id: [unquote(world.urls[key]) for key in group.keys] for group in world.groups}
        outcomes = {outcome.unit_id: outcome for outcome in world.fleet.outcomes() if outcome.verdict.is_registered}
        self.recorded = {unit_id: outcome.item_uuid for unit_id, outcome in outcomes.items()}
        self.found: Counter[tuple[str, str | None, str | None, int | None, str]] = Counter()

    def findings(self) -> Counter[tuple[str, str | None, str | None, int | None, str]]:
        owned: dict[str, list[RemoteItem]] = {}
        for item in self.world.folder(HOME):
            owner = self.owner_of(item)
            if owner is None:
                self.add_unknown(item)
            else:
                owned.setdefault(owner, []).append(item)
        for unit_id in self.units:
            self.judge(unit_id, owned.get(unit_id, []))
        return self.found

    def owner_of(self, item: RemoteItem) -> str | None:
        contents = self.world.contents(item)
        is_group = {unit_id: group.kind is not MediaKind.IMAGE for unit_id, group in self.units.items()}
        by_url = [one for one in self.units if item.url and not is_group[one] and self.urls[one] == contents]
        by_uuid = [unit_id for unit_id, item_uuid in self.recorded.items() if item_uuid == item.item_uuid]
        by_claim = [
            one
            for one in self.units
            if one == item.unit_id
            and item.url is None
            and (not is_group[one] or sorted(self.urls[one]) == sorted(contents))
        ]
        by_contents = [
            one
            for one in self.units
            if item.url is None and is_group[one] and sorted(self.urls[one]) == sorted(contents)
        ]
        return next(iter([*by_url, *by_uuid, *by_claim, *by_contents]), None)

    def add_unknown(self, item: RemoteItem) -> None:
        contents = set(self.world.contents(item))
        shared = {
            unit_id: len(contents & set(urls))
            for unit_id, urls in self.urls.items()
            if contents & set(urls) and self.units[unit_id].kind is not MediaKind.IMAGE
        }
        if not shared:
            self.found["unknown", None, item.unit_id, None, item.item_uuid] += 1
            return
        unit_id = min(shared, key=lambda one: (-shared[one], one))
        group = self.units[unit_id]
        key = next(key for key in group.keys if unquote(self.world.urls[key]) in contents)
        self.found["unknown", key, unit_id, len(group.keys), item.item_uuid] += 1

    def judge(self, unit_id: str, items: list[RemoteItem]) -> None:
        group, recorded = self.units[unit_id], self.recorded.get(unit_id)
        items.sort(key=lambda item: (item.item_uuid != recorded, item.created_at, item.item_uuid))
        for item in items[1:]:
            self.add("duplicate", group, item.item_uuid)
        if recorded is None:
            for item in items[:1]:
                self.add("unknown", group, item.item_uuid)
            return
        if all(item.item_uuid != recorded for item in items):
            is_moved = any(item.item_uuid == recorded for item in self.world.folder(ARCHIVE))
            if is_moved:
                self.add("duplicate" if items else "moved", group, recorded)
            elif not items:
                self.add("missing", group, recorded)
        objects = self.world.fleet.objects
        for finding, keys in (
            ("gone", set(group.keys) - objects.keys()),
            ("changed", self.world.changed & set(group.keys) & objects.keys()),
        ):
            if keys:
                self.add(finding, group, recorded, min(keys))

    def add(self, finding: str, group: Group, item_uuid: str, key: str | None = None) -> None:
        self.found[finding, key or group.keys[0], group.unit_id, len(group.keys), item_uuid] += 1


@settings(max_examples=DOSES.audit_worlds, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=worlds)
def test_an_audit_of_groups_finds_what_a_model_in_dictionaries_finds_and_counts_nothing_twice(
    new_fleet: Any, auditor_of: Any, drawn: dict[str, Any]
) -> None:
    world = GroupWorld(new_fleet, drawn)
    auditor = auditor_of(world.fleet)
    limits = AuditLimits(rows_per_partition=drawn["partition"])

    report = auditor.audit(limits=limits)
    rows = audit_findings(world.fleet.store, report)

    found = Counter((row.finding, row.key, row.unit_id, row.objects, row.item_uuid) for row in rows)
    assert found == Model(world).findings()
    assert set(found.values()) <= {1}
    assert (report.units, report.objects) == (len(world.groups), sum(len(group.keys) for group in world.groups))
    registered = [group for group in world.groups if group.unit_id in Model(world).recorded]
    assert report.registered_units == len(registered)
    assert report.registered_objects == sum(len(group.keys) for group in registered)


@settings(max_examples=DOSES.adopted_worlds, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=worlds)
def test_adopting_groups_leaves_only_what_no_unit_is_and_takes_nothing_for_a_unit_that_is_not_it(
    new_fleet: Any, auditor_of: Any, drawn: dict[str, Any]
) -> None:
    world = GroupWorld(new_fleet, drawn)
    auditor, before = auditor_of(world.fleet), Model(world)
    owners = {item.item_uuid: before.owner_of(item) for item in world.folder(HOME)}

    report = auditor.audit(adopt=True)

    after = Model(world)
    newly = {unit_id: uuid for unit_id, uuid in after.recorded.items() if unit_id not in before.recorded}
    assert len(newly) == report.adopted_units
    assert all(owners[uuid] == unit_id for unit_id, uuid in newly.items())
    assert world.fleet.status().adds_up
