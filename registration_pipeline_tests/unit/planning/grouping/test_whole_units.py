from __future__ import annotations

from itertools import groupby, pairwise
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.planning.grouping.whole_units import whole_units

UNITS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from("abcd"), st.integers(1, 9)), unique_by=lambda unit: unit[:2]
)


def table_of(rows: list[tuple[int, str, int]]) -> pa.Table:
    kinds, group_keys, members = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "kind": pa.array(kinds, pa.int8()),
            "group_key": pa.array(group_keys, pa.string()),
            "member": pa.array(members, pa.int64()),
        }
    )


def unit_of(row: dict[str, Any]) -> tuple[int, str]:
    return row["kind"], row["group_key"]


@given(units=UNITS, cuts=st.lists(st.integers(0, 60)), most=st.integers(1, 9), piece_rows=st.integers(1, 20))
def test_pieces_are_the_rows_in_their_order_and_hold_whole_units_of_one_kind(
    units: list[tuple[int, str, int]], cuts: list[int], most: int, piece_rows: int
) -> None:
    rows = [(kind, key, member) for kind, key, size in sorted(units) for member in range(size)]
    bounds = sorted({0, len(rows), *(min(cut, len(rows)) for cut in cuts)})
    tables = [table_of(rows[begin:end]) for begin, end in pairwise(bounds)]
    sizes = {(kind, key): size for kind, key, size in units}

    pieces = list(whole_units(tables, most_objects=most, piece_rows=piece_rows))

    given_out = [row for piece in pieces for row in piece.rows.to_pylist()]
    assert [(*unit_of(row), row["member"]) for row in given_out] == rows
    for piece in pieces:
        found = [(unit, len(list(members))) for unit, members in groupby(piece.rows.to_pylist(), unit_of)]
        assert len({kind for (kind, _), _ in found}) == 1
        if piece.is_beyond:
            assert len(found) == 1
            assert sizes[found[0][0]] > most
        else:
            assert {unit: sizes[unit] for unit, _ in found} == dict(found)


def test_a_unit_beyond_the_most_is_handed_on_as_it_comes() -> None:
    given_in = 0

    def tables() -> Any:
        nonlocal given_in
        for start in range(0, 100, 10):
            given_in += 10
            yield table_of([(0, "a", member) for member in range(start, start + 10)])

    held = 0
    for piece in whole_units(tables(), most_objects=20, piece_rows=5):
        held += piece.rows.num_rows
        assert piece.is_beyond
        assert given_in - held <= 10
    assert held == 100
