"""Groups in the folder that only their contents explain: what is adopted, what is a finding, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

import pyarrow.parquet as pq
import pytest

from registration_pipeline.audit.audit import AuditLimits
from registration_pipeline.audit.report import AuditReport, audit_findings
from registration_pipeline.errors import PermanentError
from registration_pipeline.ids import objects_digest
from registration_pipeline.objects import MediaKind
from registration_pipeline.state.parquet import Part, file_digest
from registration_pipeline.submission.gateway import RemoteItem
from registration_pipeline_tests.planned_units import Group, plan_groups

if TYPE_CHECKING:
    from pathlib import Path

RIG = Group(MediaKind.IMAGE_GROUP, "rig", ("raw/rig/1 é.jpg", "raw/rig/2.jpg", "raw/rig/3.jpg"))
CLIP = Group(MediaKind.IMAGE_SEQUENCE, "clip", ("raw/clip/1.png", "raw/clip/2.png"))
PHOTO = Group(MediaKind.IMAGE, "raw/photo.jpg", ("raw/photo.jpg",))


class Asked:
    """An Encord that remembers which items were opened."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.items_asked: list[str] = []

    def child_items(self, folder_uuid: str, item_uuid: str) -> Any:
        self.items_asked.append(item_uuid)
        return self._inner.child_items(folder_uuid, item_uuid)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._inner, attribute)


class Silent(Asked):
    """An Encord that refuses to say what an item consists of."""

    def child_items(self, folder_uuid: str, item_uuid: str) -> Any:
        raise PermanentError(f"400: {item_uuid} of {folder_uuid} has no child items")


class HandMade:
    """A planned fleet of which nothing was sent, and groups that someone made by hand in its folder."""

    def __init__(self, fleet: Any, auditor: Any, groups: tuple[Group, ...]) -> None:
        self.fleet, self.auditor = fleet, auditor
        self.folder = fleet.encord.create_folder("fleet")
        plan_groups(fleet, groups)
        self.url_of = {entry.key: entry.object_url for unit in fleet.units() for entry in unit.objects}
        self.encord = Asked(fleet.encord)

    @property
    def asked(self) -> list[str]:
        """The items that were opened, in order."""
        return self.encord.items_asked

    def audit(self, **options: Any) -> Any:
        return self.auditor.audit(**{"gateway": self.encord} | options)

    def rows(self, **options: Any) -> Any:
        return self.auditor.rows(**{"gateway": self.encord} | options)

    def make(self, *urls: str, unit_id: str | None = None, has_digest: bool = True) -> str:
        """Make a group of these objects and return its item."""
        number = len(self.fleet.encord.items.get(self.folder, ()))
        item_uuid = str(uuid5(NAMESPACE_URL, f"by hand {number}"))
        at = self.fleet.time.clock()
        objects = objects_digest(urls) if unit_id and has_digest else None
        item = RemoteItem(
            item_uuid=item_uuid, name="by hand", url=None, unit_id=unit_id, created_at=at, objects=objects
        )
        self.fleet.encord.add_group(self.folder, item, urls)
        return item_uuid

    def urls(self, group: Group) -> list[str]:
        return [self.url_of[key] for key in group.keys]


MakeHandMade = Callable[..., HandMade]


@pytest.fixture
def hand_made(new_fleet: Any, auditor_of: Any) -> MakeHandMade:
    def make(*groups: Group) -> HandMade:
        fleet = new_fleet()
        return HandMade(fleet, auditor_of(fleet), groups)

    return make


def test_a_group_of_the_same_objects_in_the_same_order_is_adopted_with_its_uuid(hand_made: MakeHandMade):
    made = hand_made(RIG)
    item = made.make(*made.urls(RIG))

    (row,) = made.rows()
    report = made.audit(adopt=True)

    assert (row.finding, row.key, row.unit_id, row.objects, row.item_uuid) == (
        ("unknown", RIG.keys[0], RIG.unit_id, 3, item)
    )
    assert row.detail == "its whole chunk is in Encord and was never concluded; audit --adopt adopts it"
    assert (report.is_clean, report.adopted_units, report.adopted_reordered) == (True, 1, 0)
    assert {outcome.item_uuid for outcome in made.fleet.outcomes()} == {item}
    assert made.fleet.encord.manifests == []


def test_a_group_of_the_same_objects_in_another_order_is_adopted_and_it_is_said(hand_made: MakeHandMade):
    made = hand_made(RIG)
    item = made.make(*reversed(made.urls(RIG)))

    (row,) = made.rows()
    report = made.audit(adopt=True)

    assert row.detail.endswith("It holds the objects of the unit in another order than planned")
    assert (report.is_clean, report.adopted_units, report.adopted_reordered) == (True, 1, 1)
    assert {outcome.item_uuid for outcome in made.fleet.outcomes()} == {item}
    (event, *_) = made.fleet.journal.events(made.fleet.chunks[0].chunk_id)
    assert event.message.endswith("1 units hold their objects in another order than planned")


@pytest.mark.parametrize(
    ("contents", "detail"),
    [
        (lambda urls: urls[:2], "it holds only 2 of the 3 objects of this unit"),
        (lambda urls: [*urls, "s3://other/x.jpg"], "it holds 3 of the 3 objects of this unit, and 1 others"),
        (lambda urls: [urls[0], urls[0], urls[1]], "it holds 2 of the 3 objects of this unit, and 1 others"),
    ],
    ids=["some of the objects", "one object more", "an object twice"],
)
def test_a_group_that_only_overlaps_a_unit_is_a_finding_and_is_never_adopted(
    hand_made: MakeHandMade, contents: Callable[[list[str]], list[str]], detail: str
):
    made = hand_made(RIG)
    item = made.make(*contents(made.urls(RIG)))

    made.audit(adopt=True)
    (row,) = made.rows()

    assert (row.finding, row.key, row.unit_id, row.objects, row.item_uuid) == (
        ("unknown", RIG.keys[0], RIG.unit_id, 3, item)
    )
    assert detail in row.detail
    assert made.fleet.outcomes() == []


@pytest.mark.parametrize("has_digest", [True, False], ids=["says what it consists of", "does not say it"])
def test_a_group_that_has_the_units_id_and_fewer_objects_is_a_finding_and_is_never_adopted(
    hand_made: MakeHandMade, *, has_digest: bool
):
    made = hand_made(RIG, CLIP)
    rig = made.make(*made.urls(RIG)[:2], unit_id=RIG.unit_id, has_digest=has_digest)
    clip = made.make(*made.urls(CLIP), unit_id=CLIP.unit_id)

    made.audit(adopt=True)
    (row,) = made.rows()

    assert (row.finding, row.unit_id, row.item_uuid) == ("unknown", RIG.unit_id, rig)
    assert "it holds only 2 of the 3 objects of this unit" in row.detail
    assert {outcome.item_uuid for outcome in made.fleet.outcomes()} == {clip}
    assert set(made.asked) == {rig}


def test_a_group_of_another_bucket_that_has_the_units_id_is_unknown_and_is_never_adopted(hand_made: MakeHandMade):
    made = hand_made(RIG)
    item = made.make("s3://other/1.jpg", "s3://other/2.jpg", "s3://other/3.jpg", unit_id=RIG.unit_id)

    made.audit(adopt=True)
    (row,) = made.rows()

    assert (row.finding, row.key, row.unit_id, row.item_uuid) == ("unknown", None, RIG.unit_id, item)
    assert f"is planned in chunk {made.fleet.chunks[0].chunk_id} with other objects, and is never adopted" in row.detail
    assert made.fleet.outcomes() == []


def test_a_group_that_has_the_units_id_and_does_not_say_what_it_consists_of_is_opened(hand_made: MakeHandMade):
    made = hand_made(RIG)
    item = made.make(*made.urls(RIG), unit_id=RIG.unit_id, has_digest=False)

    limited = made.audit(adopt=True, limits=AuditLimits(contents_requests=0))
    report = made.audit(adopt=True)

    assert (limited.adopted_units, limited.not_opened) == (0, 1)
    assert (report.adopted_units, made.asked) == (1, [item])


def test_an_image_of_one_frame_is_not_the_group_and_is_explained_without_a_request(hand_made: MakeHandMade):
    made = hand_made(RIG, Group(MediaKind.IMAGE_GROUP, "one", ("raw/one.jpg",)))
    made.auditor.add(made.url_of["raw/rig/2.jpg"], name="frame")
    made.auditor.add(made.url_of["raw/one.jpg"], name="frame")

    made.audit(adopt=True)
    rows = made.rows()

    assert [(row.finding, row.key, row.objects) for row in rows] == [
        ("unknown", "raw/one.jpg", 1),
        ("unknown", "raw/rig/2.jpg", 3),
    ]
    assert "its object is one of the 3 objects of this unit, which is planned as one item" in rows[1].detail
    assert (made.fleet.outcomes(), made.asked) == ([], [])


def test_what_urls_uuids_and_metadata_explain_is_not_opened(hand_made: MakeHandMade):
    made = hand_made(RIG, CLIP, PHOTO)
    made.fleet.register()
    made.auditor.alter("clip", unit_id=None)
    for name in list(made.fleet.store.names("fleet/journal/")):
        if "image_groups" in name:
            made.fleet.store.delete(name)

    rows = made.rows()

    assert [(row.finding, row.key) for row in rows] == [("unknown", RIG.keys[0])]
    assert made.asked == []


def test_without_planned_groups_nothing_is_opened(hand_made: MakeHandMade):
    made = hand_made(PHOTO)
    made.make("s3://other/1.jpg")

    assert [row.finding for row in made.rows()] == ["unknown"]
    assert made.asked == []


def test_opening_groups_ends_at_the_limit_and_begins_with_those_that_name_no_unit(hand_made: MakeHandMade):
    made = hand_made(RIG, CLIP)
    made.make(*made.urls(CLIP), unit_id="of another source")
    made.make("s3://other/1.jpg", unit_id="of another source")
    mine = made.make(*made.urls(RIG))

    report = made.audit(limits=AuditLimits(contents_requests=1))
    rows = made.rows(limits=AuditLimits(contents_requests=1))
    unlimited = made.audit()

    assert (report.opened, report.not_opened) == (1, 2)
    assert made.asked[:1] == [mine]
    assert sorted(row.key or "" for row in rows) == ["", "", RIG.keys[0]]
    assert ["What it consists of was not asked" in row.detail for row in rows if row.key is None] == [True, True]
    assert (unlimited.opened, unlimited.not_opened, unlimited.findings["unknown"]) == (3, 0, 3)


def test_an_item_of_which_encord_refuses_to_say_what_is_in_it_is_unknown(hand_made: MakeHandMade):
    made = hand_made(RIG)
    item = made.make(*made.urls(RIG))

    (row,) = made.rows(gateway=Silent(made.fleet.encord))

    assert (row.finding, row.key, row.item_uuid) == ("unknown", None, item)


def test_a_second_group_of_a_registered_unit_is_one_too_many(hand_made: MakeHandMade):
    made = hand_made(RIG)
    made.fleet.register()
    item = made.make(*reversed(made.urls(RIG)))

    rows = made.rows()

    assert [(row.finding, row.key, row.objects, row.item_uuid) for row in rows] == [("duplicate", RIG.keys[0], 3, item)]


def test_one_deleted_frame_is_one_row_that_names_it_and_counts_the_others(hand_made: MakeHandMade):
    made = hand_made(RIG, CLIP, PHOTO)
    made.fleet.register()
    for key in RIG.keys[1:]:
        del made.fleet.objects[key]
    made.fleet.objects[CLIP.keys[1]]["e_tag"] = "another"
    made.fleet.objects[CLIP.keys[1]]["storage_class"] = made.fleet.objects[PHOTO.keys[0]]["storage_class"] = "GLACIER"
    made.fleet.take_inventory()

    rows = made.rows()

    detail = (
        f"2 of 3 objects are gone, the first of them {RIG.keys[1]!r}. The item still shows the other objects: write what "
        "is gone again under its key; delete the item only if you no longer want the whole unit"
    )
    assert [(row.finding, row.key, row.unit_id, row.objects, row.detail) for row in rows] == [
        ("changed", CLIP.keys[1], CLIP.unit_id, 2, f"1 of 2 objects changed: {CLIP.keys[1]!r}"),
        ("archived", CLIP.keys[1], CLIP.unit_id, 2, f"1 of 2 objects is archived: {CLIP.keys[1]!r}"),
        ("archived", PHOTO.keys[0], PHOTO.unit_id, 1, None),
        (
            "gone",
            RIG.keys[1],
            RIG.unit_id,
            3,
            detail,
        ),
    ]
    assert made.asked == []


def test_a_unit_of_which_everything_is_gone_says_so_and_keeps_no_one_from_deleting_its_item(hand_made: MakeHandMade):
    made = hand_made(RIG, PHOTO)
    made.fleet.register()
    for key in (*RIG.keys, *PHOTO.keys):
        del made.fleet.objects[key]
    made.fleet.take_inventory()

    rows = made.rows()

    assert sorted((row.finding, row.unit_id, row.detail or "") for row in rows) == sorted(
        [("gone", RIG.unit_id, "all 3 objects are gone"), ("gone", PHOTO.unit_id, "")]
    )


def test_the_report_of_an_earlier_version_is_read_without_the_number_of_objects(
    hand_made: MakeHandMade, tmp_path: Path
):
    made = hand_made(RIG)
    made.make(*made.urls(RIG))
    store, report = made.fleet.store, made.audit()
    with store.local_file(report.parquet.name) as path:
        earlier = pq.read_table(path).drop_columns("objects")
    pq.write_table(earlier, tmp_path / "findings.parquet")
    store.create_from_file("fleet/audit/earlier/findings.parquet", tmp_path / "findings.parquet")
    part = Part("fleet/audit/earlier/findings.parquet", 1, *file_digest(tmp_path / "findings.parquet"))
    document = report.to_json() | {"parquet": part.to_json()}
    for row in document["sample"]:
        del row["objects"]

    read = AuditReport.from_json(document)

    (row,) = audit_findings(store, read)
    assert (row.finding, row.key, row.unit_id, row.objects) == ("unknown", RIG.keys[0], RIG.unit_id, None)
    assert read.sample == (row,)
