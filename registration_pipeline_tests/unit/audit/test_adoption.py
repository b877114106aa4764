"""Taking over what is in Encord already: after the state was lost, and for units that failed and are there after all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.audit.adoption import MESSAGE, adopt_chunk
from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline.tracking.journal.states import ChunkState

if TYPE_CHECKING:
    from collections.abc import Callable

A, B, C = "raw/a.jpg", "raw/b.jpg", "raw/c.jpg"


def test_after_the_state_was_lost_everything_is_taken_over_and_nothing_is_sent(registered: Any):
    fleet = registered.fleet
    sent, before = len(fleet.encord.manifests), {item.item_uuid for item in registered.folder()}
    registered.forget_everything()

    report = registered.audit(adopt=True)
    fleet.register()

    assert (report.is_clean, report.adopted_chunks, report.adopted_units) == (True, 2, 3)
    assert len(fleet.encord.manifests) == sent
    assert {outcome.item_uuid for outcome in fleet.outcomes()} == before
    fleet.assert_exactly_once()
    assert registered.audit().is_clean


def test_without_adopting_nothing_is_written_but_the_report(registered: Any):
    registered.forget_everything()
    before = set(registered.fleet.store.names(""))

    rows = registered.rows()

    assert {row.finding for row in rows} == {"unknown"}
    assert {row.detail for row in rows} == {
        "its whole chunk is in Encord and was never concluded; audit --adopt adopts it"
    }
    assert all("/audit/" in name for name in set(registered.fleet.store.names("")) - before)


def test_an_adopted_chunk_says_so_in_its_journal(registered: Any):
    fleet = registered.fleet
    registered.forget_everything()
    registered.audit(adopt=True)

    progress = fleet.journal.progress(fleet.chunks[0].chunk_id)

    assert (progress.attempt, progress.state) == (1, ChunkState.SUCCEEDED)
    assert progress.first_intent.folder_uuid == registered.folder_uuid()
    assert progress.first_intent.manifest_sha256
    assert (progress.verdict.message, progress.verdict.job_id) == (MESSAGE, None)


def test_a_chunk_that_is_only_partly_there_stays_planned_and_sending_it_makes_no_duplicate(registered: Any):
    fleet = registered.fleet
    registered.remove(A)
    registered.forget_everything()

    report = registered.audit(adopt=True)

    assert (report.adopted_units, report.partly_present, report.findings["unknown"]) == (1, 1, 1)
    assert report.sample[0].detail == "1 of 2 units of its chunk are in Encord; the next sync registers the rest"
    fleet.register()
    fleet.assert_exactly_once()
    assert registered.audit().is_clean


def test_failed_units_that_are_in_the_folder_after_all_are_taken_over(fleet_of: Callable[..., Any], auditor_of: Any):
    fleet = fleet_of(encord={"fails": lambda url: "403 Forbidden" if url[-5] in "ab" else None})
    fleet.register()
    audit = auditor_of(fleet)
    by_hand = audit.add(fleet.urls()[0], name=A)

    assert [(row.finding, row.detail) for row in audit.rows()] == [
        ("unknown", "failed according to the ledger; audit --adopt adopts it")
    ]
    report = audit.audit(adopt=True)

    assert (report.is_clean, report.adopted_chunks, report.adopted_units) == (True, 1, 1)
    progress = fleet.journal.progress(fleet.chunks[0].chunk_id)
    assert (progress.attempt, progress.state) == (2, ChunkState.PARTIALLY_FAILED)
    outcomes = {outcome.key: outcome for outcome in fleet.outcomes()}
    assert outcomes[A].item_uuid == by_hand.item_uuid
    assert (outcomes[B].verdict.is_registered, outcomes[B].attempt) == (False, 1)
    assert [row.key for row in source_failures(fleet.store, "fleet")] == [B]
    status = fleet.status()
    assert (status.registered, status.failed, status.adds_up) == (2, 1, True)


def test_a_chunk_whose_failed_units_are_all_there_succeeds(fleet_of: Callable[..., Any], auditor_of: Any):
    fleet = fleet_of(encord={"fails": lambda _: "500"})
    fleet.register()
    audit = auditor_of(fleet)
    for url in fleet.urls():
        audit.add(url)

    audit.audit(adopt=True)

    fleet.encord.fails = lambda _: None
    fleet.assert_exactly_once()
    assert list(source_failures(fleet.store, "fleet")) == []


def test_a_unit_that_is_there_twice_is_taken_over_once_and_reported(registered: Any):
    registered.copy(A)
    registered.forget_everything()

    report = registered.audit(adopt=True)

    assert (report.adopted_units, report.findings["duplicate"], report.findings["unknown"]) == (3, 1, 0)


def test_units_in_another_folder_are_not_taken_over(registered: Any):
    fleet = registered.fleet
    fleet.configure(encord={"integration": "sandbox", "folder": "second"})
    fleet.put("raw/d.jpg").sync()
    fleet.register()
    for key in (A, B, C):
        registered.move(key, "second")
    fleet.put("raw/e.jpg").sync()
    registered.copy(A, to="fleet", name="raw/e.jpg", url=fleet.urls()[-1], unit_id=None)

    rows = registered.rows(adopt=True)

    assert [row.detail for row in rows if row.key == "raw/e.jpg"] == [
        "in another folder than its chunk goes to; the next sync registers it there, too"
    ]


def test_foreign_items_are_left_alone(registered: Any):
    registered.add("s3://other/z.jpg")
    registered.forget_everything()

    report = registered.audit(adopt=True)

    assert (report.adopted_units, report.findings["unknown"]) == (3, 1)
    assert len(registered.folder()) == 4


def test_a_retry_after_an_adoption_sends_only_what_still_fails(fleet_of: Callable[..., Any], auditor_of: Any):
    fleet = fleet_of(encord={"fails": lambda url: "403" if url[-5] in "ab" else None})
    fleet.register()
    audit = auditor_of(fleet)
    audit.add(fleet.urls()[0])
    audit.audit(adopt=True)
    fleet.encord.fails = lambda _: None

    fleet.register(retry_failed=True)

    fleet.assert_exactly_once()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 9))
def test_a_crash_at_any_write_loses_nothing_and_doubles_nothing(
    registered: Any, crash: Any, crashing_store: Any, number: int, moment: str
):
    fleet = registered.fleet
    registered.forget_everything()
    dying = crashing_store(fleet.store, number, moment, name="")
    with pytest.raises(crash):
        registered.audit(adopt=True, store=dying)

    fleet.register_until_done()

    fleet.assert_exactly_once()
    assert registered.audit(adopt=True).is_clean


def test_a_chunk_that_someone_submits_at_this_moment_is_left_to_them(registered: Any):
    fleet = registered.fleet
    registered.forget_everything()
    chunk = fleet.chunks[0]
    found = {unit.unit_id: "00000000-0000-4000-8000-000000000001" for unit in fleet.units()}

    class Racing:
        def __getattr__(self, name: str) -> Any:
            return getattr(fleet.store, name)

        def create(self, name: str, data: bytes) -> None:
            if name.endswith("intent.json"):
                fleet.submission(chunk).advance()
            fleet.store.create(name, data)

    adopted = adopt_chunk(
        store=Racing(),
        source="fleet",
        chunk=chunk,
        found=found,
        folder_uuid=registered.folder_uuid(),
        clock=fleet.time.clock,
    )

    assert adopted is None
    assert fleet.journal.progress(chunk.chunk_id).verdict.message != MESSAGE
