"""Numbers that contradict each other are not shown as if they were right."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from registration_pipeline.tracking.snapshot import read_snapshot
from registration_pipeline.tracking.status import source_status

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.conftest import Fleet, FleetOf


def registered(fleet_of: FleetOf) -> Fleet:
    fleet = fleet_of("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    fleet.register()
    return fleet


def delete(fleet: Fleet, *folders: str) -> None:
    for folder in folders:
        for name in list(fleet.store.names(f"fleet/{folder}/")):
            fleet.store.delete(name)


def test_a_sound_state_has_nothing_to_say(fleet_of: FleetOf) -> None:
    fleet = registered(fleet_of)
    status = fleet.status()

    assert status.disagreements == ()
    assert status.adds_up
    assert "disagreements" not in status.as_json()


def test_a_later_wave_that_was_sent_meanwhile_is_not_a_contradiction(fleet_of: FleetOf) -> None:
    fleet = registered(fleet_of)
    before = read_snapshot(fleet.store, "fleet")
    fleet.put("raw/later.jpg").sync().register()
    meanwhile = replace(before, journals=read_snapshot(fleet.store, "fleet").journals)

    assert source_status(fleet.store, "fleet", meanwhile).disagreements == ()


def test_journals_of_a_wave_that_is_gone_are_named(fleet_of: FleetOf) -> None:
    fleet = registered(fleet_of)
    lost = fleet.chunks[0].chunk_id
    fleet.put("raw/later.jpg").sync().register()
    delete(fleet, f"plan/{lost.rsplit('-', 2)[0]}", "ledger")
    fleet.store.delete("fleet/lineage/00000001.json")

    status = fleet.status()

    assert not status.adds_up
    assert f"Chunk {lost} has a journal, but no wave planned it." in status.disagreements
    assert status.as_json()["disagreements"] == list(status.disagreements)


def test_journals_without_any_plan_are_named(fleet_of: FleetOf) -> None:
    fleet = registered(fleet_of)
    delete(fleet, "plan", "lineage", "ledger")

    assert len(fleet.status().disagreements) == 2


def test_parts_of_a_chunk_that_was_halved_belong_to_it(fleet_of: FleetOf) -> None:
    fleet = registered(fleet_of)
    first = fleet.journal.events(fleet.chunks[0].chunk_id)[0]
    fleet.journal.append(replace(first, chunk_id=f"{first.chunk_id}-ab"))

    assert fleet.status().disagreements == ()


def test_a_verdict_about_another_number_of_objects_is_named(fleet_of: FleetOf) -> None:
    fleet = registered(fleet_of)
    snapshot = read_snapshot(fleet.store, "fleet")
    chunk_id, folded = next(iter(snapshot.journals.items()))
    assert folded.progress.verdict is not None
    verdict = replace(folded.progress.verdict, registered=5)
    journals = {**snapshot.journals, chunk_id: folded._replace(progress=replace(folded.progress, verdict=verdict))}

    status = source_status(fleet.store, "fleet", replace(snapshot, journals=journals))

    assert status.disagreements == (
        "The inventory has 4 objects, but 7 are accounted for: 0 excluded, 0 rejected, 7 registered, 0 pending, 0 failed.",
        f"Chunk {chunk_id} has 2 objects, but its verdict is about 5 registered and 0 failed ones.",
    )


def test_a_verdict_about_more_failed_units_than_the_chunk_has_is_named(fleet_of: FleetOf) -> None:
    fleet = registered(fleet_of)
    snapshot = read_snapshot(fleet.store, "fleet")
    chunk_id, folded = next(iter(snapshot.journals.items()))
    assert folded.progress.verdict is not None
    verdict = replace(folded.progress.verdict, reasons={"other": 3})
    journals = {**snapshot.journals, chunk_id: folded._replace(progress=replace(folded.progress, verdict=verdict))}

    status = source_status(fleet.store, "fleet", replace(snapshot, journals=journals))

    assert status.disagreements == (
        "There are 3 failed units, but 0 failed objects.",
        f"Chunk {chunk_id} has 2 units, but its verdict is about 3 failed ones.",
    )
