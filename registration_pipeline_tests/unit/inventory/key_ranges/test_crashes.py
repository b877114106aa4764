"""A process that dies at any creation of a listing in key ranges costs the next one no more than what it was doing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import MemoryStore

from registration_pipeline.errors import StateConflictError, StateError
from registration_pipeline.inventory.inventory import take_inventory
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.layout import inventory_folder
from registration_pipeline_tests.unit.conftest import Crash, CrashingStore
from registration_pipeline_tests.unit.inventory.key_ranges.keys_lister import (
    KeysLister,
    begin,
    commit,
    list_one,
    noon,
    rows_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.state.store import StateStore

KEYS = [f"{letter}{number}" for letter in "abcdefgh" for number in range(5)]
ENDS = ["b9", "d", "e3"]

PHASES = [
    pytest.param(name, number, moment, id=f"{when}, {moment} it is written")
    for name, number, when in (
        ("inventory_writers/", 1, "the claim"),
        ("ranges.json", 1, "the key ranges"),
        ("part-", 1, "the part of the first range"),
        ("range-00000.json", 1, "the note of the first range"),
        ("part-", 3, "the part of a range in the middle"),
        ("range-00002.json", 1, "the note of a range in the middle"),
        ("range-00003.json", 1, "the note of the last range"),
        ("_SUCCESS.json", 1, "the commit marker"),
    )
    for moment in ("before", "after")
]


class LosesAnAnswer:
    """A ``StateStore`` that does the first creation of a name and answers something else."""

    def __init__(self, inner: StateStore, name: str, answer: StateError) -> None:
        self._inner, self._name, self._answer, self.is_over = inner, name, answer, False

    def create(self, name: str, data: bytes) -> None:
        self._inner.create(name, data)
        self._lose(name)

    def create_from_file(self, name: str, path: Path) -> None:
        self._inner.create_from_file(name, path)
        self._lose(name)

    def _lose(self, name: str) -> None:
        if self._name in name and not self.is_over:
            self.is_over = True
            raise self._answer

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._inner, attribute)


class DyingInTheEnd:
    """A ``StateStore`` whose process ends at the nth deletion: after the commit, what nothing names is removed."""

    def __init__(self, inner: StateStore, number: int) -> None:
        self._inner, self._left = inner, number

    def delete(self, name: str) -> None:
        self._left -= 1
        if self._left <= 0:
            raise Crash(name)
        self._inner.delete(name)

    def __getattr__(self, attribute: str) -> object:
        return getattr(self._inner, attribute)


def steps(store: StateStore, lister: KeysLister) -> Inventory:
    """Do what the steps of a run do, each of which Dagster repeats until it is through."""
    division = begin(store, lister)
    for number in range(division.ranges):
        list_one(store, lister, division, number)
    return commit(store)


def expected_rows() -> list[dict[str, object]]:
    store = BucketStateStore(MemoryStore(), "memory://whole")
    return rows_of(store, take_inventory(lister=KeysLister(KEYS), store=store, source="fleet", clock=noon))


@pytest.mark.parametrize(("name", "number", "moment"), PHASES)
def test_after_a_crash_at(name: str, number: int, moment: str) -> None:
    store = BucketStateStore(MemoryStore(), "memory://state")
    first, second = KeysLister(KEYS, ENDS), KeysLister(KEYS, ENDS)
    with pytest.raises(Crash):
        steps(CrashingStore(store, number, moment, name), first)
    noted = {one for one in range(4) if any(f"range-{one:05d}.json" in name for name in store.names("fleet/"))}

    made = steps(store, second)

    folder = inventory_folder("fleet", made.inventory_id)
    assert rows_of(store, made) == expected_rows()
    assert {*store.names("fleet/")} == {"fleet/state.json", f"{folder}_SUCCESS.json", *(one.name for one in made.parts)}
    if name != "_SUCCESS.json":
        assert len(second.asked) == 4 - len(noted)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(StateConflictError("exists already"), id="the repeated write finds the first"),
        pytest.param(StateError("The store did not serve it (HTTP 503)."), id="no answer came"),
    ],
)
@pytest.mark.parametrize("name", [*dict.fromkeys(str(phase.values[0]) for phase in PHASES)])
def test_a_write_whose_answer_is_lost_costs_a_repetition_at_the_most(name: str, answer: StateError) -> None:
    store = BucketStateStore(MemoryStore(), "memory://state")
    losing = LosesAnAnswer(store, name, answer)
    lister = KeysLister(KEYS, ENDS)

    try:
        made = steps(losing, lister)
    except StateError:
        made = steps(losing, lister)

    folder = inventory_folder("fleet", made.inventory_id)
    assert losing.is_over
    assert rows_of(store, made) == expected_rows()
    assert {*store.names(folder)} == {f"{folder}_SUCCESS.json", *(one.name for one in made.parts)}
    if name.startswith("range-"):
        assert len(lister.asked) == 4


@pytest.mark.parametrize("number", range(1, 7))
def test_after_a_crash_while_a_committed_inventory_is_cleared_up(number: int) -> None:
    store = BucketStateStore(MemoryStore(), "memory://state")
    with pytest.raises(Crash):
        steps(DyingInTheEnd(store, number), KeysLister(KEYS, ENDS))  # type: ignore[arg-type]

    made = commit(store)

    folder = inventory_folder("fleet", made.inventory_id)
    assert rows_of(store, made) == expected_rows()
    assert {*store.names("fleet/")} == {"fleet/state.json", f"{folder}_SUCCESS.json", *(one.name for one in made.parts)}


def test_a_run_that_died_after_its_commit_is_cleared_up_by_the_next_inventory() -> None:
    store = BucketStateStore(MemoryStore(), "memory://state")
    with pytest.raises(Crash):
        steps(DyingInTheEnd(store, 2), KeysLister(KEYS, ENDS))  # type: ignore[arg-type]

    made = take_inventory(lister=KeysLister(KEYS), store=store, source="fleet", clock=noon)

    assert rows_of(store, made) == expected_rows()
    assert [name for name in store.names("fleet/") if "range" in name or "writers" in name] == []
