"""Audits of random worlds against a comparison of everything with everything, computed without any code of the audit."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registration_pipeline.audit.audit import AuditLimits
from registration_pipeline_tests.doses import DOSES

if TYPE_CHECKING:
    from registration_pipeline.submission.gateway import RemoteItem

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(1800)]

FOLDERS = ("fleet", "second", "archive")  # two of the source, and one that no one lists
SIZES = st.integers(0, 4)

hands = st.one_of(
    st.tuples(st.just("remove")),
    st.tuples(st.just("move"), st.sampled_from(FOLDERS)),
    st.tuples(st.just("copy"), st.sampled_from(FOLDERS), st.sampled_from(["same", "url", "claim", "encoded"])),
    st.tuples(st.just("alter"), st.sampled_from(["url", "claim", "encoded", "uuid"])),
    st.tuples(st.just("by hand"), st.sampled_from(FOLDERS)),
    st.tuples(st.just("stranger"), st.sampled_from([None, "0123456789abcdef"])),
    st.tuples(st.just("change")),
    st.tuples(st.just("delete")),
)
sendable_hands = hands.filter(lambda hand: hand[-1] != "encoded")
"""Those after which a chunk can be sent again: Encord compares URLs, and would not know one again that was rewritten there."""


def worlds_of(hands: Any) -> Any:
    return st.fixed_dictionaries(
        {
            "objects": st.tuples(st.integers(1, 4), SIZES, SIZES),
            "failing": st.sets(st.integers(0, 7), max_size=3),
            "hands": st.lists(st.tuples(st.integers(0, 11), hands), max_size=10),
            "partition": st.sampled_from([1, 2, 1000]),
            "batch": st.sampled_from([1, 3, 1000]),
        }
    )


def make_world(new_fleet: Any, auditor_of: Any, world: dict[str, Any]) -> Any:
    """Register a wave into each of two folders, plan a third, and let hands change Encord and the bucket."""
    keys = [[f"raw/{wave}é{number}.jpg" for number in range(size)] for wave, size in enumerate(world["objects"])]
    known = [key for wave in keys for key in wave]
    failing = {key for number, key in enumerate(known) if number in world["failing"]}
    fleet = new_fleet(encord={"fails": lambda url: "403" if any(key in unquote(url) for key in failing) else None})
    audit = auditor_of(fleet)
    for wave, folder in zip(keys, ("fleet", "second", "second"), strict=True):
        fleet.configure(encord={"integration": "sandbox", "folder": folder})
        fleet.put(*wave).sync()
        if wave is not keys[2]:
            fleet.register()
    urls = dict(zip(sorted(known), fleet.urls(), strict=True))
    for number, hand in world["hands"]:
        use_hand(audit, known[number % len(known)], urls, *hand)
    fleet.take_inventory()
    return audit


def use_hand(audit: Any, key: str, urls: dict[str, str], act: str, *how: Any) -> None:
    is_there = any(item.name == key for items in audit.fleet.encord.items.values() for item in items)
    if act == "stranger":
        audit.add(f"s3://other/{key}", unit_id=how[0])
    elif act == "by hand":
        item = audit.add(urls[key], name=key)
        audit.folder().remove(item)
        audit.folder(how[0]).append(item)
    elif act == "change" and key in audit.fleet.objects:
        audit.fleet.objects[key]["e_tag"] = "another"
    elif act == "delete":
        audit.fleet.objects.pop(key, None)
    elif is_there and act == "remove":
        audit.remove(key)
    elif is_there and act == "move":
        audit.move(key, how[0])
    elif is_there and act in ("copy", "alter"):
        item = audit.item(key)
        facts_by_way: dict[str, dict[str, Any]] = {
            "same": {},
            "url": {"unit_id": None},
            "claim": {"url": None},
            "encoded": {"url": unquote(item.url) if item.url else None},
            "uuid": {"url": None, "unit_id": None},
        }
        facts = facts_by_way[how[-1]]
        audit.copy(key, to=how[0], **facts) if act == "copy" else audit.alter(key, **facts)


def expected_findings(audit: Any) -> Counter[tuple[str, str | None, str | None]]:
    """Compare every planned object with every item, one by one."""
    fleet, found = audit.fleet, Counter[tuple[str, str | None, str | None]]()
    outcomes = {outcome.key: outcome for outcome in fleet.outcomes()}
    homes = {key: audit.folder_uuid("fleet" if key.startswith("raw/0") else "second") for key in planned_keys(fleet)}
    places = [(folder, item) for folder, items in fleet.encord.items.items() for item in items]
    listed = [(folder, item) for folder, item in places if folder != audit.folder_uuid("archive")]
    owners = {item.item_uuid: owner_of(fleet, outcomes, item) for _, item in listed}
    found.update(("unknown", None, uuid) for uuid, owner in owners.items() if owner is None)
    for unit in fleet.units():
        key = unit.objects[0].key
        outcome = outcomes.get(key)
        is_registered = outcome is not None and outcome.verdict.is_registered
        recorded = outcome.item_uuid if outcome is not None and is_registered else None
        mine = [(folder, item) for folder, item in listed if owners[item.item_uuid] == key]
        mine.sort(
            key=lambda place: (
                place[0] != homes[key],
                place[1].item_uuid != recorded,
                place[1].created_at,
                place[1].item_uuid,
            )
        )
        for _, item in mine[1:]:
            found["duplicate", key, item.item_uuid] += 1
        if not is_registered:
            if mine:
                found["unknown", key, mine[0][1].item_uuid] += 1
            continue
        if mine and mine[0][0] != homes[key]:
            found["moved", key, mine[0][1].item_uuid] += 1
        hidden = [item for folder, item in places if item.item_uuid == recorded and (folder, item) not in listed]
        if hidden:
            found["duplicate" if mine else "moved", key, recorded] += 1
        elif not mine:
            found["missing", key, recorded] += 1
        now = fleet.objects.get(key)
        if now is None:
            found["gone", key, recorded] += 1
        elif now["e_tag"] == "another":
            found["changed", key, recorded] += 1
    return found


def planned_keys(fleet: Any) -> list[str]:
    return [unit.objects[0].key for unit in fleet.units()]


def owner_of(fleet: Any, outcomes: dict[str, Any], item: RemoteItem) -> str | None:
    """Return the key of the object that an item is: by URL, else as recorded, else by its provenance key."""
    units = fleet.units()
    by_url = [unit for unit in units if item.url and unquote(unit.objects[0].object_url) == unquote(item.url)]
    by_record = [
        unit for unit in units if (outcome := outcomes.get(unit.objects[0].key)) and outcome.item_uuid == item.item_uuid
    ]
    by_claim = [unit for unit in units if unit.unit_id == item.unit_id]
    owner = next(iter([*by_url, *by_record, *by_claim]), None)
    return owner.objects[0].key if owner else None


@settings(max_examples=DOSES.audit_worlds, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds_of(hands))
def test_the_audit_finds_what_a_comparison_of_everything_with_everything_finds(
    new_fleet: Any, auditor_of: Any, world: dict[str, Any]
):
    audit = make_world(new_fleet, auditor_of, world)
    limits = AuditLimits(rows_per_partition=world["partition"], lookup_batch=world["batch"])

    rows = audit.rows(limits=limits)

    assert Counter((row.finding, row.key, row.item_uuid) for row in rows) == expected_findings(audit)


@settings(max_examples=DOSES.adopted_worlds, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds_of(sendable_hands))
def test_adopting_and_syncing_any_world_makes_no_new_duplicate_and_leaves_nothing_unregistered(
    new_fleet: Any, auditor_of: Any, world: dict[str, Any]
):
    audit = make_world(new_fleet, auditor_of, world)
    fleet = audit.fleet
    before = Counter(url_counts(fleet))
    audit.audit(adopt=True)
    fleet.encord.fails = lambda _: None
    fleet.plan()

    fleet.register(retry_failed=True)

    assert all(outcome.verdict.is_registered for outcome in fleet.outcomes())
    after = url_counts(fleet)
    assert {place: count for place, count in after.items() if count > max(1, before[place])} == {}


def url_counts(fleet: Any) -> Counter[tuple[str, str]]:
    return Counter(
        (folder, unquote(item.url)) for folder, items in fleet.encord.items.items() for item in items if item.url
    )
