"""What becomes of units of several objects, one rule at a time: the outcome, the message, and what it costs the others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from registration_pipeline.ids import unit_id
from registration_pipeline.inventory.schema import NAME_NOT_UTF8
from registration_pipeline.limits import ManifestLimits
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.history import load_history
from registration_pipeline.planning.wave import load_waves, read_census, read_chunk_units

RIGS = {"match": "rigs/**", "as": "image_group", "by": "directory"}
CLIPS = {"match": "clips/**", "as": "image_sequence", "by": r"^clips/(?P<clip>[^/]+)/(?P<frame>\d+)\."}


def rejected(bucket: Any, wave: Any) -> dict[str, tuple[str, str]]:
    rows = [row for batch in read_census(bucket.store, wave, "rejected") for row in batch.to_pylist()]
    return {row["key"]: (row["reason"], row["message"]) for row in rows}


def units(bucket: Any, plan: Any) -> dict[str, list[str]]:
    return {
        unit.title: [entry.key for entry in unit.objects]
        for chunk in plan.chunks
        for unit in read_chunk_units(bucket.store, "cams", chunk)
    }


def test_members_are_planned_as_one_unit_in_their_order_beside_single_objects(bucket: Any) -> None:
    bucket.configure(groups=[RIGS, CLIPS])
    bucket.put("raw/rigs/a/10.jpg", "raw/rigs/a/2.jpg", "raw/rigs/a/sub/1.jpg", "raw/a.jpg", "raw/rigs/a/readme.txt")
    bucket.put("raw/clips/x/2.png", "raw/clips/x/010.png", "raw/clips/other.png")
    plan = bucket.sync()

    assert units(bucket, plan) == {
        "rigs/a": ["raw/rigs/a/2.jpg", "raw/rigs/a/10.jpg"],
        "rigs/a/sub": ["raw/rigs/a/sub/1.jpg"],
        "x": ["raw/clips/x/2.png", "raw/clips/x/010.png"],
        "raw/a.jpg": ["raw/a.jpg"],
        "raw/rigs/a/readme.txt": ["raw/rigs/a/readme.txt"],
        "raw/clips/other.png": ["raw/clips/other.png"],
    }
    assert (plan.wave.counts.objects, plan.wave.counts.new) == (8, 8)
    assert [chunk.first_row is not None for chunk in plan.chunks] == [
        chunk.kind in {MediaKind.IMAGE_GROUP, MediaKind.IMAGE_SEQUENCE} for chunk in plan.chunks
    ]


def test_a_unit_keeps_its_id_whatever_its_first_key_is(bucket: Any) -> None:
    bucket.configure(groups=[RIGS])
    bucket.put("raw/rigs/a/2.jpg")
    bucket.sync()

    (row,) = bucket.planned_rows()
    assert row["unit_id"] == unit_id("cams", MediaKind.IMAGE_GROUP, "directory:rigs/a/")
    assert row["group_key"] == "directory:rigs/a/"


@pytest.mark.parametrize(
    ("key", "facts", "reason"),
    [
        pytest.param("raw/clips/x/2.png", {"size": 0}, "empty", id="empty"),
        pytest.param("raw/clips/x/2.png", {"storage_class": "GLACIER"}, "archived", id="archived"),
        pytest.param("raw/clips/x/2.png", {"size": 2**31}, "too_large", id="too large"),
        pytest.param("raw/clips/x/2.tif", {}, "unsupported_type", id="TIFF in a sequence"),
        pytest.param("raw/clips/x/2.png", {"storage_class": NAME_NOT_UTF8}, "name_not_utf8", id="name"),
    ],
)
def test_a_bad_member_rejects_its_unit_and_the_others_name_it(
    bucket: Any, key: str, facts: dict[str, Any], reason: str
) -> None:
    bucket.configure(groups=[CLIPS])
    bucket.put("raw/clips/x/1.png", "raw/clips/x/3.png", "raw/clips/y/1.png", "raw/z.jpg")
    bucket.put(key, **facts)
    plan = bucket.sync()
    found = rejected(bucket, plan.wave)

    assert {rejected_key: why for rejected_key, (why, _) in found.items()} == {
        key: reason,
        "raw/clips/x/1.png": "unit_incomplete",
        "raw/clips/x/3.png": "unit_incomplete",
    }
    assert all(repr(key) in message for _, message in found.values())
    assert units(bucket, plan) == {"y": ["raw/clips/y/1.png"], "raw/z.jpg": ["raw/z.jpg"]}
    assert plan.wave.counts.rejected_by_reason == {reason: 1, "unit_incomplete": 2}
    assert plan.wave.counts.rejected_suffixes == {}  # a TIFF is of a known type, only not in a sequence


def test_a_tiff_in_an_image_group_is_accepted(bucket: Any) -> None:
    bucket.configure(groups=[RIGS])
    bucket.put("raw/rigs/a/1.tif")

    assert units(bucket, bucket.sync()) == {"rigs/a": ["raw/rigs/a/1.tif"]}


def test_a_repaired_member_lets_the_unit_be_planned_whole(bucket: Any) -> None:
    bucket.configure(groups=[RIGS])
    bucket.put("raw/rigs/a/1.jpg", size=0)
    bucket.put("raw/rigs/a/2.jpg")
    bucket.sync()
    bucket.put("raw/rigs/a/1.jpg")
    plan = bucket.sync()

    assert units(bucket, plan) == {"rigs/a": ["raw/rigs/a/1.jpg", "raw/rigs/a/2.jpg"]}
    assert plan.wave.counts.rejected == 0


def test_a_later_member_of_a_planned_unit_is_rejected_every_night_and_names_the_chunk(bucket: Any) -> None:
    bucket.configure(groups=[RIGS])
    bucket.put("raw/rigs/a/1.jpg")
    first = bucket.sync()
    bucket.put("raw/rigs/a/2.jpg", "raw/rigs/b/1.jpg")
    for _ in range(2):
        found = rejected(bucket, bucket.sync().wave)
        assert {key: why for key, (why, _) in found.items()} == {"raw/rigs/a/2.jpg": "late_member"}
        assert first.chunks[0].chunk_id in found["raw/rigs/a/2.jpg"][1]

    assert bucket.members().keys() == {
        first.chunks[0].chunk_id,
        load_waves(bucket.store, "cams")[1].wave_id + "-image_groups-000001",
    }


def test_later_members_are_found_in_the_compacted_ledger_and_without_it(bucket: Any) -> None:
    bucket.configure(groups=[RIGS])
    for name in "dacb":
        bucket.put(f"raw/rigs/{name}/1.jpg")
        bucket.sync()
    assert len(load_history(bucket.store, "cams").group_runs) == 1
    bucket.put(*(f"raw/rigs/{name}/2.jpg" for name in "abcd"))
    inventory = bucket.inventory()
    compacted = bucket.plan(inventory=inventory, dry_run=True).wave
    for name in list(bucket.store.names("cams/ledger/")):
        bucket.store.delete(name)
    plain = bucket.plan(inventory=inventory, dry_run=True).wave

    assert compacted.counts == plain.counts
    assert plain.counts.rejected_by_reason == {"late_member": 4}


@pytest.mark.parametrize(
    ("rule", "source", "age", "new"),
    [
        pytest.param({}, {"min_age_seconds": 60}, 10, 0, id="the source's age"),
        pytest.param({}, {"min_age_seconds": 60}, 100, 2, id="old enough"),
        pytest.param({"complete_after_seconds": 600}, {}, 100, 0, id="the rule's age"),
        pytest.param({"complete_after_seconds": 0}, {"min_age_seconds": 600}, 0, 2, id="the rule's age of nothing"),
    ],
)
def test_the_youngest_member_holds_its_unit(
    bucket: Any, rule: dict[str, Any], source: dict[str, Any], age: int, new: int
) -> None:
    bucket.configure(groups=[RIGS | rule], **source)
    bucket.put("raw/rigs/a/1.jpg", last_modified=bucket.now - timedelta(days=1))
    bucket.put("raw/rigs/a/2.jpg", last_modified=bucket.now - timedelta(seconds=age))
    counts = bucket.sync().wave.counts

    assert (counts.new, counts.held) == (new, 2 - new)


def test_a_held_unit_is_planned_when_it_is_old_enough_though_the_listing_did_not_change(bucket: Any) -> None:
    bucket.configure(groups=[RIGS | {"complete_after_seconds": 60}])
    bucket.put("raw/rigs/a/1.jpg", last_modified=bucket.now)
    assert bucket.sync().wave.counts.held == 1
    bucket.wait(100)

    assert bucket.sync().wave.counts.new == 1


@pytest.mark.parametrize(
    ("objects", "outcome"),
    [
        pytest.param(1, {"held": 1}, id="fewer"),
        pytest.param(2, {"new": 2}, id="as many"),
        pytest.param(3, {"rejected": 3}, id="more"),
    ],
)
def test_a_unit_is_planned_with_exactly_the_objects_that_are_expected(
    bucket: Any, objects: int, outcome: dict[str, int]
) -> None:
    bucket.configure(groups=[RIGS | {"expect_objects": 2}])
    bucket.put(*(f"raw/rigs/a/{number}.jpg" for number in range(objects)))
    wave = bucket.sync().wave

    assert {name: getattr(wave.counts, name) for name in ("held", "new", "rejected")} == {
        "held": 0,
        "new": 0,
        "rejected": 0,
    } | outcome
    assert all("expect_objects is 2" in message for _, message in rejected(bucket, wave).values())


def test_a_unit_that_no_manifest_can_hold_is_rejected_with_the_limit_named(bucket: Any) -> None:
    bucket.configure(groups=[RIGS])
    bucket.put(*(f"raw/rigs/a/{number}.jpg" for number in range(50)), "raw/rigs/b/1.jpg")
    plan = bucket.plan(inventory=bucket.inventory(), limits=ManifestLimits(entries=10, bytes=3_000))
    found = rejected(bucket, plan.wave)

    assert plan.wave.counts.rejected_by_reason == {"unit_too_large": 50}
    assert all("3,000" in message and "'directory:rigs/a/'" in message for _, message in found.values())
    assert units(bucket, plan) == {"rigs/b": ["raw/rigs/b/1.jpg"]}


@pytest.mark.parametrize(("images", "new"), [(5, 5), (6, 0)])
def test_a_sequence_of_too_many_images_is_rejected(
    bucket: Any, monkeypatch: pytest.MonkeyPatch, images: int, new: int
) -> None:
    for module in ("grouping.judge", "unit_size"):
        monkeypatch.setattr(f"registration_pipeline.planning.{module}.MAX_SEQUENCE_IMAGES", 5)
    bucket.configure(groups=[CLIPS, RIGS])
    bucket.put(*(f"raw/clips/x/{number}.png" for number in range(images)))
    bucket.put(*(f"raw/rigs/a/{number}.png" for number in range(6)))
    wave = bucket.sync().wave

    assert wave.counts.new == new + 6
    assert all("Encord accepts 5 in an image sequence" in message for _, message in rejected(bucket, wave).values())


def test_a_unit_of_too_many_urls_is_rejected_whole(bucket: Any) -> None:
    bucket.configure(groups=[RIGS])
    bucket.put(*(f"raw/rigs/a/{number}.jpg" for number in range(9)), "raw/rigs/b/1.jpg")
    bucket.put("raw/rigs/a/5.jpg", size=0)
    limits = ManifestLimits(entries=10, bytes=100_000, urls=4)
    wave = bucket.plan(inventory=bucket.inventory(), limits=limits).wave

    assert wave.counts.rejected_by_reason == {"empty": 1, "unit_too_large": 8}
    assert "Encord accepts 4 URLs" in rejected(bucket, wave)["raw/rigs/a/1.jpg"][1]
    assert wave.counts.new == 1


def test_gaps_repeats_and_long_sequences_are_warnings_of_the_plan_that_made_the_unit(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registration_pipeline.planning.grouping.oddities._MANY_IMAGES", 3)
    bucket.configure(groups=[CLIPS])
    bucket.put("raw/clips/x/1.png", "raw/clips/x/2.png", "raw/clips/x/02.png", "raw/clips/x/9.png")
    bucket.put("raw/clips/y/1.png", "raw/clips/y/2.png")
    plan = bucket.sync()

    gaps, repeats, images = plan.warnings.first
    assert plan.warnings.total == 3
    assert "gaps in its frame numbers: 6 numbers missing between 1 and 9 (3, 4, 5, 6, 7, …)" in gaps
    assert "repeated frame numbers: 4 objects, of which 1 object" in repeats
    assert "4 images" in images
    assert units(bucket, plan)["x"] == [f"raw/clips/x/{name}.png" for name in ("1", "02", "2", "9")]
    assert load_waves(bucket.store, "cams")[-1].warnings == plan.warnings
    assert bucket.plan().warnings == plan.warnings
    assert bucket.sync().warnings.total == 0


def test_no_more_than_twenty_warnings_are_kept_with_the_number_of_all(bucket: Any) -> None:
    bucket.configure(groups=[CLIPS])
    for clip in range(25):
        bucket.put(f"raw/clips/{clip}/1.png", f"raw/clips/{clip}/3.png")
    plan = bucket.sync()

    assert (plan.warnings.total, len(plan.warnings.first)) == (25, 20)


def test_after_a_change_of_rules_what_is_planned_stays_and_founds_no_second_unit(bucket: Any) -> None:
    bucket.put("raw/rigs/a/1.jpg", "raw/rigs/a/2.jpg")
    bucket.sync()
    bucket.configure(groups=[RIGS])
    bucket.put("raw/rigs/a/3.jpg", "raw/rigs/b/1.jpg")
    plan = bucket.sync()
    found = rejected(bucket, plan.wave)

    assert {key: why for key, (why, _) in found.items()} == {"raw/rigs/a/3.jpg": "late_member"}
    assert "registered in another form" in found["raw/rigs/a/3.jpg"][1]
    assert units(bucket, plan) == {"rigs/b": ["raw/rigs/b/1.jpg"]}
    assert len(plan.wave.groupings) == 2


def test_a_rule_that_is_taken_back_makes_singles_of_later_objects_only(bucket: Any) -> None:
    bucket.configure(groups=[RIGS])
    bucket.put("raw/rigs/a/1.jpg")
    bucket.sync()
    bucket.configure()
    bucket.put("raw/rigs/a/2.jpg")
    plan = bucket.sync()

    assert units(bucket, plan) == {"raw/rigs/a/2.jpg": ["raw/rigs/a/2.jpg"]}
    assert (plan.wave.counts.known, plan.wave.counts.new) == (1, 1)


def test_two_rules_that_name_the_same_unit_fill_it_together_and_the_first_decides(bucket: Any) -> None:
    first = {"match": "rigs/**/*.png", "as": "image_group", "by": "directory", "title": "first {path}"}
    second = {"match": "rigs/**/*.jpg", "as": "image_group", "by": "directory", "expect_objects": 1}
    bucket.configure(groups=[first, second])
    bucket.put("raw/rigs/a/1.jpg", "raw/rigs/a/2.png")

    assert units(bucket, bucket.sync()) == {"first rigs/a/1.jpg": ["raw/rigs/a/1.jpg", "raw/rigs/a/2.png"]}


def test_changed_and_deleted_objects_count_once_per_unit(bucket: Any) -> None:
    bucket.configure(groups=[RIGS], chunk_size={"image_groups": 2})
    bucket.put(*(f"raw/rigs/{rig}/{number}.jpg" for rig in "abcde" for number in range(3)), "raw/x.jpg", "raw/y.jpg")
    bucket.sync()
    bucket.put("raw/rigs/a/0.jpg", "raw/rigs/a/1.jpg", "raw/rigs/e/0.jpg", "raw/x.jpg", e_tag="other")
    bucket.delete("raw/rigs/b/0.jpg", "raw/rigs/b/1.jpg", "raw/rigs/c/1.jpg", "raw/y.jpg", "raw/rigs/e/2.jpg")
    counts = bucket.sync().wave.counts

    assert (counts.changed, counts.changed_units) == (4, 3)
    assert (counts.deleted, counts.deleted_units) == (5, 4)


def test_a_large_unit_has_a_chunk_of_its_own_and_no_unit_is_split(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registration_pipeline.planning.chunking._MOST_URLS", 5)
    bucket.configure(groups=[RIGS])
    for rig, objects in {"a": 2, "b": 7, "c": 3, "d": 2}.items():
        bucket.put(*(f"raw/rigs/{rig}/{number}.jpg" for number in range(objects)))
    plan = bucket.sync()

    assert [(chunk.units, chunk.objects) for chunk in plan.chunks] == [(1, 2), (1, 7), (2, 5)]


def test_a_title_over_300_characters_keeps_the_key_in_the_metadata_of_the_first_object_alone(bucket: Any) -> None:
    folder = "x" * 400
    bucket.configure(groups=[RIGS])
    bucket.put(f"raw/rigs/{folder}/1.jpg", f"raw/rigs/{folder}/2.jpg")
    bucket.sync()
    first, second = bucket.planned_rows()

    assert first["client_metadata"] == f'{{"registration.key":"raw/rigs/{folder}/1.jpg"}}'
    assert second["client_metadata"] is None
    assert first["title"] == second["title"]
    assert len(first["title"]) <= 300
