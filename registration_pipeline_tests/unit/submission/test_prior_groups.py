"""A folder that was filled before the first sync: groups, sequences and series in it, and a lost state that is rebuilt."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from registration_pipeline.errors import CredentialsError
from registration_pipeline.ids import objects_digest
from registration_pipeline.objects import MediaKind
from registration_pipeline.submission.testing import ScriptedGateway, StartScript
from registration_pipeline_tests.planned_units import Group, plan_groups
from registration_pipeline_tests.unit.submission.hand_filled import HandFilled

if TYPE_CHECKING:
    from registration_pipeline.submission.gateway import ItemPage, RemoteItem

RIG = Group(MediaKind.IMAGE_GROUP, "rig", ("raw/rig/1 é.jpg", "raw/rig/2.jpg", "raw/rig/3.jpg"))
CLIP = Group(MediaKind.IMAGE_SEQUENCE, "clip", ("raw/clip/1.png", "raw/clip/2.png"))
SERIES = Group(MediaKind.DICOM_SERIES, "series", ("raw/one file.dcm",))
PHOTO = Group(MediaKind.IMAGE, "raw/photo.jpg", ("raw/photo.jpg",))


class FilledWithGroups(HandFilled):
    """A fleet of units of one and of many objects, and groups in its folder."""

    def __init__(self, fleet: Any, *groups: Group) -> None:
        plan_groups(fleet, groups)
        super().__init__(fleet)
        self.url_of = {entry.key: entry.object_url for unit in fleet.units() for entry in unit.objects}

    def put_group(self, *urls: str, unit_id: str | None = None, has_digest: bool = True) -> str:
        (item_uuid,) = self.put(None)
        item = self.fleet.encord.items[self.folder].pop()
        objects = objects_digest(urls) if unit_id and has_digest else None
        self.fleet.encord.add_group(self.folder, replace(item, unit_id=unit_id, objects=objects), urls)
        return item_uuid

    def urls(self, group: Group) -> list[str]:
        return [self.url_of[key] for key in group.keys]


def test_groups_of_a_filled_folder_are_adopted_by_the_unit_that_they_name_or_by_their_objects(new_fleet: Any):
    filled = FilledWithGroups(new_fleet(), RIG, CLIP, SERIES, PHOTO)
    by_hand = [
        filled.put_group(*filled.urls(RIG), unit_id=RIG.unit_id),
        filled.put_group(*reversed(filled.urls(CLIP))),
        filled.put_group(unquote(*filled.urls(SERIES))),
        *filled.put(*filled.urls(PHOTO)),
    ]

    results = filled.register()

    assert filled.fleet.encord.manifests == []
    assert {result.job_id for result in results} == {None}
    items = {outcome.unit_id: outcome.item_uuid for outcome in filled.fleet.outcomes()}
    assert items == dict(zip((group.unit_id for group in (RIG, CLIP, SERIES, PHOTO)), by_hand, strict=True))
    assert "1 of them with URLs of fleet, and 3 groups, sequences or series" in filled.notices[-1]


def test_a_lost_state_is_rebuilt_by_a_sync_alone_and_nothing_is_sent_twice(new_fleet: Any):
    filled = FilledWithGroups(new_fleet(), RIG, CLIP, SERIES, PHOTO)
    fleet = filled.fleet
    filled.register()
    before, sent = dict(map(unit_and_item, fleet.outcomes())), len(fleet.encord.manifests)
    for name in list(fleet.store.names("")):
        fleet.store.delete(name)
    plan_groups(fleet, (RIG, CLIP, SERIES, PHOTO))

    filled.register()

    assert len(fleet.encord.manifests) == sent
    assert dict(map(unit_and_item, fleet.outcomes())) == before
    fleet.assert_exactly_once()


def unit_and_item(outcome: Any) -> tuple[str, str | None]:
    return outcome.unit_id, outcome.item_uuid


def test_of_a_chunk_that_is_there_in_part_only_the_missing_groups_are_registered(new_fleet: Any):
    groups = [Group(MediaKind.IMAGE_GROUP, f"rig {n}", (f"raw/{n}/1.jpg", f"raw/{n}/2.jpg")) for n in range(3)]
    filled = FilledWithGroups(new_fleet(), *groups)
    by_hand = filled.put_group(*filled.urls(groups[1]), unit_id=groups[1].unit_id)

    filled.register()

    filled.fleet.assert_exactly_once()
    items = dict(map(unit_and_item, filled.fleet.outcomes()))
    assert items[groups[1].unit_id] == by_hand
    assert None not in items.values()


def test_of_a_chunk_that_is_there_in_part_no_group_that_is_there_is_sent(new_fleet: Any):
    groups = [Group(MediaKind.IMAGE_GROUP, f"rig {n}", (f"raw/{n}/1.jpg", f"raw/{n}/2.jpg")) for n in range(5)]
    filled = FilledWithGroups(new_fleet(), *groups)
    there = {
        groups[0].unit_id: filled.put_group(*reversed(filled.urls(groups[0]))),
        groups[1].unit_id: filled.put_group(*reversed(filled.urls(groups[1])), unit_id="of another name"),
        groups[3].unit_id: filled.put_group(*filled.urls(groups[3]), unit_id=groups[3].unit_id),
    }

    filled.register()
    filled.register()

    sent = [
        item["title"] for manifest in filled.fleet.encord.manifests for item in json.loads(manifest)["image_groups"]
    ]
    assert sorted(sent) == ["rig 2", "rig 4"]
    items = dict(map(unit_and_item, filled.fleet.outcomes()))
    assert items.items() >= there.items()
    assert len(set(items.values()) - {None}) == len(groups)
    assert filled.fleet.status().units.registered == len(groups)
    (chunk,) = filled.fleet.chunks
    verdict = filled.fleet.journal.events(chunk.chunk_id)[-1]
    assert verdict.message == "submitted in parts, because the folder held some of its units before the first upload"


def test_a_chunk_that_is_there_in_part_goes_on_where_a_refused_key_stopped_it(new_fleet: Any):
    groups = [Group(MediaKind.IMAGE_GROUP, f"rig {n}", (f"raw/{n}/1.jpg", f"raw/{n}/2.jpg")) for n in range(4)]
    filled = FilledWithGroups(new_fleet(), *groups)
    by_hand = filled.put_group(*reversed(filled.urls(groups[0])))
    filled.fleet.encord.starts = [StartScript.HALT]

    with pytest.raises(CredentialsError):
        filled.register()
    filled.register()

    filled.fleet.assert_exactly_once()
    assert dict(map(unit_and_item, filled.fleet.outcomes()))[groups[0].unit_id] == by_hand
    assert filled.fleet.status().units.registered == len(groups)


@pytest.mark.parametrize("has_digest", [True, False], ids=["says what it consists of", "is opened"])
@pytest.mark.parametrize(
    "contents",
    [lambda urls: urls[:2], lambda urls: [url.replace("/raw/", "/elsewhere/") for url in urls]],
    ids=["an object less", "those of another bucket"],
)
def test_a_group_that_has_the_units_id_and_other_objects_is_not_adopted(
    new_fleet: Any, contents: Any, *, has_digest: bool
):
    filled = FilledWithGroups(new_fleet(), RIG)
    other = filled.put_group(*contents(filled.urls(RIG)), unit_id=RIG.unit_id, has_digest=has_digest)

    filled.register()

    assert len(filled.fleet.encord.manifests) == 1
    (item_uuid,) = {outcome.item_uuid for outcome in filled.fleet.outcomes()}
    assert item_uuid not in (None, other)


def test_groups_of_a_source_that_was_renamed_are_adopted_without_a_request_for_each(
    new_fleet: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("registration_pipeline.submission.prior_items.MOST_OPENED", 0)
    filled = FilledWithGroups(new_fleet(), RIG, CLIP)
    there = [filled.put_group(*filled.urls(group), unit_id=f"old {group.name}") for group in (RIG, CLIP)]

    filled.register()

    assert filled.fleet.encord.manifests == []
    assert {outcome.item_uuid for outcome in filled.fleet.outcomes()} == set(there)


@pytest.mark.parametrize(
    "contents",
    [
        lambda urls: urls[:2],
        lambda urls: [*urls, "https://elsewhere/x.jpg"],
        lambda urls: [urls[0], urls[0], urls[1]],
        lambda _: [],
    ],
    ids=["some of its objects", "one of another source too", "one twice", "nothing"],
)
def test_a_group_that_is_not_just_the_unit_is_not_adopted(new_fleet: Any, contents: Any):
    filled = FilledWithGroups(new_fleet(), RIG)
    by_hand = filled.put_group(*contents(filled.urls(RIG)))

    filled.register()

    assert len(filled.fleet.encord.manifests) == 1
    assert by_hand not in {outcome.item_uuid for outcome in filled.fleet.outcomes()}


def test_an_image_of_one_file_is_not_the_series_of_that_file(new_fleet: Any):
    filled = FilledWithGroups(new_fleet(), SERIES)
    (by_hand,) = filled.put(*filled.urls(SERIES))

    prior = filled.find()

    assert prior is not None
    assert by_hand not in prior.of(filled.fleet.units()).values()


def test_groups_that_say_what_they_consist_of_cost_no_request_and_the_others_only_up_to_a_limit(
    new_fleet: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("registration_pipeline.submission.prior_items.MOST_OPENED", 2)
    filled = FilledWithGroups(new_fleet(), RIG, CLIP)
    filled.put_group(*filled.urls(RIG), unit_id=RIG.unit_id)
    for number in range(3):
        filled.put_group(f"https://elsewhere/{number}.jpg")
    opened: list[str] = []

    class Counting(ScriptedGateway):
        def items_page(self, folder_uuid: str, page_token: str | None, **options: Any) -> ItemPage:
            page: ItemPage = filled.fleet.encord.items_page(folder_uuid, page_token, **options)
            return page

        def child_items(self, folder_uuid: str, item_uuid: str) -> tuple[RemoteItem, ...] | None:
            opened.append(item_uuid)
            found: tuple[RemoteItem, ...] | None = filled.fleet.encord.child_items(folder_uuid, item_uuid)
            return found

    prior = filled.find(gateway=Counting())

    assert prior is not None
    assert len(opened) == 2
    assert set(prior.of(filled.fleet.units())) == {RIG.unit_id}
    assert "Of 1 more it was not asked what they consist of" in filled.notices[-1]
