"""Planning runs of units of several objects that crash at any step, or meet another planner, while a group grows."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import UsageError
from registration_pipeline.planning.wave import load_chunks, read_chunk_units
from registration_pipeline_tests.unit.planning.test_plan_crash import (
    CrashError,
    InterruptedStore,
    crash,
    unaccounted_files,
)

if TYPE_CHECKING:
    from collections.abc import Callable

CREATES_OF_A_PLAN = 13
"""Plan part, units, groups, chunks, rejected, changed, deleted, lineage entry, commit marker; the ledger's keys, chunks,
groups and marker."""
EVERY_STEP = range(1, CREATES_OF_A_PLAN + 1)
GROUPS = [
    {"match": "rigs/**", "as": "image_group", "by": "directory"},
    {"match": "clips/**", "as": "image_sequence", "by": r"^clips/(?P<clip>[^/]+)/(?P<frame>\d+)\.png$"},
    {"match": "scans/**", "as": "dicom_series", "by": "directory"},
]
GROWN = ("raw/rigs/b/cam_3.jpg", "raw/clips/b/11.png", "raw/scans/b/IM3.dcm")
"""A third object of a unit of every kind that the interrupted plan has."""


def fill(bucket: Any) -> Any:
    """Leave a bucket whose next plan has something of everything, and return its inventory."""
    bucket.configure(groups=GROUPS, chunk_size=dict.fromkeys(("images", "image_groups"), 2))
    put_units(bucket, "a")
    bucket.sync()
    bucket.put("raw/rigs/a/cam_1.jpg", e_tag="changed")
    bucket.delete("raw/clips/a/9.png")
    put_units(bucket, "bcd")
    bucket.put("raw/rigs/e/cam_1.jpg", size=0)
    return bucket.inventory()


def put_units(bucket: Any, names: str) -> None:
    for name in names:
        bucket.put(f"raw/{name}.jpg", *(f"raw/rigs/{name}/cam_{number}.jpg" for number in (1, 2)))
        bucket.put(*(f"raw/clips/{name}/{number}.png" for number in (9, 10)))
        bucket.put(*(f"raw/scans/{name}/IM{number}.dcm" for number in (1, 2)))


def planned_units(bucket: Any) -> dict[str, tuple[str, ...]]:
    """Return unit -> its keys in order, as the manifests have them; no unit and no object may be there twice."""
    units = [
        unit
        for chunk in load_chunks(bucket.store, "cams").values()
        for unit in read_chunk_units(bucket.store, "cams", chunk)
    ]
    assert max(Counter(unit.unit_id for unit in units).values()) == 1
    assert max(Counter(entry.key for unit in units for entry in unit.objects).values()) == 1
    return {unit.title: tuple(entry.key for entry in unit.objects) for unit in units}


def late_members(bucket: Any) -> int:
    late: int = bucket.plan().wave.counts.rejected_by_reason.get("late_member", 0)
    return late


def assert_grown_objects_are_in_their_units_or_late(bucket: Any) -> None:
    units = planned_units(bucket)
    whole = [units[name] for name in ("rigs/b", "b", "scans/b")]
    in_time = [members[-1] for members in whole if len(members) == 3]
    assert [members[:2] for members in whole] == [
        ("raw/rigs/b/cam_1.jpg", "raw/rigs/b/cam_2.jpg"),
        ("raw/clips/b/9.png", "raw/clips/b/10.png"),
        ("raw/scans/b/IM1.dcm", "raw/scans/b/IM2.dcm"),
    ]
    # A wave is committed as a whole: the three are all in time, or all late.
    assert (in_time, late_members(bucket)) in ((list(GROWN), 0), ([], 3))
    assert set(units) == {
        title for name in "abcd" for title in (f"raw/{name}.jpg", f"rigs/{name}", name, f"scans/{name}")
    }


@pytest.fixture(scope="module")
def undisturbed(filled: Callable[..., Any]) -> tuple[Any, Any]:
    """The plan of a process that nothing happens to, and its bucket."""
    bucket, inventory = filled(fill)
    return bucket.plan(inventory=inventory), bucket


def test_a_plan_writes_as_many_files_as_are_interrupted_here(filled: Callable[..., Any]) -> None:
    bucket, inventory = filled(fill)
    store = InterruptedStore(bucket.store, 0, crash)

    bucket.plan(inventory=inventory, store=store)

    assert store.created == CREATES_OF_A_PLAN


@pytest.mark.parametrize("after", [0, 1], ids=["before writing", "after writing"])
@pytest.mark.parametrize("number", EVERY_STEP)
def test_a_crash_at_any_step_leaves_units_that_are_planned_again_alike(
    filled: Callable[..., Any], undisturbed: tuple[Any, Any], number: int, after: int
) -> None:
    expected, planned = undisturbed
    bucket, inventory = filled(fill)

    with pytest.raises(CrashError):
        bucket.plan(inventory=inventory, store=InterruptedStore(bucket.store, number, crash, after=bool(after)))
    again = bucket.plan(inventory=inventory)

    assert again.chunks == expected.chunks
    assert again.wave.counts == expected.wave.counts
    assert planned_units(bucket) == planned_units(planned)


@pytest.mark.parametrize("after", [0, 1], ids=["before writing", "after writing"])
@pytest.mark.parametrize("number", EVERY_STEP)
def test_a_group_that_grows_after_a_crash_is_planned_once_with_all_objects_or_without_the_late_one(
    filled: Callable[..., Any], number: int, after: int
) -> None:
    bucket, inventory = filled(fill)

    with pytest.raises(CrashError):
        bucket.plan(inventory=inventory, store=InterruptedStore(bucket.store, number, crash, after=bool(after)))
    bucket.put(*GROWN)
    bucket.sync()

    assert_grown_objects_are_in_their_units_or_late(bucket)
    assert unaccounted_files(bucket) == set()


@pytest.mark.parametrize("number", EVERY_STEP)
def test_two_planners_of_which_one_saw_the_group_grow_plan_every_unit_once(
    filled: Callable[..., Any], number: int
) -> None:
    bucket, older = filled(fill)
    bucket.put(*GROWN)
    newer = bucket.inventory()
    store = InterruptedStore(bucket.store, number, lambda: None)
    store._interrupt = lambda: plans.append(bucket.plan(inventory=newer))
    plans: list[Any] = []

    with suppress(UsageError):  # the later inventory is planned already
        bucket.plan(inventory=older, store=store)

    assert plans[0].created
    assert_grown_objects_are_in_their_units_or_late(bucket)
