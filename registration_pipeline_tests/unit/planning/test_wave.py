from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.chunking import ChunkCutter
from registration_pipeline.planning.counts import PlanCounts
from registration_pipeline.planning.lineage import commit_wave
from registration_pipeline.planning.schema import PLAN_SCHEMA
from registration_pipeline.planning.units import PlannedObject, PlannedUnit
from registration_pipeline.planning.wave import Wave, load_chunks, load_waves, read_chunk_units, wave_order
from registration_pipeline.planning.wave_writer import StateWaveWriter
from registration_pipeline.state.sealed import sealed_json
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from collections.abc import Callable

pa = pytest.importorskip("pyarrow")

WAVE = "20261121T020000Z"

ROWS_AT_ONCE = 5


def write_units(
    bucket: Any, units: list[PlannedUnit], *, chunk_units: int, rows_per_part: int, farthest_rows: int = 65_536
) -> Wave:
    """Commit a wave of units with any number of objects, as planning will once units are grouped."""
    cutter = ChunkCutter(WAVE, dict.fromkeys(MediaKind, chunk_units))
    rows = []
    for unit in sorted(units, key=lambda unit: min(item.key for item in unit.objects)):
        keys = [item.key for item in unit.objects]
        place = cutter.place(unit.kind, min(keys), max(keys), size=1, url_bytes=1, objects=len(keys))
        for position, item in enumerate(unit.objects):
            row = item._asdict()
            row |= {"unit_id": unit.unit_id, "kind": unit.kind.value, "title": unit.title, "position": position}
            rows.append(row | {"chunk_id": place[0], "unit_index": place[1], "last_modified": bucket.now})
    rows.sort(key=lambda row: row["key"])
    with StateWaveWriter(
        bucket.store, "cams", WAVE, rows_per_part=rows_per_part, farthest_rows=farthest_rows
    ) as writer:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            writer.write_new(pa.RecordBatch.from_pylist(rows[start : start + ROWS_AT_ONCE], schema=PLAN_SCHEMA))
        files = writer.finish(cutter.finish())
    wave = Wave(
        wave_id=WAVE,
        source="cams",
        inventory_id=WAVE,
        rules_digest="",
        listing_digest="",
        counts=PlanCounts(),
        parts=files.parts,
        part_first_keys=files.part_first_keys,
        unit_files=files.unit_files,
        chunk_files=files.chunk_files,
        planned_at=bucket.now,
    )
    assert commit_wave(bucket.store, wave, 1)
    return wave


@settings(deadline=None, max_examples=examples(15, thorough=500))
@given(
    sizes=st.lists(st.tuples(st.sampled_from([MediaKind.IMAGE, MediaKind.PDF]), st.integers(1, 4)), max_size=20),
    spread=st.randoms(use_true_random=False),
    chunk_units=st.integers(1, 4),
    rows_per_part=st.integers(1, 9),
)
def test_a_chunk_reads_back_as_the_units_that_were_planned(
    new_bucket: Callable[..., Any],
    sizes: list[tuple[MediaKind, int]],
    spread: Any,
    chunk_units: int,
    rows_per_part: int,
) -> None:
    bucket = new_bucket()
    keys = [f"é{number:03d}" for number in range(sum(size for _, size in sizes))]
    spread.shuffle(keys)
    units = []
    for number, (kind, size) in enumerate(sizes):
        taken = [keys.pop() for _ in range(size)]
        objects = tuple(PlannedObject(key=key, object_url=f"s3://b/{key}", size=1) for key in taken)
        units.append(PlannedUnit(unit_id=str(number), kind=kind, title=f"t{number}", objects=objects, unit_index=0))
    write_units(bucket, units, chunk_units=chunk_units, rows_per_part=rows_per_part)

    read: dict[str, PlannedUnit] = {}
    for chunk in load_chunks(bucket.store, "cams").values():
        members = read_chunk_units(bucket.store, "cams", chunk)
        assert [unit.unit_index for unit in members] == list(range(chunk.units))
        read |= {unit.unit_id: unit._replace(unit_index=0) for unit in members}
    assert read == {unit.unit_id: unit for unit in units}


@settings(deadline=None, max_examples=examples(15, thorough=500))
@given(
    kinds=st.lists(st.sampled_from([MediaKind.IMAGE, MediaKind.PDF, MediaKind.AUDIO]), min_size=1, max_size=40),
    chunk_units=st.integers(1, 6),
    rows_per_part=st.integers(1, 9),
    # At least the rows that the plan writes at once: a chunk that begins and ends in them is never found by place.
    farthest_rows=st.integers(ROWS_AT_ONCE, 12),
)
def test_a_chunk_reads_back_the_same_whether_it_is_found_by_place_or_by_its_keys(
    new_bucket: Callable[..., Any],
    kinds: list[MediaKind],
    chunk_units: int,
    rows_per_part: int,
    farthest_rows: int,
) -> None:
    units = [
        PlannedUnit(f"{number:03d}", kind, f"t{number}", (PlannedObject(f"{number:03d}", f"s3://b/{number}", 1),), 0)
        for number, kind in enumerate(kinds)
    ]
    bucket = new_bucket()
    wave = write_units(bucket, units, chunk_units=chunk_units, rows_per_part=rows_per_part, farthest_rows=farthest_rows)

    chunks = load_chunks(bucket.store, "cams")

    spans = {chunk.chunk_id: int(chunk.last_key) - int(chunk.first_key) for chunk in chunks.values()}
    placed = {chunk.chunk_id for chunk in chunks.values() if chunk.first_row is not None}
    assert placed == {chunk_id for chunk_id, span in spans.items() if span >= farthest_rows}
    assert sum(part.rows for part in wave.unit_files) == sum(chunks[chunk_id].objects for chunk_id in placed)
    for chunk in chunks.values():
        by_keys = replace(chunk, first_row=None)
        assert list(read_chunk_units(bucket.store, "cams", chunk)) == list(
            read_chunk_units(bucket.store, "cams", by_keys)
        )


def test_a_wave_survives_its_commit_marker(bucket: Any) -> None:
    bucket.configure(exclude=["*.mp4"])
    bucket.put("raw/a.jpg", "raw/b.mp4", "raw/c.zip")
    planned = bucket.sync().wave

    assert load_waves(bucket.store, "cams") == [planned]
    assert Wave.from_json(planned.to_json()) == planned


def test_a_commit_marker_that_is_not_a_plans_is_reported_with_its_place(bucket: Any) -> None:
    bucket.store.create(f"cams/plan/{WAVE}/_SUCCESS.json", sealed_json({"objects": 1}))

    with pytest.raises(StateCorruptError, match=r"_SUCCESS\.json is not the commit of a wave"):
        load_waves(bucket.store, "cams")


def test_an_uncommitted_wave_is_not_there(bucket: Any) -> None:
    bucket.store.create(f"cams/plan/{WAVE}/part-00000000-00000.parquet", b"half")

    assert load_waves(bucket.store, "cams") == []
    assert load_chunks(bucket.store, "cams") == {}


def test_a_missing_part_is_reported(bucket: Any) -> None:
    bucket.put("raw/a.jpg")
    plan = bucket.sync()
    bucket.store.delete(plan.wave.parts[0].name)

    with pytest.raises(StateCorruptError, match="is missing"):
        read_chunk_units(bucket.store, "cams", plan.chunks[0])


def test_a_chunk_with_other_units_than_planned_is_reported(bucket: Any) -> None:
    bucket.put("raw/a.jpg")
    (chunk,) = bucket.sync().chunks

    with pytest.raises(StateCorruptError, match="holds 1 units"):
        read_chunk_units(bucket.store, "cams", replace(chunk, units=2))
    with pytest.raises(StateCorruptError, match="has no plan"):
        read_chunk_units(bucket.store, "cams", replace(chunk, wave_id="20300101T000000Z"))


def test_wave_ids_order_by_inventory_and_then_by_number() -> None:
    ids = ["20261121T020000Z", "20261121T020000Z-2", "20261121T020000Z-10", "20261122T020000Z"]

    as_text = sorted(ids)
    assert as_text != ids
    assert sorted(as_text, key=wave_order) == ids
    with pytest.raises(ValueError, match="is not a wave id"):
        wave_order("latest")
