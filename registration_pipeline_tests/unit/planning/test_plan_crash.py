from __future__ import annotations

from collections import Counter
from typing import IO, TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import StateError, UsageError
from registration_pipeline.planning.wave import load_waves, read_chunk_units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from registration_pipeline.state.store import StateStore

CREATES_OF_A_PLAN = 10
"""Plan part, chunks, rejected, changed, deleted, lineage entry, commit marker; the ledger's keys, chunks and marker."""
CREATE_OF_THE_MARKER = 7


class CrashError(Exception):
    """The process dies here."""


class InterruptedStore:
    """Passes everything on and calls ``interrupt`` before or after the n-th creation."""

    def __init__(self, store: StateStore, number: int, interrupt: Callable[[], None], *, after: bool = False) -> None:
        self._store, self._number, self._interrupt, self._after = store, number, interrupt, after
        self.created = 0
        self.uri = store.uri

    def create(self, name: str, data: bytes) -> None:
        self._around(lambda: self._store.create(name, data))

    def create_from_file(self, name: str, path: Path) -> None:
        self._around(lambda: self._store.create_from_file(name, path))

    def read(self, name: str) -> bytes:
        return self._store.read(name)

    def exists(self, name: str) -> bool:
        return self._store.exists(name)

    def names(self, prefix: str) -> Iterator[str]:
        return self._store.names(prefix)

    def folders(self, prefix: str) -> list[str]:
        return self._store.folders(prefix)

    def delete(self, name: str) -> None:
        self._store.delete(name)

    def open(self, name: str) -> IO[bytes]:
        return self._store.open(name)

    def local_file(self, name: str) -> AbstractContextManager[Path]:
        return self._store.local_file(name)

    def location(self, name: str) -> str:
        return self._store.location(name)

    def _around(self, create: Callable[[], None]) -> None:
        self.created += 1
        is_due = self.created == self._number
        if is_due and not self._after:
            self._interrupt()
        create()
        if is_due and self._after:
            self._interrupt()


def crash() -> None:
    raise CrashError


def fill(bucket: Any) -> Any:
    """Leave a bucket whose next plan has something of everything, and return its inventory."""
    bucket.configure(chunk_size={"images": 2})
    bucket.put(*(f"raw/{name}.jpg" for name in "acegi"))
    bucket.sync()
    bucket.put("raw/c.jpg", e_tag="changed")
    bucket.delete("raw/e.jpg")
    bucket.put(*(f"raw/{name}.jpg" for name in "bdfhj"))
    bucket.put("raw/z.zip")
    return bucket.inventory()


def assert_each_object_is_in_one_chunk(bucket: Any) -> None:
    planned = Counter(row["key"] for row in bucket.planned_rows())
    assert set(planned.values()) == {1}
    assert planned.keys() >= {key for key in bucket.objects if key.endswith(".jpg")}


def unaccounted_files(bucket: Any) -> set[str]:
    """Return the Parquet files of plans and census that no commit marker names."""
    markers = [data for name, data in bucket.files("plan/").items() if name.endswith("_SUCCESS.json")]
    files = {name for name in (bucket.files("plan/") | bucket.files("census/")) if name.endswith(".parquet")}
    return {name for name in files if not any(name.encode() in marker for marker in markers)}


@pytest.fixture(scope="module")
def undisturbed(filled: Callable[..., Any]) -> tuple[Any, Any]:
    """The plan of a process that nothing happens to, and its bucket."""
    bucket, inventory = filled(fill)
    return bucket.plan(inventory=inventory), bucket


@pytest.mark.parametrize("after", [0, 1], ids=["before writing", "after writing"])
@pytest.mark.parametrize("number", range(1, CREATES_OF_A_PLAN + 1))
def test_a_crash_at_any_step_leaves_a_plan_that_is_made_again_alike(
    filled: Callable[..., Any], undisturbed: tuple[Any, Any], number: int, after: int
) -> None:
    expected, planned = undisturbed
    bucket, inventory = filled(fill)

    with pytest.raises(CrashError):
        bucket.plan(inventory=inventory, store=InterruptedStore(bucket.store, number, crash, after=bool(after)))
    again = bucket.plan(inventory=inventory)

    assert again.chunks == expected.chunks
    assert again.wave.counts == expected.wave.counts
    assert bucket.members() == planned.members()
    assert_each_object_is_in_one_chunk(bucket)


def test_a_plan_writes_as_many_files_as_the_crash_tests_interrupt(filled: Callable[..., Any]) -> None:
    bucket, inventory = filled(fill)
    store = InterruptedStore(bucket.store, 0, crash)
    bucket.plan(inventory=inventory, store=store)

    assert store.created == CREATES_OF_A_PLAN


@pytest.mark.parametrize("number", range(1, CREATES_OF_A_PLAN + 1))
def test_a_crashed_plan_of_an_older_inventory_does_not_disturb_the_next(
    filled: Callable[..., Any], number: int
) -> None:
    bucket, inventory = filled(fill)
    with pytest.raises(CrashError):
        bucket.plan(inventory=inventory, store=InterruptedStore(bucket.store, number, crash))
    bucket.put("raw/k.jpg")
    plan = bucket.sync()

    assert plan.created
    assert_each_object_is_in_one_chunk(bucket)
    assert unaccounted_files(bucket) == set()


@pytest.mark.parametrize("number", range(1, CREATES_OF_A_PLAN + 1))
def test_of_two_planners_of_one_inventory_the_first_to_commit_is_believed_by_both(
    filled: Callable[..., Any], number: int
) -> None:
    bucket, inventory = filled(fill)
    others: list[Any] = []
    store = InterruptedStore(bucket.store, number, lambda: others.append(bucket.plan(inventory=inventory)))
    plan = bucket.plan(inventory=inventory, store=store)

    assert plan.wave == others[0].wave
    assert plan.chunks == others[0].chunks
    assert len(load_waves(bucket.store, "cams")) == 2
    assert_each_object_is_in_one_chunk(bucket)
    for chunk in plan.chunks:
        read_chunk_units(bucket.store, "cams", chunk)


@pytest.mark.parametrize("number", range(1, CREATES_OF_A_PLAN + 1))
def test_two_planners_of_different_inventories_never_plan_an_object_twice(
    filled: Callable[..., Any], number: int
) -> None:
    bucket, older = filled(fill)
    bucket.put("raw/k.jpg")
    newer = bucket.inventory()
    store = InterruptedStore(bucket.store, number, lambda: None)
    store._interrupt = lambda: plans.append(bucket.plan(inventory=newer))
    plans: list[Any] = []
    lost = number < CREATE_OF_THE_MARKER  # the lineage entry was not there yet
    if lost:
        with pytest.raises(UsageError, match="plan the latest inventory"):
            bucket.plan(inventory=older, store=store)
    else:
        assert bucket.plan(inventory=older, store=store).created

    assert plans[0].created
    assert_each_object_is_in_one_chunk(bucket)
    bucket.put("raw/l.jpg")
    bucket.sync()
    assert_each_object_is_in_one_chunk(bucket)


@pytest.mark.parametrize("number", range(1, CREATE_OF_THE_MARKER))
def test_the_loser_of_a_race_under_other_rules_plans_again_on_top(filled: Callable[..., Any], number: int) -> None:
    bucket, inventory = filled(fill)
    mine = bucket.source

    def plan_under_other_rules() -> None:
        bucket.configure(chunk_size={"images": 2}, exclude=["b.jpg"])
        bucket.plan(inventory=inventory)
        bucket.source = mine

    # The source is handed over before the interruption, so this planner keeps its own rules.
    plan = bucket.plan(inventory=inventory, store=InterruptedStore(bucket.store, number, plan_under_other_rules))

    assert plan.wave.wave_id.endswith("-2")
    assert bucket.members()[plan.chunks[0].chunk_id] == ["raw/b.jpg"]
    assert_each_object_is_in_one_chunk(bucket)
    assert unaccounted_files(bucket) == set()


def test_a_planner_that_loses_again_and_again_says_so(filled: Callable[..., Any]) -> None:
    bucket, inventory = filled(fill)
    mine = bucket.source

    class Harried(InterruptedStore):
        def create(self, name: str, data: bytes) -> None:
            if "/lineage/" in name:
                bucket.configure(exclude=[f"rule-{name[-6:-5]}"])
                bucket.plan(inventory=inventory)
                bucket.source = mine
            super().create(name, data)

    with pytest.raises(StateError, match="5 times in a row"):
        bucket.plan(inventory=inventory, store=Harried(bucket.store, 0, crash))


def test_a_wave_that_was_removed_from_the_lineage_too_is_planned_again(bucket: Any) -> None:
    bucket.put("raw/a.jpg")
    first = bucket.sync()
    for folder in ("plan", "census", "lineage"):
        for name in list(bucket.store.names(f"cams/{folder}/")):
            bucket.store.delete(name)
    again = bucket.plan()

    assert again.created
    assert again.chunks == first.chunks
    assert bucket.plan().wave == again.wave
