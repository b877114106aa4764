"""Numbers and failures of links, counted over real plans and verdicts, and what the verification of a state finds of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.datasets.context import LinkContext
from registration_pipeline.submission.datasets.linking import DatasetLinking
from registration_pipeline.tracking.links.counts import DatasetCounts, dataset_counts, link_failures
from registration_pipeline.tracking.snapshot import read_snapshot
from registration_pipeline.verification.state import verify_state
from registration_pipeline_tests.dataset_model.world import ScriptedDatasets

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.conftest import Fleet, FleetOf


def link(fleet: Fleet, encord: ScriptedDatasets) -> None:
    assert fleet.source.dataset is not None
    snapshot = read_snapshot(fleet.store, "fleet")
    context = LinkContext(
        store=fleet.store,
        source="fleet",
        settings=fleet.source.dataset,
        gateway=encord,
        retry=RetryPolicy(sleep=lambda _: None),
        clock=fleet.time.clock,
        threads=1,
    )
    DatasetLinking(context).run(map(snapshot.progress_of, snapshot.chunks))


def counts(fleet: Fleet) -> DatasetCounts:
    return dataset_counts(fleet.store, read_snapshot(fleet.store, "fleet"))


def items_of(fleet: Fleet) -> list[str]:
    return [outcome.item_uuid for outcome in fleet.outcomes() if outcome.item_uuid]


@pytest.fixture
def broken() -> set[str]:
    """Which objects Encord can't decode: at first the second one."""
    return {"raw/b.jpg"}


@pytest.fixture
def fleet(fleet_of: FleetOf, broken: set[str]) -> Fleet:
    """Three images in two chunks, of which the second image fails at first."""
    fleet = fleet_of(
        dataset={"title": "fleet", "max_items": 2},
        encord={"fails": lambda url: "could not decode" if any(url.endswith(name) for name in broken) else None},
    )
    fleet.register()
    return fleet


def test_registered_units_are_pending_until_they_are_linked(fleet: Fleet) -> None:
    encord = ScriptedDatasets(items=set(items_of(fleet)))
    assert counts(fleet) == DatasetCounts(pending=2)

    link(fleet, encord)

    assert counts(fleet) == DatasetCounts(linked=2)
    assert list(link_failures(fleet.store, read_snapshot(fleet.store, "fleet"))) == []


def test_what_a_retry_registers_is_pending_beside_what_is_linked(fleet: Fleet, broken: set[str]) -> None:
    encord = ScriptedDatasets(items=set(items_of(fleet)))
    link(fleet, encord)
    broken.clear()

    fleet.register(tasks=fleet.tasks(retry_failed=True))
    encord.items |= set(items_of(fleet))

    assert counts(fleet) == DatasetCounts(linked=2, pending=1)
    link(fleet, encord)
    assert counts(fleet) == DatasetCounts(linked=3)
    assert {title: len(rows) for title, rows in encord.titled().items()} == {"fleet": 2, "fleet 2": 1}


def test_a_unit_that_could_not_be_linked_is_a_row_with_its_object(fleet: Fleet) -> None:
    lost = items_of(fleet)[0]
    link(fleet, ScriptedDatasets(items=set(items_of(fleet)) - {lost}))

    (row,) = link_failures(fleet.store, read_snapshot(fleet.store, "fleet"))

    assert counts(fleet) == DatasetCounts(linked=1, failed=1)
    assert (row.key, row.stage, row.reason, row.objects) == ("raw/a.jpg", "dataset", "item_missing", 1)
    assert lost in (row.message or "")
    assert row.object_url == fleet.urls()[0]


def test_a_failure_is_gone_when_the_unit_was_registered_again(fleet: Fleet) -> None:
    deleted, *held = items_of(fleet)
    encord = ScriptedDatasets(items=set(held))
    link(fleet, encord)
    ((folder, items),) = fleet.encord.items.items()
    fleet.encord.items[folder] = [one for one in items if one.item_uuid != deleted]

    fleet.register(tasks=fleet.tasks(retry_failed=True))

    again = counts(fleet)
    assert (again.failed, again.linked + again.pending) == (0, 2)
    assert list(link_failures(fleet.store, read_snapshot(fleet.store, "fleet"))) == []


@pytest.mark.parametrize("damage", ["flipped", "missing"])
@pytest.mark.parametrize("name", ["00000001.json", "00000002.json", "00000002-done.json"])
def test_the_verification_finds_a_damaged_record(fleet: Fleet, broken: set[str], name: str, damage: str) -> None:
    encord = ScriptedDatasets(items=set(items_of(fleet)))
    link(fleet, encord)
    broken.clear()
    fleet.register(tasks=fleet.tasks(retry_failed=True))
    encord.items |= set(items_of(fleet))
    link(fleet, encord)
    assert not verify_state(fleet.store, "fleet").damaged
    whole = f"fleet/links/{name}"
    data = bytearray(fleet.store.read(whole))
    fleet.store.delete(whole)
    if damage == "flipped":
        data[20] ^= 1
        fleet.store.create(whole, bytes(data))

    found: Any = verify_state(fleet.store, "fleet")

    assert any("links/" in one for one in found.damaged)
