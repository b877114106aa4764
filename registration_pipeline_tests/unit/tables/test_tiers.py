"""Sorted files stay few, and no row is copied often."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.tables.tiers import runs_to_merge
from registration_pipeline_tests.doses import examples

SMALL = 1_000


@settings(max_examples=examples(50, thorough=2_000))
@given(nights=st.lists(st.integers(1, 3 * SMALL), min_size=1, max_size=200))
def test_runs_stay_few_and_rows_are_copied_a_few_times(nights: list[int]) -> None:
    runs: list[int] = []
    copied = 0
    for rows in nights:
        runs.append(rows)
        count = runs_to_merge(runs, small=SMALL)
        if count > 1:
            merged = sum(runs[-count:])
            copied += merged
            runs[-count:] = [merged]

    total = sum(nights)
    assert sum(runs) == total
    doublings = (total // SMALL).bit_length()
    assert len(runs) <= 2 + doublings
    assert copied <= total * 2 * (1 + doublings) + len(nights) * SMALL


@pytest.mark.parametrize(
    ("rows", "merged"),
    [
        ([], 0),
        ([5], 1),
        ([5, 1], 2),
        ([10 * SMALL, SMALL], 1),
        ([10 * SMALL, 5, 5], 2),
        ([3 * SMALL, 2 * SMALL], 2),
        ([100 * SMALL, 3 * SMALL, 2 * SMALL], 2),
        ([9 * SMALL, 3 * SMALL, 2 * SMALL], 3),
    ],
    ids=str,
)
def test_a_run_is_merged_when_it_is_small_or_half_as_much_is_behind_it(rows: list[int], merged: int) -> None:
    assert runs_to_merge(rows, small=SMALL) == merged
