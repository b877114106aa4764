"""The compacted ledger saves requests and changes nothing, whatever state it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.planning import history as history_module
from registration_pipeline.planning.history import (
    PlanHistory,
    compact,
    load_chunks_of,
    load_history,
)
from registration_pipeline.planning.ledger import merged_runs
from registration_pipeline.planning.wave import load_chunks, load_waves
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = history_module._SMALL_RUN


def keys_of(bucket: Any, history: PlanHistory) -> dict[str, str]:
    rows = [row for batch in merged_runs(bucket.store, history.runs) for row in batch.to_pylist()]
    keys = {row["key"]: row["chunk_id"] for row in rows}
    assert len(keys) == len(rows)
    return keys


def assert_says_what_the_waves_say(bucket: Any) -> PlanHistory:
    trusted = load_history(bucket.store, "cams")
    waves = load_waves(bucket.store, "cams")
    assert trusted.wave_ids == tuple(wave.wave_id for wave in waves)
    assert trusted.latest == (waves[-1] if waves else None)
    assert load_chunks_of(bucket.store, trusted) == load_chunks(bucket.store, "cams")
    assert list(load_chunks_of(bucket.store, trusted)) == list(load_chunks(bucket.store, "cams"))
    assert keys_of(bucket, trusted) == {row["key"]: row["chunk_id"] for row in bucket.planned_rows()}
    return trusted


def night(bucket: Any, number: int, *, objects: int = 1) -> None:
    bucket.put(*(f"raw/{number:04d}-{index}.jpg" for index in range(objects)))
    bucket.sync()


@settings(deadline=None, max_examples=examples(6, thorough=150))
@given(
    nights=st.lists(st.integers(0, 3), max_size=7),
    small=st.sampled_from([0, 4, SMALL]),
    lost=st.sets(st.integers(0, 6)),
)
def test_it_says_what_the_waves_say_after_every_night(
    new_bucket: Callable[..., Any], nights: list[int], small: int, lost: set[int]
) -> None:
    bucket = new_bucket(chunk_size={"images": 2})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history_module, "_SMALL_RUN", small)
        for number, objects in enumerate(nights):
            night(bucket, number, objects=objects)
            if number in lost:
                for name in list(bucket.store.names("cams/ledger/")):
                    bucket.store.delete(name)
            assert assert_says_what_the_waves_say(bucket).is_compacted == (number not in lost)


def test_after_many_nights_there_are_few_files(bucket: Any) -> None:
    for number in range(40):
        night(bucket, number)
    history = load_history(bucket.store, "cams")

    assert len(history.wave_ids) == 40
    assert [sum(part.rows for part in run) for run in history.runs] == [40]
    assert len(history.chunk_runs) == 1
    assert len(list(bucket.store.names("cams/ledger/"))) <= 6, "two ledgers of a marker, keys and chunks"


def test_the_first_wave_is_not_copied(bucket: Any) -> None:
    night(bucket, 0, objects=5)
    history = load_history(bucket.store, "cams")

    assert history.is_compacted
    assert history.runs == (load_waves(bucket.store, "cams")[0].parts,)
    assert [name.rsplit("/", 1)[-1] for name in bucket.store.names("cams/ledger/")] == ["_SUCCESS.json"]


def garble(bucket: Any, name: str) -> None:
    bucket.store.delete(name)
    bucket.store.create(name, b"garbled")


@pytest.mark.parametrize("damage", [garble, lambda bucket, name: bucket.store.delete(name)], ids=["garbled", "gone"])
@pytest.mark.parametrize("which", ["keys", "chunks", "_SUCCESS"])
def test_damage_costs_time_and_nothing_else(bucket: Any, which: str, damage: Callable[[Any, str], None]) -> None:
    for number in range(3):
        night(bucket, number)
    damaged = [name for name in bucket.store.names("cams/ledger/") if f"/{which}" in name]
    assert damaged
    for name in damaged:
        damage(bucket, name)

    assert load_chunks_of(bucket.store, load_history(bucket.store, "cams")) == load_chunks(bucket.store, "cams")
    assert bucket.plan(dry_run=True).wave.counts.new == 1
    night(bucket, 3)

    history = assert_says_what_the_waves_say(bucket)
    assert history.is_compacted


def test_damage_of_a_wave_is_reported(bucket: Any) -> None:
    night(bucket, 0)
    bucket.store.delete(load_waves(bucket.store, "cams")[0].parts[0].name)
    bucket.put("raw/more.jpg")

    with pytest.raises(StateCorruptError, match="missing"):
        bucket.sync()


def test_a_ledger_that_names_a_wave_that_was_removed_is_not_used(bucket: Any) -> None:
    for number in range(3):
        night(bucket, number)
    removed = load_waves(bucket.store, "cams")[1]
    for name in list(bucket.store.names(f"cams/plan/{removed.wave_id}/")):
        bucket.store.delete(name)
    bucket.store.delete("cams/lineage/00000002.json")

    assert not assert_says_what_the_waves_say(bucket).is_compacted
    assert "raw/0001-0.jpg" not in keys_of(bucket, load_history(bucket.store, "cams"))


def test_a_reader_of_the_ledger_before_the_newest_finds_its_files(bucket: Any) -> None:
    for number in range(4):
        night(bucket, number)
    reader = load_history(bucket.store, "cams")
    night(bucket, 4)

    assert len(keys_of(bucket, reader)) == 4


def test_a_planner_whose_files_are_replaced_while_it_reads_reads_again(bucket: Any) -> None:
    for number in range(3):
        night(bucket, number)
    bucket.put("raw/mine.jpg")
    mine, rules = bucket.inventory(), bucket.source

    class Overtaken(LocalStateStore):
        """Lets others plan three times before the first file of the ledger is opened, so that it is removed."""

        is_overtaken = False

        def open(self, name: str) -> Any:
            if "/ledger/" in name and not self.is_overtaken:
                self.is_overtaken = True
                for excluded in ("mine.jpg", "other.jpg", "third.jpg"):
                    bucket.configure(exclude=[excluded])
                    bucket.plan(inventory=mine)
                    bucket.source = rules
                assert not self.exists(name)
            return super().open(name)

    plan = bucket.plan(inventory=mine, store=Overtaken(bucket.store._root))

    assert plan.created
    assert plan.wave.wave_id.endswith("-4")
    assert_says_what_the_waves_say(bucket)


def test_of_two_writers_of_one_ledger_one_wins(bucket: Any) -> None:
    for number in range(3):
        night(bucket, number)
    history = load_history(bucket.store, "cams", is_trusted=False)
    before = bucket.files("ledger/")

    assert compact(bucket.store, history, 3) == history
    marker = "cams/ledger/00000003/_SUCCESS.json"
    assert bucket.store.read(marker) == before[marker]
    assert_says_what_the_waves_say(bucket)


class Earlier:
    """A store whose listings of some folders show at first what they showed before the last night.

    Args:
        store: the state.
        before: its names then.
        late: the folders whose first listing was answered before that night.
    """

    def __init__(self, store: Any, before: set[str], late: set[str]) -> None:
        self._store, self._before, self._late = store, before, set(late)

    def names(self, prefix: str) -> Any:
        kind = prefix.split("/")[1]
        if kind not in self._late:
            return self._store.names(prefix)
        self._late.remove(kind)
        return iter([name for name in self._store.names(prefix) if name in self._before])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize("nights", [1, 2, 4])
@pytest.mark.parametrize(
    "late",
    [{"plan"}, {"lineage"}, {"ledger"}, {"plan", "lineage"}, {"ledger", "plan"}, {"ledger", "lineage"}],
    ids=lambda late: "+".join(sorted(late)),
)
def test_folders_that_are_listed_while_a_wave_is_committed_hold_no_damage(
    bucket: Any, late: set[str], nights: int
) -> None:
    """Each listing shows the folder as it was before or after that wave: what comes of it is a history of one of the two."""
    for number in range(nights - 1):
        night(bucket, number)
    before, said_before = {*bucket.store.names("cams/")}, load_history(bucket.store, "cams")
    night(bucket, nights - 1)

    found = load_history(Earlier(bucket.store, before, late), "cams")

    assert found.wave_ids in (said_before.wave_ids, load_history(bucket.store, "cams").wave_ids)
    assert [*load_chunks_of(bucket.store, found)] == [*load_chunks(bucket.store, "cams")][: len(found.wave_ids)]


def test_an_inventory_that_was_taken_and_planned_while_the_waves_were_read_is_the_newest(bucket: Any) -> None:
    """It was not there yet when inventories were listed: planning the one before would be refused as outdated."""
    night(bucket, 0)
    (first,) = bucket.store.folders("cams/inventory/")
    night(bucket, 1)

    class Late(Earlier):
        listed = 0

        def folders(self, prefix: str) -> Any:
            self.listed += prefix == "cams/inventory/"
            is_early = self.listed == 1 and prefix == "cams/inventory/"
            return [first] if is_early else self._store.folders(prefix)

    store = Late(bucket.store, set(), set())
    plan = bucket.plan(store=store)

    assert (plan.wave.inventory_id, plan.created, store.listed) == (
        bucket.store.folders("cams/inventory/")[-1],
        False,
        2,
    )
