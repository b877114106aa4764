"""A wave that the lineage names counts and keeps its files, whatever became of its commit marker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.planning.history import load_chunks_of, load_history
from registration_pipeline.planning.ledger import merged_runs
from registration_pipeline.planning.wave import load_chunks, load_waves, read_chunk_units
from registration_pipeline.state.sealed import open_sealed, sealed_json

if TYPE_CHECKING:
    from collections.abc import Callable

QUIET = "a night without new objects"


def nights(bucket: Any) -> list[str]:
    """Plan three nights, the second without new objects, and return the ids of their waves."""
    bucket.put("raw/a.jpg", "raw/b.jpg")
    bucket.sync()
    bucket.sync()
    bucket.put("raw/c.jpg")
    bucket.sync()
    return [wave.wave_id for wave in load_waves(bucket.store, "cams")]


def planned(bucket: Any) -> dict[str, str]:
    history = load_history(bucket.store, "cams")
    return {
        row["key"]: row["chunk_id"] for batch in merged_runs(bucket.store, history.runs) for row in batch.to_pylist()
    }


def without_ledger(bucket: Any) -> None:
    for name in list(bucket.store.names("cams/ledger/")):
        bucket.store.delete(name)


@pytest.mark.parametrize("prepare", [lambda _: None, without_ledger], ids=["with ledger", "without ledger"])
@pytest.mark.parametrize("which", [0, 1, 2], ids=["the first", QUIET, "the newest"])
def test_a_wave_without_its_marker_counts_and_is_restored(
    bucket: Any, which: int, prepare: Callable[[Any], None]
) -> None:
    wave_ids = nights(bucket)
    expected, chunks = planned(bucket), load_chunks(bucket.store, "cams")
    marker = f"cams/plan/{wave_ids[which]}/_SUCCESS.json"
    said = bucket.store.read(marker)
    before = bucket.files("plan/")
    bucket.store.delete(marker)
    prepare(bucket)

    assert planned(bucket) == expected
    assert load_chunks_of(bucket.store, load_history(bucket.store, "cams")) == chunks
    assert load_chunks(bucket.store, "cams") == chunks
    for chunk in chunks.values():
        read_chunk_units(bucket.store, "cams", chunk)
    assert bucket.plan(dry_run=True).wave.wave_id == wave_ids[2]

    bucket.put("raw/d.jpg")
    bucket.sync()

    assert bucket.store.read(marker) == said
    assert before.items() <= bucket.files("plan/").items()
    assert {**expected, "raw/d.jpg": planned(bucket)["raw/d.jpg"]} == planned(bucket)


@pytest.mark.parametrize("prepare", [lambda _: None, without_ledger], ids=["with ledger", "without ledger"])
def test_all_markers_at_once_are_restored(bucket: Any, prepare: Callable[[Any], None]) -> None:
    nights(bucket)
    before = bucket.files("plan/")
    for name in before:
        if name.endswith("_SUCCESS.json"):
            bucket.store.delete(name)
    prepare(bucket)

    assert not bucket.plan().created

    assert bucket.files("plan/") == before


@pytest.mark.parametrize("prepare", [lambda _: None, without_ledger], ids=["with ledger", "without ledger"])
@pytest.mark.parametrize("which", [0, 2], ids=["the first", "the newest"])
def test_a_wave_whose_files_are_gone_is_named_and_nothing_is_planned_or_cleared(
    bucket: Any, which: int, prepare: Callable[[Any], None]
) -> None:
    wave_ids = nights(bucket)
    lost = load_waves(bucket.store, "cams")[which].parts[0].name
    for name in list(bucket.store.names(f"cams/plan/{wave_ids[which]}/")):
        bucket.store.delete(name)
    prepare(bucket)
    bucket.put("raw/d.jpg")
    bucket.inventory()
    before = bucket.files("plan/") | bucket.files("lineage/")

    with pytest.raises(StateCorruptError, match=f"{lost} is missing, though the lineage has its wave"):
        bucket.plan()

    assert bucket.files("plan/") | bucket.files("lineage/") == before


@pytest.mark.parametrize("left", [0, 2], ids=["none", "older ones"])
def test_an_inventory_that_lost_its_marker_is_not_replaced_by_an_older_one(bucket: Any, left: int) -> None:
    wave_ids = nights(bucket)
    for wave_id in wave_ids[left:]:
        bucket.store.delete(f"cams/inventory/{wave_id}/_SUCCESS.json")

    with pytest.raises(StateCorruptError, match=rf"inventory/{wave_ids[2]}/_SUCCESS\.json is missing"):
        bucket.plan()

    bucket.put("raw/d.jpg")
    assert bucket.sync().wave.counts.new == 1


def test_a_marker_that_differs_from_the_lineage_is_refused(bucket: Any) -> None:
    wave_ids = nights(bucket)
    said = open_sealed(bucket.store.read(f"cams/plan/{wave_ids[0]}/_SUCCESS.json"))
    other = sealed_json({**said, "rules_digest": "of other rules"})
    marker = f"cams/plan/{wave_ids[0]}/_SUCCESS.json"
    bucket.store.delete(marker)
    bucket.store.create(marker, other)

    with pytest.raises(StateCorruptError, match=rf"{wave_ids[0]}/_SUCCESS\.json is not what the lineage says"):
        load_waves(bucket.store, "cams")
