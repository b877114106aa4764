from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.tables.sorted_lookup import SortedLookup
from registration_pipeline.tables.sorted_merge import SortedMerge

SCHEMA = pa.schema([("kind", pa.int8()), ("name", pa.string()), ("value", pa.int64())])
BY = ("kind", "name")
KEYS = st.tuples(st.integers(0, 2), st.sampled_from("abcdefg"))


@given(
    held=st.lists(KEYS, max_size=30),
    asked=st.dictionaries(st.integers(0, 2), st.lists(st.sets(st.sampled_from("abcdefg"), min_size=1)), max_size=3),
    batch_rows=st.integers(1, 6),
)
def test_asking_forward_gives_exactly_the_rows_of_the_keys(
    held: list[tuple[int, str]], asked: dict[int, list[set[str]]], batch_rows: int
) -> None:
    rows = [{"kind": kind, "name": name, "value": value} for value, (kind, name) in enumerate(sorted(held))]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    lookup = SortedLookup(SortedMerge([iter(table.to_batches(max_chunksize=batch_rows))], SCHEMA, BY), BY)
    for kind, questions in sorted(asked.items()):
        behind = ""
        for names in questions:
            later = sorted(name for name in names if name > behind)
            if not later:
                continue
            behind = later[-1]
            found = lookup.rows_of(pa.array(later, pa.string()), within=(kind,)).to_pylist()
            assert found == [row for row in rows if row["kind"] == kind and row["name"] in later]


def test_a_stream_without_rows_has_none_of_any_key() -> None:
    lookup = SortedLookup(SortedMerge([], SCHEMA, BY), BY)

    assert lookup.rows_of(pa.array(["a"], pa.string()), within=(0,)).num_rows == 0
