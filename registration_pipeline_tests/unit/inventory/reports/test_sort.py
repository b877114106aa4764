"""Sorting a report's rows out of core: the order is that of the bytes, and memory does not hold the rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.inventory.reports.sort import ROW_SCHEMA, KeySort
from registration_pipeline.inventory.schema import BATCH_ROWS, INVENTORY_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


def row(key: str, **values: Any) -> dict[str, Any]:
    return dict.fromkeys(ROW_SCHEMA.names) | {"key": key, "size": 1, "last_modified": NOON, "gone": False} | values


def ordered(*batches: Sequence[dict[str, Any]], **limits: int) -> list[dict[str, Any]]:
    with TemporaryDirectory() as folder:
        sort = KeySort(Path(folder), **limits)
        for rows in batches:
            sort.add(pa.RecordBatch.from_pylist(list(rows), schema=ROW_SCHEMA))
        result = list(sort.batches())
        assert list(Path(folder).iterdir()) == []
    assert all(batch.schema.equals(INVENTORY_SCHEMA) for batch in result)
    assert all(batch.num_rows <= BATCH_ROWS for batch in result)
    return [entry for batch in result for entry in batch.to_pylist()]


def keys(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [entry["key"] for entry in rows]


@given(parts=st.lists(st.lists(TEXT, max_size=20), max_size=12), run_bytes=st.sampled_from([1, 500, 5_000, 1 << 20]))
def test_any_rows_come_out_once_and_in_byte_order_however_they_were_cut(parts: list[list[str]], run_bytes: int) -> None:
    rows = [[row(key) for key in part] for part in parts]

    found = keys(ordered(*rows, run_bytes=run_bytes, block_bytes=256, fan_in=3))

    assert found == sorted({key for part in parts for key in part}, key=lambda key: key.encode())


@pytest.mark.parametrize("limits", [{}, {"run_bytes": 1, "block_bytes": 1}], ids=["in memory", "on disk"])
def test_of_rows_of_one_key_the_last_modified_stands_then_the_greatest_version(limits: dict[str, int]) -> None:
    later = NOON + timedelta(seconds=1)
    found = ordered(
        [row("time", last_modified=later, version="1", size=2), row("version", version="b", size=2), row("same")],
        [row("time", version="9"), row("version", version="a"), row("same")],
        [row("gone", last_modified=later, gone=True), row("back", gone=True)],
        [row("gone"), row("back", last_modified=later)],
        **limits,
    )

    assert [(entry["key"], entry["size"]) for entry in found] == [("back", 1), ("same", 1), ("time", 2), ("version", 2)]


def test_nothing_comes_of_nothing() -> None:
    assert ordered() == []
    assert ordered([]) == []


@pytest.mark.slow
def test_memory_holds_blocks_of_the_runs_and_not_the_rows() -> None:
    count, per_batch = 60_000, 2_000
    wide = "x" * 200
    before = pa.total_allocated_bytes()
    peak, previous, rows = 0, "", 0
    with TemporaryDirectory() as folder:
        sort = KeySort(Path(folder), run_bytes=1 << 20, block_bytes=16 << 10, fan_in=8)
        for start in range(0, count, per_batch):
            # 7,919 is prime to the count, so every number comes once, in no order.
            part = [row(f"{(number * 7_919) % count:08d}/{wide}") for number in range(start, start + per_batch)]
            sort.add(pa.RecordBatch.from_pylist(part, schema=ROW_SCHEMA))
            peak = max(peak, pa.total_allocated_bytes() - before)
        for batch in sort.batches():
            peak = max(peak, pa.total_allocated_bytes() - before)
            assert previous < batch["key"][0].as_py()
            previous, rows = batch["key"][-1].as_py(), rows + batch.num_rows

    assert rows == count
    assert count * len(wide) > 11 << 20
    assert peak < 6 << 20
