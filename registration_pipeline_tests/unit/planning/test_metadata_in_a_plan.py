"""Client metadata and media metadata in a plan: joined, held, rejected, merged for units, and counted to the byte."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.limits import ManifestLimits
from registration_pipeline.planning.decision import digest_rules
from registration_pipeline.planning.object_facts import PlanFacts
from registration_pipeline.planning.wave import load_waves
from registration_pipeline.state.parquet import read_parts
from registration_pipeline.tracking.latest_view import view_of_latest
from registration_pipeline.tracking.snapshot import read_snapshot
from registration_pipeline_tests.metadata_model.world import MetadataBucket

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.planning.plan import Plan

TABLE = {"table": "s3://tables/labels.parquet", "key": "image"}
SIDECAR = {"sidecar": ".meta.json"}
OF_STORE = {"object_metadata": True}
GROUP = {"match": "rigs/**", "as": "image_group", "by": "directory"}
IMAGE = '{"file_size":10,"height":2,"mime_type":"image/png","width":3}'
PROBED = {"media_metadata": "probe"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def planned(bucket: MetadataBucket, values: dict[str, Any], **options: Any) -> Plan:
    """Plan the bucket with a table as its only entry."""
    listed = bucket.listed()
    facts = bucket.make(listed, bucket.write_values(0, values))
    return bucket.plan(listed, metadata=facts, **options)


def metadata_of(bucket: MetadataBucket, plan: Plan) -> dict[str, Any]:
    return {
        unit.objects[0].key: None if unit.client_metadata is None else json.loads(unit.client_metadata)
        for unit in bucket.units(plan)
    }


def test_units_carry_the_values_of_their_objects_and_the_wave_names_the_set(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE])
    bucket.put("raw/a.png", "raw/b.png")
    plan = planned(bucket, {"raw/a.png": {"n": 1}, "raw/gone.png": {"n": 2}})
    assert metadata_of(bucket, plan) == {"raw/a.png": {"n": 1}, "raw/b.png": None}
    assert [facts.name for facts in plan.wave.facts] == ["metadata"]
    assert load_waves(bucket.store, "cams")[-1] == plan.wave
    assert plan.warnings.first == ("labels.parquet (metadata[0]): 1 row names no object; 1 object has no row",)


def test_a_dry_run_counts_the_same_and_writes_nothing(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE])
    bucket.put("raw/a.png", "raw/b.png")
    listed = bucket.listed()
    bad = {"problem": "invalid_metadata", "message": "'raw/b.png' is named twice"}
    facts = bucket.make(listed, bucket.write_values(0, {"raw/b.png": bad}))
    dry = bucket.plan(listed, metadata=facts, dry_run=True)
    assert load_waves(bucket.store, "cams") == []
    assert dry.wave.counts == bucket.plan(listed, metadata=facts).wave.counts
    assert dry.wave.counts.rejected_by_reason == {"invalid_metadata": 1}


def test_objects_without_a_row_are_held_until_the_set_covers_them(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[OF_STORE, SIDECAR])
    bucket.put("raw/a.png", "raw/b.png", "raw/b.png.meta.json")
    listed = bucket.listed()
    assert bucket.plan(listed, dry_run=True).wave.counts.held == 2, "no set at all"
    facts = bucket.make(listed, bucket.write_values(0, {"raw/b.png": {"n": 1}}), bucket.write_values(1, {}))
    first = bucket.plan(listed, metadata=facts)
    assert (first.wave.counts.new, first.wave.counts.held, first.wave.counts.excluded) == (1, 1, 1)
    assert first.wave.counts.excluded_by_rule == {'metadata[1].sidecar ".meta.json"': 1}
    assert (
        "1 object waits for its client metadata or media metadata to be read: the first is 'raw/a.png'"
        in (first.warnings.first[0])
    )
    facts = bucket.make(
        listed, bucket.write_values(0, {"raw/a.png": {"n": 2}, "raw/b.png": {"n": 1}}), bucket.write_values(1, {})
    )
    assert metadata_of(bucket, bucket.plan(listed, metadata=facts)) == {"raw/a.png": {"n": 2}}


def test_an_object_that_was_written_again_since_is_held(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE])
    bucket.put("raw/a.png", "raw/b.png")
    facts = bucket.make(bucket.listed(), bucket.write_values(0, {"raw/a.png": {"n": 1}}))
    bucket.put("raw/a.png", e_tag="another")
    assert bucket.plan(bucket.listed(), metadata=facts).wave.counts.held == 1


def test_problems_reject_with_reason_and_message_and_the_listing_comes_first(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE])
    bucket.put("raw/a.png", "raw/b.png", "raw/c.png")
    bucket.put("raw/d.png", size=0)
    rows = {
        "raw/a.png": {"problem": "invalid_metadata", "message": "'raw/a.png' is named twice"},
        "raw/b.png": {"problem": "metadata_unreadable", "message": "'raw/b.png' may not be read"},
        "raw/d.png": {"problem": "invalid_metadata", "message": "'raw/d.png' is named twice"},
    }
    plan = planned(bucket, rows)
    assert bucket.rejected(plan) == {
        "raw/a.png": ("invalid_metadata", "'raw/a.png' is named twice"),
        "raw/b.png": ("metadata_unreadable", "'raw/b.png' may not be read"),
        "raw/d.png": ("empty", "'raw/d.png' is 0 bytes long: Encord can't read it. Write it again with content"),
    }
    assert list(metadata_of(bucket, plan)) == ["raw/c.png"]


def test_a_shortened_title_keeps_the_key_beside_the_values(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE])
    key = f"raw/{'é' * 310}.png"
    bucket.put(key)
    plan = planned(bucket, {key: {"n": 1}})
    assert metadata_of(bucket, plan) == {key: {"n": 1, "registration.key": key}}


def test_the_first_object_of_a_unit_says_most_and_later_ones_fill_what_is_missing(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE], groups=[GROUP])
    bucket.put("raw/rigs/1/10.png", "raw/rigs/1/9.png", "raw/rigs/1/11.png", "raw/z.png")
    values = {
        "raw/rigs/1/10.png": {"a": 10, "b": 10, "$encord": {"frames": {"0": {"x": [1]}}}},
        "raw/rigs/1/9.png": {"a": 9, "$encord": {"frames": {"1": {"x": [2]}}}},
        "raw/rigs/1/11.png": {"b": 11, "c": 11},
    }
    plan = planned(bucket, values)
    assert metadata_of(bucket, plan) == {
        "raw/rigs/1/9.png": {"a": 9, "b": 10, "c": 11, "$encord": {"frames": {"0": {"x": [1]}, "1": {"x": [2]}}}},
        "raw/z.png": None,
    }
    rows = [row for batch in read_parts(bucket.store, plan.wave.parts) for row in batch.to_pylist()]
    assert [row["position"] for row in rows if row["client_metadata"] is not None] == [0]


@pytest.mark.parametrize(
    ("row", "rejected", "held"),
    [
        pytest.param({"problem": "invalid_metadata", "message": "bad"}, 2, 0, id="bad-member"),
        pytest.param(None, 0, 2, id="unread-member"),
    ],
)
def test_a_bad_member_rejects_its_unit_and_an_unread_one_holds_it(
    root: Path, row: dict[str, Any] | None, rejected: int, held: int
) -> None:
    bucket = MetadataBucket(root, metadata=[OF_STORE], groups=[GROUP])
    bucket.put("raw/rigs/1/a.png", "raw/rigs/1/b.png", "raw/rigs/2/a.png")
    values: dict[str, Any] = {"raw/rigs/1/a.png": {"n": 1}, "raw/rigs/2/a.png": {"n": 2}}
    plan = planned(bucket, values | ({} if row is None else {"raw/rigs/1/b.png": row}))
    counts = plan.wave.counts
    assert (counts.rejected, counts.held, counts.new) == (rejected, held, 1)
    assert counts.held_units == (1 if held else 0)
    reasons = {key: reason for key, (reason, _) in bucket.rejected(plan).items()}
    assert reasons == (
        {"raw/rigs/1/a.png": "unit_incomplete", "raw/rigs/1/b.png": "invalid_metadata"} if rejected else {}
    )


def test_a_late_row_of_a_unit_is_planned_with_the_whole_unit(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[OF_STORE], groups=[GROUP])
    bucket.put("raw/rigs/1/a.png", "raw/rigs/1/b.png")
    assert planned(bucket, {"raw/rigs/1/a.png": {"n": 1}}).wave.counts.held == 2
    plan = planned(bucket, {"raw/rigs/1/a.png": {"n": 1}, "raw/rigs/1/b.png": {"m": 2}})
    assert metadata_of(bucket, plan) == {"raw/rigs/1/a.png": {"n": 1, "m": 2}}


def test_metadata_that_no_manifest_can_hold_rejects_the_unit_with_the_limit_named(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE], groups=[GROUP])
    bucket.put("raw/a.png", "raw/b.png", "raw/rigs/1/a.png", "raw/rigs/1/b.png")
    large = "x" * 5_500
    values: dict[str, Any] = {"raw/a.png": {"t": large * 2}, "raw/b.png": {"t": large}}
    values |= {"raw/rigs/1/a.png": {"t": large}, "raw/rigs/1/b.png": {"u": large}}
    limits = ManifestLimits(entries=100, bytes=10_000)
    plan = planned(bucket, values, limits=limits)
    assert {key: reason for key, (reason, _) in bucket.rejected(plan).items()} == dict.fromkeys(
        ("raw/a.png", "raw/rigs/1/a.png", "raw/rigs/1/b.png"), "unit_too_large"
    )
    assert all("Encord accepts 10,000" in message for _, message in bucket.rejected(plan).values())
    assert list(metadata_of(bucket, plan)) == ["raw/b.png"]


def test_more_than_ten_megabytes_of_a_whole_unit_are_too_large(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE], groups=[GROUP])
    bucket.put("raw/rigs/1/a.png", "raw/rigs/1/b.png", "raw/c.png")
    most = {"t": "x" * 9_000_000}
    values: dict[str, Any] = {"raw/rigs/1/a.png": most, "raw/rigs/1/b.png": {"u": "x" * 1_000_000}}
    plan = planned(bucket, {**values, "raw/c.png": {"t": "x" * 9_999_950}})
    assert {key: reason for key, (reason, _) in bucket.rejected(plan).items()} == dict.fromkeys(
        ("raw/c.png", *values), "unit_too_large"
    )
    assert all("10,000,000" in message for _, message in bucket.rejected(plan).values())


def test_chunks_are_closed_by_the_bytes_of_metadata(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE], **PROBED)
    keys = [f"raw/{number}.png" for number in range(8)]
    bucket.put(*keys)
    listed = bucket.listed()
    facts = bucket.make(listed, bucket.write_values(0, {key: {"t": "x" * 3_000} for key in keys}))
    media = bucket.write_media({key: {"media_metadata": IMAGE} for key in keys})
    plan = bucket.plan(listed, metadata=facts, media=media, limits=ManifestLimits(entries=100, bytes=10_000))
    assert [chunk.units for chunk in plan.chunks] == [2, 2, 2, 2]


def test_nifti_carry_client_metadata_only_in_the_typed_form(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE])
    bucket.put("raw/a.nii")
    assert metadata_of(bucket, planned(bucket, {"raw/a.nii": {"n": 1}})) == {"raw/a.nii": None}
    bucket = MetadataBucket(root / "typed", metadata=[TABLE], submit_as="data_items")
    bucket.put("raw/a.nii")
    assert metadata_of(bucket, planned(bucket, {"raw/a.nii": {"n": 1}})) == {"raw/a.nii": {"n": 1}}


def test_media_metadata_are_on_the_row_of_their_object_and_problems_are_left_out(root: Path) -> None:
    bucket = MetadataBucket(root, groups=[GROUP], submit_as="data_items", **PROBED)
    bucket.put("raw/a.png", "raw/b.png", "raw/c.png", "raw/d.nii", "raw/rigs/1/a.png", "raw/rigs/1/b.png")
    listed = bucket.listed()
    good = {"media_metadata": IMAGE}
    bad = {"problem": "no_media_metadata", "message": "'raw/b.png' is not an image"}
    members = {"raw/rigs/1/a.png": good, "raw/rigs/1/b.png": good}
    media = bucket.write_media({"raw/a.png": good, "raw/b.png": bad, **members})
    plan = bucket.plan(listed, media=media)
    found = {one.key: one.media_metadata for unit in bucket.units(plan) for one in unit.objects}
    assert found == {"raw/a.png": IMAGE, "raw/b.png": None, "raw/d.nii": None, **dict.fromkeys(members, IMAGE)}
    assert plan.wave.counts.held == 1, "raw/c.png has no row yet"
    assert [facts.name for facts in plan.wave.facts] == ["media"]


def test_in_json_members_of_groups_need_no_media_metadata(root: Path) -> None:
    bucket = MetadataBucket(root, groups=[GROUP], **PROBED)
    bucket.put("raw/rigs/1/a.png")
    plan = bucket.plan(bucket.listed())
    assert (plan.wave.counts.new, plan.wave.counts.held) == (1, 0)


@pytest.mark.parametrize(
    ("submit_as", "keys", "says"),
    [
        pytest.param("json", ["raw/b.png"], "is not an image. strict_client_only", id="problem"),
        pytest.param("json", ["raw/d.nii"], "exclude them, or set strict_client_only: false", id="nifti"),
        pytest.param("json", ["raw/rigs/1/a.png"], "set submit_as: data_items", id="group-in-json"),
        pytest.param("data_items", ["raw/rigs/1/a.png"], "'raw/rigs/1/a.png' gave no media metadata", id="empty-row"),
    ],
)
def test_strict_access_sends_nothing_without_its_media_metadata(
    root: Path, submit_as: str, keys: list[str], says: str
) -> None:
    bucket = MetadataBucket(root, groups=[GROUP], submit_as=submit_as, strict_client_only=True, **PROBED)
    bucket.put("raw/a.png", *keys)
    listed = bucket.listed()
    bad = {"problem": "no_media_metadata", "message": "'raw/b.png' is not an image"}
    rows: dict[str, Any] = {"raw/a.png": {"media_metadata": IMAGE}}
    rows |= {"raw/b.png": bad} if "raw/b.png" in keys else {key: {} for key in keys}
    plan = bucket.plan(listed, media=bucket.write_media(rows))
    assert plan.wave.counts.new == 1
    for key in keys:
        reason, message = bucket.rejected(plan)[key]
        assert reason == "no_media_metadata"
        assert repr(key) in message
        assert says in message


def test_tables_in_the_source_are_excluded_by_their_address(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[{"table": "s3://bucket/raw/t/*.jsonl", "key": "k"}], kinds=[])
    bucket.put("raw/t/a.jsonl", "raw/t/x/a.jsonl", "raw/a.png")
    plan = planned(bucket, {})
    assert plan.wave.counts.excluded_by_rule == {'metadata[0].table "s3://bucket/raw/t/*.jsonl"': 1}


def test_changed_metadata_plan_the_same_listing_again_and_nothing_twice(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE])
    bucket.put("raw/a.png")
    listed = bucket.listed()
    first = bucket.plan(listed, metadata=bucket.make(listed, bucket.write_values(0, {"raw/a.png": {"n": 1}})))
    again = bucket.plan(listed, metadata=bucket.make(listed, bucket.write_values(0, {"raw/a.png": {"n": 1}})))
    assert (again.wave, again.created) == (first.wave, False)
    changed = bucket.plan(listed, metadata=bucket.make(listed, bucket.write_values(0, {"raw/a.png": {"n": 2}})))
    assert changed.created
    assert (changed.wave.counts.new, changed.wave.counts.known) == (0, 1)


def test_values_that_were_merged_under_other_settings_are_not_used(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE])
    bucket.put("raw/a.png")
    listed = bucket.listed()
    table = bucket.write_values(0, {"raw/a.png": {"n": "x"}})
    bucket.make(listed, table)
    bucket.configure(metadata=[TABLE], metadata_schema={"n": "number"})
    assert bucket.plan(listed, dry_run=True).wave.counts.held == 1
    bucket.make(listed, table)
    assert bucket.plan(listed).wave.counts.rejected_by_reason == {"invalid_metadata": 1}


def test_an_object_whose_series_is_not_known_waits_for_its_header_whatever_its_metadata_is(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[TABLE])
    bucket.put("raw/a.dcm", "raw/b.dcm")
    counts = planned(bucket, {"raw/a.dcm": {"problem": "invalid_metadata", "message": "twice"}}).wave.counts
    assert (counts.objects, counts.held, counts.rejected, counts.new) == (2, 2, 0, 0)


def test_a_source_without_these_keys_has_the_digest_that_it_always_had(root: Path) -> None:
    bucket = MetadataBucket(root)
    bare = digest_rules(bucket.source)
    bucket.put("raw/a.png")
    listed = bucket.listed()
    plan = bucket.plan(listed, metadata=bucket.write_media({}), media=bucket.write_media({}))
    assert (plan.wave.rules_digest, plan.wave.facts) == (bare, ())
    bucket.configure(metadata_schema={"a": "number"}, dataset={"title": "all"})
    assert digest_rules(bucket.source) == bare
    others: list[dict[str, Any]] = [{"metadata": [TABLE]}, {"metadata": [SIDECAR]}, PROBED]
    others += [PROBED | {"strict_client_only": True}, PROBED | {"submit_as": "data_items"}]
    digests = {bare}
    for options in others:
        bucket.configure(**options)
        digests.add(digest_rules(bucket.source, PlanFacts()))
    assert len(digests) == len(others) + 1


def test_a_status_of_an_inventory_that_is_not_planned_counts_unread_objects_as_held(root: Path) -> None:
    bucket = MetadataBucket(root, metadata=[OF_STORE])
    bucket.put("raw/a.png")
    planned(bucket, {"raw/a.png": None})
    bucket.put("raw/b.png")
    bucket.listed()
    snapshot = read_snapshot(bucket.store, "cams")
    with view_of_latest(bucket.store, bucket.source, snapshot) as (_, seen):
        latest = seen.history.latest
        assert latest is not None
        assert (latest.counts.known, latest.counts.held) == (1, 1)
