"""Upserts from facts to Encord: what changed is sent, once, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from registration_pipeline.errors import PermanentError, ServiceUnavailableError
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.upserts.sent import SENT
from registration_pipeline.state.layout import facts_folder
from registration_pipeline.submission.testing import StartScript
from registration_pipeline.tracking.due import ChunkTask
from registration_pipeline.tracking.upserts import UpsertCounts
from registration_pipeline.verification.state import verify_state
from registration_pipeline_tests.planned_units import Group, plan_groups
from registration_pipeline_tests.upsert_model.fleet import MetadataFleet

KEYS = A, B, C = ("raw/a.jpg", "raw/b.jpg", "raw/c.jpg")
SUN, RAIN, FOG = ({"weather": "sun"}, {"weather": "rain"}, {"weather": "fog"})


@pytest.fixture
def fleet() -> MetadataFleet:
    """Return three registered images, of which nothing is known yet."""
    made = MetadataFleet(chunk_size={"images": 10})
    made.put(*KEYS).sync().register()
    return made


def sent(fleet: MetadataFleet) -> list[list[str]]:
    """Return the titles of each manifest of upserts that reached Encord."""
    documents = [document for document in map(json.loads, fleet.encord.manifests) if document.get("upsert_metadata")]
    assert all(document["skip_duplicate_urls"] for document in documents)
    return [
        [unit["title"] for units in document.values() if isinstance(units, list) for unit in units]
        for document in documents
    ]


def items(fleet: MetadataFleet) -> list[str]:
    return [item.item_uuid for found in fleet.encord.items.values() for item in found]


def remove(fleet: MetadataFleet, title: str) -> None:
    for found in fleet.encord.items.values():
        found[:] = [item for item in found if item.name != title]


def test_only_what_changed_is_sent(fleet: MetadataFleet) -> None:
    before = items(fleet)
    fleet.know({A: SUN, B: {}, C: RAIN})

    (first,) = fleet.upsert()

    assert first.chunk.chunk_id == "20261121T030002Z-upsert-images-000001"
    assert fleet.shown() == {A: SUN, B: {}, C: RAIN}
    assert fleet.upsert() == []
    fleet.know({A: SUN, B: FOG, C: RAIN}).upsert()
    assert fleet.shown() == {A: SUN, B: FOG, C: RAIN}
    assert sent(fleet) == [[A, C], [B]]
    assert items(fleet) == before
    assert fleet.counts() == UpsertCounts(done=3)
    fleet.assert_exactly_once()


def test_a_night_without_changes_writes_nothing_and_asks_encord_nothing(fleet: MetadataFleet) -> None:
    fleet.know({A: SUN, B: {}, C: {}}).upsert()
    files = list(fleet.store.names(""))

    fleet.upsert()

    assert list(fleet.store.names("")) == files


def test_an_upsert_says_where_the_unit_was_registered(fleet: MetadataFleet) -> None:
    fleet.know({A: SUN, B: {}, C: {}}).upsert()

    document = json.loads(fleet.encord.manifests[-1])

    (unit,) = document["images"]
    (registered,) = [one for one in json.loads(fleet.encord.manifests[0])["images"] if one["title"] == A]
    assert unit == registered | {"clientMetadata": registered["clientMetadata"] | SUN}


def test_fields_that_are_gone_are_counted_and_nothing_is_sent_for_them(fleet: MetadataFleet) -> None:
    fleet.know({A: SUN | RAIN | {"speed": 3}, B: SUN, C: {}}).upsert()
    fleet.know({A: RAIN, B: {}, C: {}})

    assert fleet.preview().wave.upserts["removed"] == 2
    assert fleet.upsert() == []
    fleet.know({A: RAIN | {"speed": 3}, B: SUN, C: {}})
    assert fleet.upsert() == []  # what was sent is there all the same


def test_a_field_that_was_sent_without_another_is_compared_with_that(fleet: MetadataFleet) -> None:
    fleet.know({A: SUN | {"speed": 3}, B: {}, C: {}}).upsert()
    fleet.know({A: RAIN, B: {}, C: {}}).upsert()
    fleet.know({A: RAIN | {"speed": 3}, B: {}, C: {}}).upsert()

    assert sent(fleet) == [[A], [A], [A]]
    assert fleet.shown()[A] == RAIN | {"speed": 3}


@pytest.mark.parametrize("problem", ["invalid_metadata", "metadata_unreadable"])
def test_units_with_invalid_metadata_are_not_sent_and_are_counted(fleet: MetadataFleet, problem: str) -> None:
    fleet.know({A: SUN, B: {}, C: {}}, problems={B: problem})

    plan = fleet.preview()
    fleet.upsert()

    assert (plan.wave.upserts["units"], plan.wave.upserts["invalid"]) == (1, 1)
    assert sent(fleet) == [[A]]


def test_units_whose_metadata_waits_to_be_read_are_not_sent(fleet: MetadataFleet) -> None:
    fleet.know({A: SUN})

    assert fleet.preview().wave.upserts["unknown"] == 2
    fleet.upsert()
    assert sent(fleet) == [[A]]


def test_units_that_failed_to_register_are_never_in_an_upsert_and_follow_when_they_are_registered() -> None:
    fleet = MetadataFleet(encord={"fails": lambda url: "boom" if url.endswith("b.jpg") else None})
    fleet.put(*KEYS).sync().register()
    fleet.know(dict.fromkeys(KEYS, SUN)).upsert()
    assert sent(fleet) == [[A, C]]

    fleet.encord.fails = lambda _: None
    fleet.register(retry_failed=True)
    fleet.upsert()

    assert sent(fleet) == [[A, C], [B]]
    assert fleet.shown() == dict.fromkeys(KEYS, SUN)
    fleet.assert_exactly_once()


@pytest.mark.parametrize("way", ["deleted", "moved"])
def test_an_item_that_is_not_in_its_folder_is_not_made_again_and_the_rest_is_sent(
    fleet: MetadataFleet, way: str
) -> None:
    (folder,) = fleet.encord.items
    taken = [item for item in fleet.encord.items[folder] if item.name == B]
    remove(fleet, B)
    if way == "moved":
        fleet.encord.items["another folder"] = taken
    before = sorted(items(fleet))
    fleet.know(dict.fromkeys(KEYS, SUN))

    results = fleet.upsert()

    assert [(one.registered_units, dict(one.reasons)) for one in results] == [
        (0, {"planned_again": 2, "not_in_encord": 1}),
        (2, {}),
    ]
    assert sent(fleet) == [[A, C]]
    assert sorted(items(fleet)) == before
    assert fleet.counts() == UpsertCounts(done=2, failed=1)
    (row,) = fleet.upsert_failures()
    assert (row.source, row.key, row.stage, row.reason) == ("fleet", B, "upsert", "not_in_encord")
    fleet.know(dict.fromkeys(KEYS, RAIN)).upsert()
    assert sent(fleet) == [[A, C], [A, C]]
    assert fleet.counts() == UpsertCounts(done=2, failed=1)
    assert [row.key for row in fleet.upsert_failures()] == [B]


def test_an_item_that_is_back_is_sent_on_request(fleet: MetadataFleet) -> None:
    (folder,) = fleet.encord.items
    taken = list(fleet.encord.items[folder])
    remove(fleet, B)
    fleet.know(dict.fromkeys(KEYS, SUN)).upsert()
    fleet.encord.items[folder] = taken

    assert fleet.upsert() == []
    fleet.upsert(failed=True)

    assert fleet.shown() == dict.fromkeys(KEYS, SUN)
    assert fleet.counts() == UpsertCounts(done=3)
    assert fleet.upsert_failures() == []


def test_an_item_that_was_registered_again_gets_its_metadata(fleet: MetadataFleet) -> None:
    fleet.know(dict.fromkeys(KEYS, SUN)).upsert()
    remove(fleet, B)
    (chunk,) = fleet.chunks
    fleet.register(tasks=[ChunkTask(chunk=chunk, after_attempt=1, is_fresh=True, is_forced=True)])
    assert fleet.shown()[B] == {}

    fleet.upsert()

    assert sent(fleet) == [[A, B, C], [B]]
    assert fleet.shown() == dict.fromkeys(KEYS, SUN)


def test_an_item_that_is_gone_and_was_registered_again_is_sent_without_a_request(fleet: MetadataFleet) -> None:
    remove(fleet, B)
    fleet.know(dict.fromkeys(KEYS, SUN)).upsert()
    (chunk,) = fleet.chunks
    fleet.register(tasks=[ChunkTask(chunk=chunk, after_attempt=1, is_fresh=True, is_forced=True)])

    fleet.upsert()

    assert fleet.shown() == dict.fromkeys(KEYS, SUN)
    assert fleet.counts() == UpsertCounts(done=3)


def test_a_job_that_ends_done_without_an_effect_proves_nothing(fleet: MetadataFleet) -> None:
    fleet.encord.ignores_upserts = True
    fleet.know({A: SUN, B: {}, C: {}})

    (result,) = fleet.upsert(settle_seconds=60)

    assert dict(result.reasons) == {"metadata_not_shown": 1}
    assert fleet.counts() == UpsertCounts(failed=1)
    assert "does not show the field 'weather' as it was sent" in str(fleet.upsert_failures()[0].message)
    fleet.encord.ignores_upserts = False
    fleet.upsert()
    assert fleet.counts() == UpsertCounts(done=1)
    assert fleet.upsert_failures() == []


def test_what_fails_is_sent_as_often_as_is_allowed_and_on_request(fleet: MetadataFleet) -> None:
    fleet.encord.ignores_upserts = True
    fleet.know({A: SUN, B: {}, C: {}})
    for _ in range(5):
        fleet.upsert()

    assert len(sent(fleet)) == 3
    assert fleet.counts() == UpsertCounts(failed=1)
    assert len(fleet.upsert_failures()) == 1
    fleet.upsert(failed=True)
    assert len(sent(fleet)) == 3
    fleet.upsert(failed=True, force=True)
    assert len(sent(fleet)) == 4
    fleet.know({A: RAIN, B: {}, C: {}}).upsert()
    assert len(sent(fleet)) == 5


def test_a_change_that_is_taken_back_is_not_a_failure_any_more(fleet: MetadataFleet) -> None:
    fleet.know({A: SUN, B: {}, C: {}}).upsert()
    fleet.encord.ignores_upserts = True
    fleet.know({A: RAIN, B: {}, C: {}}).upsert()
    assert fleet.counts() == UpsertCounts(failed=1)

    fleet.know({A: SUN, B: {}, C: {}}).upsert()

    assert fleet.counts() == UpsertCounts(done=1)
    assert fleet.upsert_failures() == []
    assert len(sent(fleet)) == 2


def test_a_reply_that_was_lost_is_settled_by_what_the_items_show(fleet: MetadataFleet) -> None:
    fleet.encord.starts = [StartScript.LOSE_REPLY]
    fleet.know({A: SUN, B: {}, C: {}}).upsert()

    assert sent(fleet) == [[A]]
    assert fleet.counts() == UpsertCounts(done=1)
    assert sum(fleet.time.slept) >= 120


def test_a_request_that_was_lost_is_sent_again(fleet: MetadataFleet) -> None:
    fleet.encord.starts = [StartScript.LOSE_REQUEST]
    fleet.know({A: SUN, B: {}, C: {}}).upsert()

    assert sent(fleet) == [[A]]
    assert fleet.shown()[A] == SUN


def test_a_refused_chunk_is_halved_and_only_the_bad_unit_fails(fleet: MetadataFleet) -> None:
    fleet.encord.refuses = lambda manifest: (
        PermanentError("422: no") if any(unit["title"] == B for unit in manifest["images"]) else None
    )
    fleet.know(dict.fromkeys(KEYS, SUN)).upsert()

    assert fleet.shown() == {A: SUN, B: {}, C: SUN}
    assert fleet.counts() == UpsertCounts(done=2, failed=1)
    assert [row.reason for row in fleet.upsert_failures()] == ["manifest_refused"]


def test_metadata_shows_late(fleet: MetadataFleet) -> None:
    fleet.encord.metadata_seconds = 90
    fleet.know({A: SUN, B: {}, C: {}})

    (result,) = fleet.upsert()

    assert not result.has_failures
    assert sent(fleet) == [[A]]


def test_years_of_changes_are_compacted(fleet: MetadataFleet) -> None:
    for number in range(25):
        fleet.know({A: {"n": number}, B: SUN, C: {"n": number // 20}}).upsert()

    assert len(sent(fleet)) == 25
    assert [len(titles) for titles in sent(fleet)] == [3, *[1] * 19, 2, *[1] * 4]
    assert fleet.store.folders(facts_folder(fleet.upserts, SENT)) == ["00000008", "00000016"]
    for name in list(fleet.store.names(facts_folder(fleet.upserts, SENT))):
        fleet.store.delete(name)
    fleet.know({A: {"n": 24}, B: SUN, C: {"n": 1}})
    assert fleet.upsert() == []  # it can always be made again
    assert verify_state(fleet.store, "fleet").damaged == {}


def test_every_file_of_upserts_is_verified(fleet: MetadataFleet) -> None:
    remove(fleet, B)
    fleet.know(dict.fromkeys(KEYS, SUN)).upsert()
    report = verify_state(fleet.store, "fleet")
    assert (report.damaged, report.leftovers, report.foreign) == ({}, 0, ())
    assert report.files == len(list(fleet.store.names("fleet/")))
    upserts = [name for name in fleet.store.names(f"{fleet.upserts}/") if "/ledger/" not in name]
    assert {name.split("/")[2] for name in upserts} == {
        *("plan", "census", "lineage", "manifests", "journal", "outcomes", "failures"),
    }

    for name in upserts:
        data = fleet.store.read(name)
        fleet.store.delete(name)
        fleet.store.create(name, data[: len(data) // 2] + b"?" + data[len(data) // 2 + 1 :])
        damaged = verify_state(fleet.store, "fleet").damaged
        assert damaged, name
        fleet.store.delete(name)
        fleet.store.create(name, data)


def test_groups_have_the_metadata_of_their_first_object_filled_by_later_ones() -> None:
    fleet = MetadataFleet()
    groups = [
        Group(kind, f"rig {name}", tuple(f"raw/{name}/{number}.jpg" for number in range(3)))
        for name, kind in (("x", MediaKind.IMAGE_GROUP), ("y", MediaKind.IMAGE_SEQUENCE))
    ]
    plan_groups(fleet, groups)
    fleet.register()
    known: dict[str, Any] = {key: {} for group in groups for key in group.keys}
    known |= {"raw/x/0.jpg": SUN, "raw/x/2.jpg": RAIN | {"speed": 2}, "raw/y/1.jpg": FOG}
    fleet.know(known).upsert()

    assert fleet.shown() == {"rig x": SUN | {"speed": 2}, "rig y": FOG}
    assert fleet.upsert() == []
    fleet.know(known | {"raw/x/1.jpg": {"speed": 9}}).upsert()
    assert fleet.shown() == {"rig x": SUN | {"speed": 9}, "rig y": FOG}
    assert sorted(sent(fleet)) == [["rig x"], ["rig x"], ["rig y"]]
    fleet.know({key: value for key, value in known.items() if key != "raw/y/2.jpg"} | {"raw/y/0.jpg": SUN})
    assert fleet.preview().wave.upserts["unknown"] == 1
    fleet.assert_exactly_once()


def test_counts_and_samples_are_shown_before_anything_is_sent(fleet: MetadataFleet) -> None:
    fleet.know({A: SUN, B: SUN, C: {}}).upsert()
    files = list(fleet.store.names(""))
    fleet.know({A: RAIN | {"speed": 1}, B: {}, C: {}})

    plan = fleet.preview()

    assert [(sample.key, *sample.change) for sample in plan.samples] == [
        (A, "speed", None, 1),
        (A, "weather", "sun", "rain"),
    ]
    assert {name: plan.wave.upserts[name] for name in ("units", "removed", "done")} == {
        "units": 1,
        "removed": 1,
        "done": 1,
    }
    assert [name for name in fleet.store.names("") if "facts/metadata" not in name] == [
        name for name in files if "facts/metadata" not in name
    ]


def test_a_start_that_encord_never_answers_is_not_sent_for_ever(fleet: MetadataFleet) -> None:
    fleet.encord.starts = [StartScript.LOSE_REQUEST] * 20
    fleet.know({A: SUN, B: {}, C: {}})

    with pytest.raises(ServiceUnavailableError):
        fleet.upsert()
    fleet.encord.starts = []
    fleet.upsert()
    assert fleet.shown()[A] == SUN


def test_an_item_that_goes_while_it_is_sent_and_is_made_again_is_reported(
    fleet: MetadataFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = fleet.encord.start_job

    def start_job(**arguments: Any) -> str:
        remove(fleet, A)
        return start(**arguments)

    fleet.know({A: SUN, B: {}, C: {}})
    monkeypatch.setattr(type(fleet.encord), "start_job", lambda _, **arguments: start_job(**arguments))
    (result,) = fleet.upsert()

    assert dict(result.reasons) == {"not_in_encord": 1}
    assert "Encord made item" in str(result.failures[0].said.message)
