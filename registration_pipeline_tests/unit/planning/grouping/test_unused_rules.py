"""A group rule that takes no object is a warning of every plan, until it takes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.planning.wave import load_waves

if TYPE_CHECKING:
    from registration_pipeline.planning.plan import Plan

RIGS = {"match": "rigs/**", "as": "image_group", "by": "directory"}
CLIPS = {"match": "clips/**", "as": "image_sequence", "by": r"^clips/(?P<clip>[^/]+)/(?P<frame>\d+)\.png$"}
SCANS = {"match": "scans/**", "as": "dicom_series", "by": "headers"}


def unused(plan: Plan) -> list[str]:
    """Return which rules a plan says are unused."""
    return [text.partition(" of source")[0] for text in plan.warnings.first if "takes no object" in text]


def test_the_warning_names_the_rule_and_its_globs(bucket: Any) -> None:
    bucket.configure(groups=[RIGS, CLIPS | {"match": ["clips/**", "!clips/old/**"]}])
    bucket.put("raw/rigs/a/1.jpg", "raw/b.jpg")

    plan = bucket.sync()

    assert plan.warnings.total == 1
    assert plan.warnings.first[0].startswith(
        "groups[1] of source cams (match 'clips/**', '!clips/old/**') takes no object"
    )
    assert load_waves(bucket.store, "cams")[-1].warnings == plan.warnings


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        pytest.param("raw/rigs/a/1.mp4", RIGS, id="another kind"),
        pytest.param("raw/clips/a/first.png", CLIPS, id="the expression does not match"),
        pytest.param("raw/other/1.jpg", RIGS, id="another directory"),
        pytest.param("raw/rigs/secret/1.jpg", RIGS, id="excluded"),
    ],
)
def test_a_rule_takes_no_object_that(bucket: Any, key: str, rule: dict[str, Any]) -> None:
    bucket.configure(groups=[rule], exclude=["**/secret/**"])
    bucket.put(key)

    assert unused(bucket.sync()) == ["groups[0]"]


@pytest.mark.parametrize(
    ("key", "rule", "facts"),
    [
        pytest.param("raw/rigs/a/1.jpg", RIGS, {}, id="planned"),
        pytest.param("raw/rigs/a/1.jpg", RIGS | {"expect_objects": 2}, {}, id="held"),
        pytest.param("raw/rigs/a/1.jpg", RIGS, {"size": 0}, id="rejected"),
        pytest.param("raw/scans/a", SCANS, {}, id="waiting for its header"),
        pytest.param("raw/scans/a.dcm", CLIPS | {"match": "scans/**", "as": "dicom_series"}, {}, id="without a series"),
    ],
)
def test_a_rule_that_takes_an_object_is_used_whatever_becomes_of_it(
    bucket: Any, key: str, rule: dict[str, Any], facts: dict[str, Any]
) -> None:
    bucket.configure(groups=[rule])
    bucket.put(key, **facts)

    assert unused(bucket.sync()) == []


def test_a_rule_behind_one_that_takes_everything_is_unused(bucket: Any) -> None:
    bucket.configure(groups=[RIGS | {"match": "**"}, RIGS])
    bucket.put("raw/rigs/a/1.jpg")

    assert unused(bucket.sync()) == ["groups[1]"]


def test_a_rule_stays_used_in_nights_without_a_new_object_and_when_its_objects_are_gone(bucket: Any) -> None:
    bucket.configure(groups=[RIGS, CLIPS])
    bucket.put("raw/rigs/a/1.jpg")
    first = bucket.sync()
    bucket.put("raw/b.jpg")
    second = bucket.sync()
    bucket.delete("raw/rigs/a/1.jpg")
    third = bucket.sync()
    bucket.put("raw/clips/a/1.png")

    assert [unused(plan) for plan in (first, second, third)] == [["groups[1]"]] * 3
    assert unused(bucket.sync()) == []


def test_a_changed_rule_is_used_if_it_would_take_objects_that_are_planned(bucket: Any) -> None:
    bucket.configure(groups=[RIGS])
    bucket.put("raw/rigs/a/1.jpg")
    bucket.sync()
    bucket.configure(groups=[RIGS | {"match": "rigs/*/*.jpg"}, CLIPS])

    assert unused(bucket.plan()) == ["groups[1]"]


def test_many_unused_rules_with_many_globs_are_a_bounded_list(bucket: Any) -> None:
    globs = [f"{'x' * 100}{number}/**" for number in range(50)]
    bucket.configure(groups=[RIGS | {"match": [f"{number}/**", *globs]} for number in range(30)])
    bucket.put("raw/b.jpg")

    warnings = bucket.sync().warnings

    assert (warnings.total, len(warnings.first)) == (30, 20)
    assert max(map(len, warnings.first)) < 600
