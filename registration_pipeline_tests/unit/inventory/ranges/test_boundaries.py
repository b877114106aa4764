"""Where to divide a bucket that nothing is known of: always keys in order, few requests, about equal parts."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import PermissionDeniedError
from registration_pipeline.inventory.ranges.boundaries import find_boundaries
from registration_pipeline_tests.doses import examples
from registration_pipeline_tests.unit.inventory.ranges.paged_stores import HOSTILE, Store

KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)

USUAL = [
    "flat counter",
    "counter without zeros",
    "long common prefix",
    "one huge folder",
    "many folders",
    "deep",
    "two far ends",
    "unicode",
    "hexadecimal",
]


def largest_part(keys: list[str], boundaries: list[str]) -> float:
    """Return the share of the keys that the largest range holds."""
    ends = [0, *(bisect_right(keys, boundary) for boundary in boundaries), len(keys)]
    return max(end - begin for begin, end in pairwise(ends)) / len(keys)


@settings(max_examples=examples(30, thorough=1_000), deadline=None)
@given(st.sets(KEYS, max_size=60), st.integers(1, 12), st.integers(1, 5))
def test_any_bucket_is_divided_at_keys_that_increase(keys: set[str], ranges: int, page_size: int) -> None:
    found = find_boundaries(Store(keys, page_size), ranges)

    assert len(found) < ranges
    assert all(low < high and low.encode() < high.encode() for low, high in pairwise(found))


@pytest.mark.parametrize("keys", HOSTILE.values(), ids=HOSTILE)
def test_requests_are_few_and_keys_increase_whatever_the_bucket(keys: list[str]) -> None:
    store = Store(keys)

    found = find_boundaries(store, 8)

    assert found == sorted(set(found))
    assert store.made <= 90


@pytest.mark.parametrize("keys", [HOSTILE[name] for name in USUAL], ids=USUAL)
def test_no_range_of_a_usual_bucket_holds_most_of_it(keys: list[str]) -> None:
    store = Store(keys)

    assert largest_part(store.keys, find_boundaries(store, 8)) <= 0.35


def test_folders_are_where_a_bucket_is_divided() -> None:
    store = Store(f"2026/{day:03d}/{number:03d}.jpg" for day in range(300) for number in range(20))

    found = find_boundaries(store, 3)

    assert largest_part(store.keys, found) < 0.4
    assert all(boundary.endswith("/") for boundary in found)


def test_a_policy_that_forbids_delimiters_is_no_obstacle() -> None:
    class Forbidding(Store):
        def folders(self, prefix: str) -> list[str]:
            raise PermissionDeniedError(f"no delimiter below {prefix}")

    store = Forbidding(HOSTILE["flat counter"])

    assert largest_part(store.keys, find_boundaries(store, 4)) < 0.4


def test_a_bucket_of_one_page_is_not_divided() -> None:
    store = Store(["a", "b"])

    assert find_boundaries(store, 8) == []
    assert store.made == 1
