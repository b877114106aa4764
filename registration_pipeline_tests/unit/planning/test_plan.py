from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import UsageError
from registration_pipeline.planning.wave import load_chunks, load_waves, read_census

if TYPE_CHECKING:
    from collections.abc import Callable


def census(bucket: Any, wave: Any, which: Any) -> list[dict[str, Any]]:
    return [row for batch in read_census(bucket.store, wave, which) for row in batch.to_pylist()]


def test_new_objects_are_planned_once_and_later_ones_make_new_chunks(bucket: Any) -> None:
    bucket.put("raw/a.jpg", "raw/b.mp4", "raw/c.jpg")
    first = bucket.sync()
    before = bucket.files("plan/")
    bucket.put("raw/b.jpg", "raw/d.jpg")
    second = bucket.sync()

    assert first.created
    assert [chunk.chunk_id for chunk in first.chunks] == [
        "20261121T020001Z-images-000001",
        "20261121T020001Z-videos-000001",
    ]
    assert (second.wave.counts.known, second.wave.counts.new) == (3, 2)
    assert bucket.members() == {
        "20261121T020001Z-images-000001": ["raw/a.jpg", "raw/c.jpg"],
        "20261121T020001Z-videos-000001": ["raw/b.mp4"],
        "20261121T020002Z-images-000001": ["raw/b.jpg", "raw/d.jpg"],
    }
    assert before.items() <= bucket.files("plan/").items()


def test_a_planned_row_says_everything_that_a_manifest_needs(bucket: Any) -> None:
    bucket.put("raw/a b.jpg", size=7, e_tag="t", version="v1")
    bucket.sync()

    (row,) = bucket.planned_rows()
    assert row["object_url"] == "https://bucket.s3.eu-west-2.amazonaws.com/raw/a%20b.jpg"
    assert (row["title"], row["kind"], row["unit_index"], row["position"]) == ("raw/a b.jpg", "images", 0, 0)
    assert (row["size"], row["e_tag"], row["version"]) == (7, "t", "v1")
    assert len(row["unit_id"]) == 16


def test_planning_an_inventory_again_returns_the_same_wave_and_writes_nothing(bucket: Any) -> None:
    bucket.put("raw/a.jpg")
    first = bucket.sync()
    before = bucket.files()
    again = bucket.plan()

    assert (again.wave, again.chunks, again.created) == (first.wave, first.chunks, False)
    assert bucket.files() == before


def test_other_rules_plan_the_same_inventory_again_as_a_numbered_wave(bucket: Any) -> None:
    bucket.put("raw/a.jpg", "raw/thumbnails/a.jpg")
    bucket.configure(exclude=["**/thumbnails/**"])
    first = bucket.sync()
    bucket.configure()
    second = bucket.plan()
    bucket.configure(exclude=["**/thumbnails/**"])
    third = bucket.plan()

    assert first.wave.counts.excluded_by_rule == {'exclude "**/thumbnails/**"': 1}
    assert second.wave.wave_id == f"{first.wave.wave_id}-2"
    assert (second.wave.counts.known, second.wave.counts.new) == (1, 1)
    assert third.wave.wave_id == f"{first.wave.wave_id}-3"
    assert third.wave.counts.known == 2  # what was planned stays known, whatever a rule says now
    assert third.wave.counts.excluded == 0


def test_chunk_sizes_change_no_decision_and_therefore_no_wave(bucket: Any) -> None:
    bucket.put("raw/a.jpg")
    first = bucket.sync()
    bucket.configure(chunk_size={"images": 3})

    assert bucket.plan().wave == first.wave


def test_known_objects_stay_known_when_encord_would_not_take_them_any_more(bucket: Any) -> None:
    bucket.put("raw/a.jpg")
    bucket.sync()
    bucket.put("raw/a.jpg", size=0, storage_class="GLACIER", e_tag="other")
    counts = bucket.sync().wave.counts

    assert (counts.known, counts.changed, counts.rejected, counts.new) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ({"e_tag": "a"}, {"e_tag": "b"}, 1),
        ({"e_tag": "a", "size": 1}, {"e_tag": "a", "size": 2}, 0),
        ({"e_tag": None, "size": 1}, {"e_tag": None, "size": 2}, 1),
        ({"e_tag": None}, {"e_tag": None}, 0),
        ({"e_tag": "a", "size": 1}, {"e_tag": None, "size": 2}, 1),
        ({"e_tag": None}, {"e_tag": "b"}, 0),
    ],
    ids=["other tag", "same tag decides", "no tags, other size", "no tags, same", "tag lost, other size", "tag gained"],
)
def test_etags_show_a_change_and_without_them_size_and_time(
    bucket: Any, before: dict[str, Any], after: dict[str, Any], changed: int
) -> None:
    written_at = bucket.now
    bucket.put("raw/a.jpg", **({"last_modified": written_at} | before))
    first = bucket.sync()
    bucket.put("raw/a.jpg", **({"last_modified": written_at} | after))
    wave = bucket.sync().wave

    row = {"key": "raw/a.jpg", "chunk_id": first.chunks[0].chunk_id, "last_modified": written_at}
    assert census(bucket, wave, "changed") == ([row] if changed else [])
    assert wave.counts.changed == changed


def test_a_later_time_alone_is_a_change_where_there_are_no_etags(bucket: Any) -> None:
    bucket.put("raw/a.jpg", e_tag=None)
    bucket.sync()
    bucket.put("raw/a.jpg", e_tag=None)

    assert bucket.sync().wave.counts.changed == 1


def test_objects_that_are_gone_are_counted_apart(bucket: Any) -> None:
    bucket.put("raw/a.jpg", "raw/b.jpg", "raw/z.jpg")
    chunk_id = bucket.sync().chunks[0].chunk_id
    bucket.delete("raw/a.jpg", "raw/z.jpg")
    wave = bucket.sync().wave

    assert (wave.counts.objects, wave.counts.known, wave.counts.deleted) == (1, 1, 2)
    assert census(bucket, wave, "deleted") == [
        {"key": "raw/a.jpg", "chunk_id": chunk_id},
        {"key": "raw/z.jpg", "chunk_id": chunk_id},
    ]


def test_an_emptied_bucket_has_only_deleted_objects(bucket: Any) -> None:
    bucket.put("raw/a.jpg", "raw/b.jpg")
    bucket.sync()
    bucket.delete("raw/a.jpg", "raw/b.jpg")
    counts = bucket.sync().wave.counts

    assert (counts.objects, counts.deleted) == (0, 2)


def test_every_wave_lists_all_rejected_objects_of_its_inventory(bucket: Any) -> None:
    bucket.put("raw/", "raw/empty.jpg", size=0)
    bucket.put("raw/a.zip")
    bucket.sync()
    bucket.put("raw/b.jpg", storage_class="DEEP_ARCHIVE")
    wave = bucket.sync().wave

    assert [(row["key"], row["reason"]) for row in census(bucket, wave, "rejected")] == [
        ("raw/", "directory_marker"),
        ("raw/a.zip", "unsupported_type"),
        ("raw/b.jpg", "archived"),
        ("raw/empty.jpg", "empty"),
    ]
    assert sum(wave.counts.rejected_by_reason.values()) == wave.counts.rejected == 4


def test_a_rule_of_kinds_plans_what_no_suffix_says_and_the_others_are_counted_by_suffix(bucket: Any) -> None:
    bucket.put("raw/frames/1.dat", "raw/frames/2.dat", "raw/other/3.dat", "raw/LICENSE", "raw/empty.jpg")
    bucket.put("raw/empty.jpg", size=0)
    before = bucket.sync().wave
    bucket.configure(kinds=[{"match": "frames/*", "kind": "images"}])
    after = bucket.plan().wave

    assert before.counts.rejected_suffixes == {".dat": 3, "": 1}
    assert after.counts.rejected_suffixes == {".dat": 1, "": 1}
    assert load_waves(bucket.store, "cams") == [before, after]
    assert {row["key"]: row["kind"] for row in bucket.planned_rows()} == {
        "raw/frames/1.dat": "images",
        "raw/frames/2.dat": "images",
    }


def test_a_key_that_is_too_long_for_a_title_is_planned_and_kept_beside_it(bucket: Any) -> None:
    long, volume = f"raw/{'x/' * 200}é.jpg", f"raw/{'x/' * 200}v.nii"
    bucket.put(long, volume, "raw/a.jpg")
    bucket.sync()
    rows = {row["key"]: row for row in bucket.planned_rows()}

    assert rows[long]["title"] == f"{rows[long]['unit_id']} é.jpg"
    assert rows[long]["client_metadata"] == f'{{"registration.key":"{long}"}}'
    assert rows[volume]["title"] == f"{rows[volume]['unit_id']} v.nii"
    assert rows[volume]["client_metadata"] is None
    assert (rows["raw/a.jpg"]["title"], rows["raw/a.jpg"]["client_metadata"]) == ("raw/a.jpg", None)


def test_the_template_of_the_source_gives_the_titles(bucket: Any) -> None:
    bucket.configure(title="fleet {path}")
    bucket.put("raw/a.jpg")
    bucket.sync()

    assert [row["title"] for row in bucket.planned_rows()] == ["fleet a.jpg"]


def test_young_objects_are_held_until_a_later_inventory(bucket: Any) -> None:
    bucket.configure(min_age_seconds=60)
    bucket.put("raw/new.jpg")
    bucket.put("raw/old.jpg", last_modified=bucket.now - timedelta(hours=1))
    first = bucket.sync()
    bucket.wait(120)
    again = bucket.plan()  # measured against the inventory, not against the time of planning
    second = bucket.sync()

    assert (first.wave.counts.held, first.wave.counts.new) == (1, 1)
    assert again.wave == first.wave
    assert (second.wave.counts.held, second.wave.counts.new, second.wave.counts.known) == (0, 1, 1)


def test_without_a_minimum_age_a_clock_that_runs_ahead_holds_nothing(bucket: Any) -> None:
    bucket.put("raw/a.jpg", last_modified=bucket.now + timedelta(days=1))

    assert bucket.sync().wave.counts.new == 1


def test_a_dry_run_counts_and_writes_nothing(bucket: Any) -> None:
    bucket.put("raw/a.jpg", "raw/b.zip")
    inventory = bucket.inventory()
    before = bucket.files()
    plan = bucket.plan(inventory=inventory, dry_run=True)

    assert not plan.created
    assert [chunk.units for chunk in plan.chunks] == [1]
    assert (plan.wave.counts.new, plan.wave.counts.rejected) == (1, 1)
    assert bucket.files() == before
    assert load_waves(bucket.store, "cams") == []


def test_progress_counts_the_objects_read(bucket: Any) -> None:
    bucket.put("raw/a.jpg", "raw/b.zip")
    bucket.sync()
    bucket.put("raw/c.jpg")
    seen: list[int] = []
    bucket.plan(inventory=bucket.inventory(), progress=seen.append)

    assert seen[-1] == 3


def test_a_source_without_inventory_is_asked_to_take_one(bucket: Any) -> None:
    with pytest.raises(UsageError, match="registration-pipeline inventory cams"):
        bucket.plan()


def test_an_inventory_older_than_the_last_planned_one_is_refused(bucket: Any) -> None:
    bucket.put("raw/a.jpg")
    old = bucket.inventory()
    bucket.put("raw/b.jpg")
    bucket.sync()

    with pytest.raises(UsageError, match="plan the latest inventory"):
        bucket.plan(inventory=old)


def test_an_older_inventory_that_was_planned_gives_its_wave(bucket: Any) -> None:
    bucket.put("raw/a.jpg")
    old = bucket.inventory()
    first = bucket.plan(inventory=old)
    bucket.put("raw/b.jpg")
    bucket.sync()

    assert bucket.plan(inventory=old).wave == first.wave


def test_waves_and_chunks_load_in_planning_order(new_bucket: Callable[..., Any]) -> None:
    bucket = new_bucket(chunk_size={"images": 1})
    planned: list[str] = []
    bucket.put("raw/a.jpg", "raw/b.jpg", "raw/c.jpg")
    bucket.inventory()
    for number in range(1, 12):  # the eleventh wave must not sort before the second
        bucket.configure(chunk_size={"images": 1}, exclude=[f"other-{number}"])
        planned.append(bucket.plan().wave.wave_id)

    assert planned[-1].endswith("-11")
    assert [wave.wave_id for wave in load_waves(bucket.store, "cams")] == planned
    assert list(load_chunks(bucket.store, "cams")) == [f"{planned[0]}-images-{number:06d}" for number in (1, 2, 3)]


def test_a_uri_that_was_changed_is_noticed_once(bucket: Any) -> None:
    bucket.put("raw/a.jpg")
    bucket.sync()
    before = bucket.source.uri
    bucket.source = bucket.source.model_copy(update={"uri": f"{before}deeper/"})
    bucket.put("raw/deeper/b.jpg")

    plan, following = bucket.sync(), bucket.sync()

    assert f"was {before} when it was planned last, and is {before}deeper/ now" in str(plan.uri_notice)
    assert following.uri_notice is None


def test_a_wave_of_an_earlier_version_does_not_say_its_uri(bucket: Any) -> None:
    bucket.put("raw/a.jpg")
    wave = bucket.sync().wave
    value = wave.to_json()
    del value["uri"]

    assert type(wave).from_json(value).uri is None
