"""Merging sorted streams agrees with sorting everything at once, whatever the keys, batches and bounds."""

from __future__ import annotations

import tempfile
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.tables.external_sort import ExternalSort
from registration_pipeline.tables.sorted_merge import SortedMerge
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Row = tuple[str, int, str]

SCHEMA = pa.schema([("group", pa.string()), ("order", pa.int64()), ("key", pa.string())])
BY = ("group", "order", "key")
TEXTS = st.text(alphabet="abé\U0001f600￿", max_size=2)
ROWS = st.lists(st.tuples(TEXTS, st.integers(-2, 2), TEXTS), max_size=30)


def batch(rows: Iterable[Row]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([dict(zip(BY, row, strict=True)) for row in rows], schema=SCHEMA)


def rows_of(table: pa.RecordBatch | pa.Table) -> list[Row]:
    return [(row["group"], row["order"], row["key"]) for row in table.to_pylist()]


def stream(rows: list[Row], size: int, by: tuple[int, ...]) -> Iterator[pa.RecordBatch]:
    """Give rows in order, in batches, with an empty one in front."""
    yield batch([])
    remaining = iter(sorted(rows, key=lambda row: tuple(row[column] for column in by)))
    while piece := list(islice(remaining, size)):
        yield batch(piece)


@settings(deadline=None, max_examples=examples(50, thorough=2_000))
@given(streams=st.lists(ROWS, max_size=5), size=st.integers(1, 5), by=st.sampled_from([(0,), (2,), (0, 1), (0, 1, 2)]))
def test_all_rows_come_once_and_batches_share_no_key(streams: list[list[Row]], size: int, by: tuple[int, ...]) -> None:
    merge = SortedMerge([stream(rows, size, by) for rows in streams], SCHEMA, [BY[column] for column in by])

    def key(row: Row) -> tuple[str | int, ...]:
        return tuple(row[column] for column in by)

    found = [rows_of(one) for one in merge]

    assert sorted(row for rows in found for row in rows) == sorted(row for rows in streams for row in rows)
    for before, after in pairwise(found):
        assert max(map(key, before)) < min(map(key, after))


@settings(deadline=None, max_examples=examples(50, thorough=2_000))
@given(streams=st.lists(ROWS, max_size=5), size=st.integers(1, 5), bounds=st.lists(TEXTS, max_size=4))
def test_rows_up_to_a_bound_are_taken_and_the_others_stay(
    streams: list[list[Row]], size: int, bounds: list[str]
) -> None:
    everything = [row for rows in streams for row in rows]
    merge = SortedMerge([stream(rows, size, (0,)) for rows in streams], SCHEMA, ["group"])

    taken = [rows_of(merge.take_until((bound,))) for bound in sorted(bounds)]
    rest = [row for one in merge for row in rows_of(one)]

    model = sorted(everything)
    for bound, rows in zip(sorted(bounds), taken, strict=True):
        assert sorted(rows) == [row for row in model if row[0] <= bound]
        model = [row for row in model if row[0] > bound]
    assert sorted(rest) == model


def test_no_stream_is_read_further_than_the_bound_needs() -> None:
    read: list[int] = []

    def counted(number: int, keys: str) -> Iterator[pa.RecordBatch]:
        for key in keys:
            read.append(number)
            yield batch([(key, 0, "")])

    merge = SortedMerge([counted(0, "abcdef"), counted(1, "xyz")], SCHEMA, ["group"])

    assert merge.bound() == ("a",)
    assert rows_of(merge.take_until(("b",))) == [("a", 0, ""), ("b", 0, "")]
    assert read == [0, 1, 0, 0]


@settings(deadline=None, max_examples=examples(20, thorough=600))
@given(rows=ROWS, run_bytes=st.sampled_from([1, 200, 1 << 20]), fan_in=st.integers(2, 4))
def test_sorting_out_of_core_by_several_columns_agrees_with_sorting_in_memory(
    rows: list[Row], run_bytes: int, fan_in: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sort = ExternalSort(Path(folder), SCHEMA, by=BY, run_bytes=run_bytes, block_bytes=64, fan_in=fan_in)
        for row in rows:
            sort.add(batch([row]))

        assert [row for table in sort.tables() for row in rows_of(table)] == sorted(rows)
        assert list(Path(folder).iterdir()) == []


@pytest.mark.parametrize("streams", [0, 1, 3])
def test_streams_without_rows_end_at_once(streams: int) -> None:
    merge = SortedMerge([iter([batch([])]) for _ in range(streams)], SCHEMA, ["group"])

    assert merge.bound() is None
    assert list(merge) == []
    assert merge.take_until(("z",)).num_rows == 0
