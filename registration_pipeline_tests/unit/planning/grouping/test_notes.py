"""What a plan says of units that wait and of rules that miss: how many, and the first of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.planning.grouping.oddities import first_missing
from registration_pipeline.planning.wave import load_waves, read_census

if TYPE_CHECKING:
    from registration_pipeline.planning.plan import Plan

RIGS = {"match": "rigs/**", "as": "image_group", "by": "directory", "expect_objects": 4}
CLIPS = {"match": "clips/**", "as": "image_sequence", "by": r"^clips/(?P<clip>[^/]+)/(?P<frame>\d+)\.png$"}
SCANS = {"match": "scans/**", "as": "dicom_series", "by": "headers"}
HOUR = 3600


def line(plan: Plan, words: str) -> str:
    """Return the one warning that has the words."""
    (found,) = [text for text in plan.warnings.first if words in text]
    return found


def late(bucket: Any, plan: Plan) -> str:
    """Return the message of the one late object of a plan."""
    rows = [row for batch in read_census(bucket.store, plan.wave, "rejected") for row in batch.to_pylist()]
    (message,) = [row["message"] for row in rows if row["reason"] == "late_member"]
    return str(message)


def test_units_with_fewer_objects_than_expected_are_counted_by_rule_and_the_first_is_named(bucket: Any) -> None:
    bucket.configure(groups=[RIGS, CLIPS | {"expect_objects": 2}])
    bucket.put("raw/rigs/a/1.jpg", "raw/clips/x/1.png")
    bucket.put(*(f"raw/rigs/{rig}/{camera}.jpg" for rig in "bc" for camera in range(3)))
    bucket.put(*(f"raw/rigs/d/{camera}.jpg" for camera in range(4)))
    plan = bucket.sync()

    assert plan.wave.counts.held_units == 4
    assert plan.warnings.total == 2
    assert line(plan, "groups[0]").startswith(
        "groups[0] of source cams (match 'rigs/**'): 3 units wait for more objects (`expect_objects`); "
        "the first is 'rigs/a', which has 1 of 4."
    )
    assert "1 unit waits for more objects" in line(plan, "groups[1]")
    assert bucket.sync().warnings == plan.warnings  # every night, until they are whole
    assert load_waves(bucket.store, "cams")[-1].warnings == plan.warnings


def test_a_young_unit_is_counted_as_young_and_only_later_as_too_small(bucket: Any) -> None:
    bucket.configure(groups=[RIGS | {"complete_after_seconds": HOUR}])
    bucket.put("raw/rigs/a/1.jpg", "raw/rigs/b/1.jpg")
    young = bucket.sync()
    bucket.wait(2 * HOUR)
    bucket.put(*(f"raw/rigs/b/{camera}.jpg" for camera in range(1, 5)))
    later = bucket.sync()

    assert young.warnings.total == 1
    assert "2 units wait as their youngest object is younger than `complete_after_seconds`" in young.warnings.first[0]
    assert "the first is 'rigs/a'" in young.warnings.first[0]
    assert later.warnings.total == 2
    assert "'rigs/a', which has 1 of 4" in line(later, "expect_objects")
    assert "1 unit waits as its youngest object" in line(later, "the first is 'rigs/b'")


def test_a_unit_of_a_young_object_alone_is_not_a_warning(bucket: Any) -> None:
    bucket.configure(min_age_seconds=HOUR)
    bucket.put("raw/a.jpg")

    assert (bucket.sync().warnings.total, bucket.sync().wave.counts.held) == (0, 1)


def test_images_that_the_globs_match_and_the_expression_does_not_are_counted_until_they_are_planned(
    bucket: Any,
) -> None:
    bucket.configure(groups=[CLIPS], exclude=["clips/old/**"])
    bucket.put("raw/clips/x/1.png", "raw/clips/x/2.png", "raw/clips/b.png", "raw/clips/c.jpg", "raw/other.png")
    bucket.put("raw/clips/old/b.png", "raw/clips/readme.txt")
    shown = bucket.plan(inventory=bucket.inventory(), dry_run=True)
    plan = bucket.sync()

    assert shown.warnings == plan.warnings
    assert plan.warnings.total == 1
    assert "groups[0] of source cams (match 'clips/**') leaves out 2 images" in plan.warnings.first[0]
    assert "the first is 'raw/clips/b.png'" in plan.warnings.first[0]
    assert bucket.sync().warnings.total == 0


def test_image_sequences_of_one_image_are_counted(bucket: Any) -> None:
    bucket.configure(groups=[CLIPS | {"by": r"^clips/(?P<clip>[^.]+)\.png$"}])
    bucket.put("raw/clips/x/1.png", "raw/clips/x/2.png")
    plan = bucket.sync()

    assert plan.warnings.total == 1
    assert plan.warnings.first[0].startswith("2 image sequences of a single image: the first is 'x/1'.")


def test_an_image_group_of_one_image_is_not_a_warning(bucket: Any) -> None:
    bucket.configure(groups=[RIGS | {"expect_objects": None}])
    bucket.put("raw/rigs/a/1.jpg")

    assert bucket.sync().warnings.total == 0


def test_objects_that_are_planned_in_another_form_are_counted_once_after_a_change_of_rules(bucket: Any) -> None:
    bucket.configure(groups=[CLIPS])
    bucket.put("raw/rigs/a/1.jpg", "raw/rigs/a/2.jpg", "raw/clips/x/1.png", "raw/clips/x/2.png", "raw/z.jpg")
    bucket.sync()
    bucket.configure(groups=[CLIPS, RIGS])
    shown = bucket.plan(dry_run=True)
    plan = bucket.sync()

    assert shown.warnings == plan.warnings
    assert plan.warnings.total == 1
    assert plan.warnings.first[0].startswith(
        "2 objects that the rules of today would take are planned in another form: the first is 'raw/rigs/a/1.jpg'."
    )
    assert bucket.sync().warnings.total == 0


def test_what_concerns_many_comes_before_the_lines_about_single_units(bucket: Any) -> None:
    bucket.configure(groups=[CLIPS, RIGS])
    bucket.put(*(f"raw/clips/{clip}/{frame}.png" for clip in range(25) for frame in (1, 3)), "raw/rigs/a/1.jpg")
    plan = bucket.sync()

    assert (plan.warnings.total, len(plan.warnings.first)) == (26, 20)
    assert "expect_objects" in plan.warnings.first[0]
    assert plan.warnings.lines()[-1] == "… and 6 more warnings"


@pytest.mark.parametrize(
    ("groups", "objects"),
    [
        pytest.param([], "2 objects wait", id="without a rule"),
        pytest.param([SCANS], "2 objects (groups[0]) wait", id="of a rule"),
        pytest.param([RIGS], "2 objects (the built-in rule) wait", id="of none of the rules"),
    ],
)
def test_objects_without_a_header_are_named_by_their_rule(
    bucket: Any, groups: list[dict[str, Any]], objects: str
) -> None:
    bucket.configure(groups=groups)
    bucket.put("raw/scans/1.dcm", "raw/scans/2.dcm")
    found = line(bucket.sync(), "header")

    assert found.startswith(f"{objects} for their headers to be read")
    assert "every DICOM series that is found by headers waits, too" in found


@pytest.mark.parametrize(
    ("rule", "keys", "way_out"),
    [
        pytest.param(
            RIGS | {"expect_objects": None},
            ("raw/rigs/a/1.jpg", "raw/rigs/a/2.jpg"),
            "another directory",
            id="directory",
        ),
        pytest.param(CLIPS, ("raw/clips/x/1.png", "raw/clips/x/2.png"), "the rule ('clip') other values", id="pattern"),
    ],
)
def test_a_late_object_says_how_its_unit_gets_another_name(
    bucket: Any, rule: dict[str, Any], keys: tuple[str, str], way_out: str
) -> None:
    bucket.configure(groups=[rule])
    bucket.put(keys[0])
    bucket.sync()
    bucket.put(keys[1])
    message = late(bucket, bucket.sync())

    assert way_out in message
    assert "so that the unit has another name" in message


def test_copying_a_unit_as_the_message_says_registers_it_whole(bucket: Any) -> None:
    bucket.configure(groups=[CLIPS])
    bucket.put("raw/clips/x/1.png")
    bucket.sync()
    bucket.put("raw/clips/x/2.png", "raw/clips/x again/1.png", "raw/clips/x again/2.png")
    plan = bucket.sync()

    assert (plan.wave.counts.new, plan.wave.counts.rejected) == (2, 1)


def test_missing_frames_that_come_before_the_plan_fill_the_gap_and_later_ones_are_late(bucket: Any) -> None:
    bucket.configure(groups=[CLIPS])
    bucket.put("raw/clips/x/1.png", "raw/clips/x/4.png")
    dry = bucket.plan(inventory=bucket.inventory(), dry_run=True)
    bucket.put("raw/clips/x/2.png")
    planned = bucket.sync()
    bucket.put("raw/clips/x/3.png")

    assert "2 numbers missing between 1 and 4 (2, 3)" in line(dry, "gaps")
    assert "1 number missing between 1 and 4 (3)" in line(planned, "gaps")
    assert bucket.sync().wave.counts.rejected_by_reason == {"late_member": 1}


@given(st.lists(st.none() | st.integers(0, 60), max_size=20))
def test_the_first_missing_numbers_are_those_between_the_smallest_and_the_largest(frames: list[int | None]) -> None:
    numbers = sorted(number for number in frames if number is not None)
    array = pa.array([*numbers, *(None for number in frames if number is None)], pa.int64())
    expected = [number for number in range(numbers[0], numbers[-1]) if number not in numbers] if numbers else []

    assert first_missing(array) == expected[:5]
