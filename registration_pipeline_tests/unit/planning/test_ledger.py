from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.planning import ledger as ledger_module
from registration_pipeline.planning.counts import PlanCounts
from registration_pipeline.planning.ledger import Ledger
from registration_pipeline.planning.schema import PLAN_SCHEMA
from registration_pipeline.planning.wave import Wave
from registration_pipeline.planning.wave_writer import StateWaveWriter
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.state.parquet import Part

KEYS = st.text(alphabet="abcé\U0001f600/", min_size=1, max_size=4)


def plan_rows(wave: int, objects: dict[str, int], at: Any) -> pa.RecordBatch:
    rows = [
        {
            "key": key,
            "chunk_id": f"chunk-{wave}",
            "kind": "images",
            "unit_index": 0,
            "position": 0,
            "unit_id": "",
            "title": key,
            "object_url": key,
            "size": size,
            "last_modified": at,
        }
        for key, size in sorted(objects.items())
    ]
    return pa.RecordBatch.from_pylist(rows, schema=PLAN_SCHEMA)


def write_wave(bucket: Any, number: int, objects: dict[str, int]) -> Wave:
    wave_id = f"20261121T0200{number:02d}Z"
    with StateWaveWriter(bucket.store, "cams", wave_id, rows_per_part=3) as writer:
        writer.write_new(plan_rows(number, objects, bucket.now))
        files = writer.finish([])
    return Wave(
        wave_id=wave_id,
        source="cams",
        inventory_id=wave_id,
        rules_digest="",
        listing_digest="",
        counts=PlanCounts(),
        parts=files.parts,
        part_first_keys=files.part_first_keys,
        planned_at=bucket.now,
    )


def runs_of(waves: list[Wave]) -> list[tuple[Part, ...]]:
    return [wave.parts for wave in waves]


@pytest.fixture(params=[32, 1], ids=["merged at once", "sorted together first"], autouse=True)
def most_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few runs be too many to be merged at once."""
    monkeypatch.setattr(ledger_module, "_MOST_RUNS", request.param)


@settings(
    deadline=None, max_examples=examples(20, thorough=600), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    planned=st.dictionaries(KEYS, st.tuples(st.integers(0, 3), st.integers(1, 2)), max_size=25),
    listed=st.dictionaries(KEYS, st.integers(1, 2), max_size=25),
    batch_rows=st.integers(1, 5),
    slice_rows=st.integers(1, 5),
)
def test_the_merge_agrees_with_set_arithmetic(
    new_bucket: Callable[..., Any],
    planned: dict[str, tuple[int, int]],
    listed: dict[str, int],
    batch_rows: int,
    slice_rows: int,
) -> None:
    bucket = new_bucket()
    waves = [
        write_wave(bucket, number, {key: size for key, (wave, size) in planned.items() if wave == number})
        for number in range(4)
    ]
    rows = [{"key": key, "size": size, "last_modified": bucket.now} for key, size in sorted(listed.items())]
    inventory = pa.RecordBatch.from_pylist(rows, schema=INVENTORY_SCHEMA)

    ledger = Ledger(bucket.store, runs_of(waves), batch_rows=batch_rows)
    matches = [
        match for start in range(0, len(rows), slice_rows) for match in ledger.match(inventory.slice(start, slice_rows))
    ]
    rest = [row for batch in ledger.rest() for row in batch.to_pylist()]

    chunk_of = {key: f"chunk-{wave}" for key, (wave, _) in planned.items()}
    seen = [key for match in matches for key in match.rows.column("key").to_pylist()]
    known = [key for match in matches for key in match.rows.filter(match.known).column("key").to_pylist()]
    changed = [row for match in matches for row in match.changed.to_pylist()]
    deleted = [row for match in matches for row in match.deleted.to_pylist()] + rest
    assert seen == sorted(listed)
    assert known == sorted(planned.keys() & listed.keys())
    assert changed == [
        {"key": k, "chunk_id": chunk_of[k], "last_modified": bucket.now} for k in known if planned[k][1] != listed[k]
    ]
    assert deleted == [{"key": k, "chunk_id": chunk_of[k]} for k in sorted(planned.keys() - listed.keys())]


@pytest.mark.slow
def test_a_sparse_inventory_does_not_pull_a_whole_wave_into_memory(new_bucket: Callable[..., Any]) -> None:
    bucket = new_bucket()
    wave = write_wave(bucket, 0, {f"{number:04d}": 1 for number in range(1000)})
    rows = [{"key": key, "size": 1, "last_modified": bucket.now} for key in ("0000", "0999")]
    inventory = pa.RecordBatch.from_pylist(rows, schema=INVENTORY_SCHEMA)

    matches = list(Ledger(bucket.store, runs_of([wave]), batch_rows=10).match(inventory))

    assert max(match.deleted.num_rows for match in matches) <= 10
    assert sum(match.deleted.num_rows for match in matches) == 998
    assert sum(pc.sum(match.known, min_count=0).as_py() for match in matches) == 2


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files the way Linux shows them")
def test_small_waves_are_not_kept_open(new_bucket: Callable[..., Any]) -> None:
    bucket = new_bucket()
    waves = [write_wave(bucket, number, {f"{number:04d}": 1, f"{number:04d}-z": 1}) for number in range(50)]
    row = {"key": "0000", "size": 1, "last_modified": bucket.now}
    before = len(list(Path("/proc/self/fd").iterdir()))
    ledger = Ledger(bucket.store, runs_of(waves))
    list(ledger.match(pa.RecordBatch.from_pylist([row], schema=INVENTORY_SCHEMA)))

    assert len(list(Path("/proc/self/fd").iterdir())) - before < 5
    assert sum(batch.num_rows for batch in ledger.rest()) == 99


@pytest.mark.parametrize(
    ("before", "now", "is_changed"),
    [
        pytest.param("", "", True, id="no ETag, written again"),
        pytest.param('W/""', 'W/""', True, id="a weak ETag without text"),
        pytest.param("", "abc", True, id="the first ETag"),
        pytest.param("abc", "", True, id="an ETag no more"),
        pytest.param(None, "", True, id="none and empty"),
        pytest.param("abc", "abc", False, id="the same ETag"),
    ],
)
def test_an_empty_etag_says_nothing_so_size_and_time_decide(
    new_bucket: Callable[..., Any],
    before: str | None,
    now: str,
    is_changed: bool,  # noqa: FBT001
) -> None:
    bucket = new_bucket()
    planned = plan_rows(0, {"a": 5}, bucket.now).to_pylist()
    with StateWaveWriter(bucket.store, "cams", "20261121T020000Z") as writer:
        writer.write_new(pa.RecordBatch.from_pylist([planned[0] | {"e_tag": before}], schema=PLAN_SCHEMA))
        parts = writer.finish([]).parts
    later = {"key": "a", "size": 5, "last_modified": bucket.now + timedelta(seconds=1), "e_tag": now}
    same_time = later | {"last_modified": bucket.now}

    def changed(row: dict[str, Any]) -> list[Any]:
        listed = pa.RecordBatch.from_pylist([row], schema=INVENTORY_SCHEMA)
        return [found for match in Ledger(bucket.store, [parts]).match(listed) for found in match.changed.to_pylist()]

    assert bool(changed(later)) == is_changed
    assert changed(same_time) == []
