"""Chunks of units of several objects in trouble: refused as a whole, in doubt, tried again, skipped without being named."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import PermanentError
from registration_pipeline.objects import MediaKind
from registration_pipeline.submission.gateway import ItemPage, JobReport, JobStatus, RemoteItem, UnitError
from registration_pipeline.submission.testing import ScriptedGateway, StartScript
from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline.tracking.journal.states import JournalEventKind
from registration_pipeline_tests.planned_units import Group, plan_groups

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.conftest import Fleet

RIGS = "abcdefg"


def rig(name: str, frames: int = 3, kind: MediaKind = MediaKind.IMAGE_GROUP) -> Group:
    return Group(kind, f"rig {name}", tuple(f"raw/{name}/{number:05d}.jpg" for number in range(frames)))


def fleet_of(new_fleet: type[Fleet], *groups: Group, chunk_units: int = 100) -> Fleet:
    fleet = new_fleet()
    plan_groups(fleet, groups, chunk_units=chunk_units)
    return fleet


def titles(manifest: dict[str, Any]) -> list[str]:
    return [unit["title"] for units in manifest.values() if isinstance(units, list) for unit in units]


def failing_urls(fleet: Fleet, *names: str) -> set[str]:
    return {url for url in fleet.urls() if any(f"/{name}/" in url for name in names)}


def test_a_refused_chunk_is_halved_by_units_down_to_the_one_that_is_refused_alone(new_fleet: type[Fleet]) -> None:
    fleet = fleet_of(new_fleet, *(rig(name, 9_900 if name == "c" else 3) for name in RIGS))
    sent: list[list[str]] = []

    def refuses(manifest: dict[str, Any]) -> Exception | None:
        sent.append(titles(manifest))
        return PermanentError("422: images.2: no") if "rig c" in titles(manifest) else None

    fleet.encord.refuses = refuses

    results = fleet.register()

    fleet.assert_exactly_once(failing=failing_urls(fleet, "c"))
    assert [(one.failed_units, one.failed_objects) for one in results if one.has_failures] == [(1, 9_900)]
    (row,) = source_failures(fleet.store, "fleet")
    assert (row.key, row.objects, row.reason) == ("raw/c/00000.jpg", 9_900, "manifest_refused")
    assert [len(found) for found in sent if "rig c" in found] == [7, 4, 2, 1]


def test_a_chunk_of_groups_that_are_all_refused_is_given_up_after_few_starts(new_fleet: type[Fleet]) -> None:
    fleet = fleet_of(new_fleet, *(rig(f"{number:03d}", 2) for number in range(64)))
    fleet.encord.refuses = lambda _: PermanentError("400: the integration is gone")

    (result,) = fleet.register()

    assert (result.failed_units, result.failed_objects) == (64, 128)
    rows = list(source_failures(fleet.store, "fleet"))
    assert len(rows) == 64
    assert {row.objects for row in rows} == {2}
    assert sum("were not tried" in (row.message or "") for row in rows) == 56


def test_a_retry_of_failed_units_asks_for_each_contested_item_once(new_fleet: type[Fleet]) -> None:
    """Encord calls all units bad, of which it registered some before."""
    asked: list[list[str]] = []

    class Asked(ScriptedGateway):
        def folders_of_items(self, item_uuids: Any) -> dict[str, str] | None:
            asked.append(list(item_uuids))
            return super().folders_of_items(item_uuids)

    fleet = fleet_of(new_fleet, *(rig(name, 500) for name in "abc"))
    fleet.encord = Asked(clock=fleet.time.clock)
    fleet.encord.fails = lambda url: "503 unavailable" if url.endswith("c/00499.jpg") else None
    fleet.register()
    errors = tuple(
        UnitError(object_urls=(unit.objects[7].object_url,), message="could not decode") for unit in fleet.units()
    )
    fleet.encord.tells = lambda report: replace(report, items=(), unit_errors=errors)

    fleet.register(retry_failed=True)

    assert len(asked) == 1
    assert len(asked[0]) == 2
    assert fleet.status().units.registered == 2
    (row,) = source_failures(fleet.store, "fleet")
    assert (row.objects, row.message) == (500, "raw/c/00007.jpg: could not decode")


@pytest.mark.parametrize("kind", [MediaKind.IMAGE_GROUP, MediaKind.IMAGE_SEQUENCE, MediaKind.DICOM_SERIES], ids=str)
def test_skipped_units_that_no_job_names_are_proven_by_their_own_id_in_the_folder(
    new_fleet: type[Fleet], kind: MediaKind
) -> None:
    """The reply to the first start is lost after its effect, and the second job skips everything in silence."""
    fleet = fleet_of(new_fleet, *(rig(name, 4, kind) for name in RIGS))
    fleet.encord.starts = [StartScript.LOSE_REPLY]
    fleet.encord.tells = lambda report: replace(report, items=())

    fleet.register()

    fleet.assert_exactly_once()
    assert {outcome.item_uuid for outcome in fleet.outcomes()} == {
        item.item_uuid for items in fleet.encord.items.values() for item in items
    }


@pytest.mark.parametrize("kind", [MediaKind.IMAGE_GROUP, MediaKind.DICOM_SERIES], ids=str)
def test_units_that_name_themselves_nowhere_are_proven_by_title_and_contents(
    new_fleet: type[Fleet], kind: MediaKind
) -> None:
    fleet = fleet_of(new_fleet, *(rig(name, 4, kind) for name in RIGS))
    fleet.encord = Nameless(clock=fleet.time.clock, tells=lambda report: replace(report, items=()))

    fleet.register()

    fleet.assert_exactly_once()
    assert sorted(fleet.encord.opened) == sorted({one.item_uuid or "" for one in fleet.outcomes()})


def test_the_title_alone_proves_nothing(new_fleet: type[Fleet]) -> None:
    """An item of another source with the same title, of which one object is another one."""
    fleet = fleet_of(new_fleet, rig("a"), rig("b"))
    fleet.encord = Nameless(clock=fleet.time.clock)
    fleet.encord.tells = lambda report: replace(report, items=(), unit_errors=())
    fleet.encord.fails = lambda url: "could not decode" if "/a/" in url else None
    folder = fleet.encord.create_folder("fleet")
    item = RemoteItem(item_uuid="stranger", name="rig a", url=None, unit_id=None, created_at=fleet.time.clock())
    urls = [entry.object_url for unit in fleet.units() if unit.title == "rig a" for entry in unit.objects]
    fleet.encord.add_group(folder, item, [*urls[:-1], "https://elsewhere/3.jpg"])

    fleet.register()

    assert [row.key for row in source_failures(fleet.store, "fleet")] == ["raw/a/00000.jpg"]
    assert "stranger" in fleet.encord.opened


class Nameless(ScriptedGateway):
    """Encord, if a listing showed no client metadata; notes which items were asked what they consist of."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.opened: list[str] = []

    def child_items(self, folder_uuid: str, item_uuid: str) -> tuple[RemoteItem, ...] | None:
        self.opened.append(item_uuid)
        return super().child_items(folder_uuid, item_uuid)

    def items_page(self, *arguments: Any, **options: Any) -> ItemPage:
        page = super().items_page(*arguments, **options)
        return replace(page, items=tuple(replace(item, unit_id=None, objects=None) for item in page.items))


def test_a_start_in_doubt_is_adopted_only_when_every_unit_is_there(new_fleet: type[Fleet]) -> None:
    fleet = fleet_of(new_fleet, *(rig(name) for name in RIGS))
    fleet.encord.starts = [StartScript.LOSE_REPLY]
    fleet.encord.fails = lambda url: "could not decode" if url.endswith("d/00001.jpg") else None

    (result,) = fleet.register()

    kinds = [event.kind for event in fleet.journal.events(result.chunk.chunk_id)]
    assert kinds == [
        *(JournalEventKind.INTENT, JournalEventKind.LOST),
        *(JournalEventKind.INTENT, JournalEventKind.JOB, JournalEventKind.VERDICT),
    ]
    fleet.assert_exactly_once(failing=failing_urls(fleet, "d"))
    (row,) = source_failures(fleet.store, "fleet")
    assert (row.key, row.objects) == ("raw/d/00000.jpg", 3)


def test_a_job_that_names_nothing_leaves_units_to_the_next_night(new_fleet: type[Fleet]) -> None:
    fleet = fleet_of(new_fleet, rig("a"), rig("b"))
    fleet.encord.tells = lambda _: JobReport(status=JobStatus.DONE)
    fleet.encord.fails = lambda url: "503" if "/b/" in url else None
    fleet.register()
    fleet.encord.tells, fleet.encord.fails = (lambda report: report), (lambda _: None)

    fleet.register(retry_failed=True)

    fleet.assert_exactly_once()
