"""A listing with the same rows as the one planned before is not compared again: what it comes to is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from registration_pipeline.planning.wave import load_chunks, read_census
from registration_pipeline_tests.doses import examples
from registration_pipeline_tests.unit.planning.test_plan_properties import BUCKETS, RULES, check_wave, fill

if TYPE_CHECKING:
    from collections.abc import Callable

CENSUS: tuple[Any, ...] = ("rejected", "changed", "deleted")


def census(bucket: Any, wave: Any) -> dict[str, list[dict[str, Any]]]:
    return {
        which: [row for batch in read_census(bucket.store, wave, which) for row in batch.to_pylist()]
        for which in CENSUS
    }


@settings(deadline=None, max_examples=examples(8, thorough=200))
@given(earlier=BUCKETS, objects=BUCKETS, rules=RULES)
def test_it_comes_to_the_same_as_comparing(
    new_bucket: Callable[..., Any], earlier: Any, objects: Any, rules: dict[str, Any]
) -> None:
    bucket = new_bucket()
    bucket.configure(**rules)
    fill(bucket, earlier)
    bucket.sync()
    fill(bucket, objects)
    first = bucket.sync()
    known = {row["key"] for row in bucket.planned_rows()}
    again = bucket.sync()

    check_wave(bucket, again, known)
    assert again.wave.inventory_id > first.wave.inventory_id
    if not first.wave.counts.held:
        assert (again.wave.parts, again.chunks) == ((), ())
        assert census(bucket, again.wave) == census(bucket, first.wave)


def test_nothing_is_written_but_the_wave_itself(bucket: Any) -> None:
    bucket.put("raw/a.jpg", "raw/b.zip")
    first = bucket.sync()
    before = bucket.files()

    again = bucket.sync()

    new = sorted(name.split("/")[1] for name in bucket.files().keys() - before.keys())
    assert new == ["inventory", "inventory", "ledger", "lineage", "plan"]
    assert again.created
    assert again.wave.rejected_files == first.wave.rejected_files
    assert (again.wave.counts.known, again.wave.counts.new) == (1, 0)
    assert len(load_chunks(bucket.store, "cams")) == 1


def test_waves_that_share_files_do_not_clear_them_away(bucket: Any) -> None:
    bucket.put("raw/a.jpg", "raw/b.zip")
    bucket.sync()
    bucket.sync()
    bucket.put("raw/c.jpg")
    plan = bucket.sync()

    assert [row["key"] for row in census(bucket, plan.wave)["rejected"]] == ["raw/b.zip"]
    assert bucket.plan().wave == plan.wave


@pytest.mark.parametrize(
    ("options", "new"),
    [
        pytest.param({"exclude": ["*.jpg"]}, 1, id="other rules"),
        pytest.param({"min_age_seconds": 3600}, 2, id="objects were held back"),
    ],
)
def test_other_rules_and_objects_that_were_held_back_are_read_again(
    bucket: Any, options: dict[str, Any], new: int
) -> None:
    bucket.configure(**options)
    bucket.put("raw/a.jpg", "raw/b.mp4", last_modified=bucket.now)
    assert bucket.sync().wave.counts.new == 0 or options.get("exclude")
    bucket.configure()

    assert bucket.sync().wave.counts.new == new


def test_a_dry_run_shows_the_same_and_writes_nothing(bucket: Any) -> None:
    bucket.put("raw/a.jpg", "raw/b.zip")
    bucket.sync()
    bucket.inventory()
    before = bucket.files()

    plan = bucket.plan(dry_run=True)

    assert (plan.wave.counts.known, plan.wave.counts.rejected, plan.created) == (1, 1, False)
    assert bucket.files() == before
