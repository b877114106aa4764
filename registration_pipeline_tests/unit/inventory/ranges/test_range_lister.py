"""Listing many key ranges at once, against a store in memory that pages like S3 and holds hostile distributions of keys."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import PermissionDeniedError
from registration_pipeline.inventory.ranges.key_space import KeySpace
from registration_pipeline.inventory.ranges.lister import KeyRange, RangeLister
from registration_pipeline_tests.doses import examples
from registration_pipeline_tests.unit.inventory.ranges.paged_stores import HOSTILE, SEVERAL, Store, list_ranges


@pytest.mark.parametrize("keys", HOSTILE.values(), ids=HOSTILE)
def test_every_key_comes_once_and_in_order(keys: list[str]) -> None:
    store = Store(keys)

    assert list_ranges(store) == store.keys


@settings(max_examples=examples(20, thorough=600))
@given(
    st.sets(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), min_size=4, max_size=120),
    st.integers(1, 3),
    st.integers(2, 6),
    st.sampled_from([1, 500, 1_000_000]),
)
def test_any_keys_come_once_and_in_order(keys: set[str], page_size: int, concurrency: int, window_bytes: int) -> None:
    store = Store(keys, page_size)

    assert list_ranges(store, concurrency=concurrency, window_bytes=window_bytes) == store.keys


@pytest.mark.parametrize(
    "name", ["flat counter", "many folders", "one huge folder", "hexadecimal", "long common prefix"]
)
def test_the_requests_are_made_at_once_and_few_are_wasted(name: str) -> None:
    store, all_here = Store(HOSTILE[name]), threading.Barrier(SEVERAL)
    needed = -(-len(store.keys) // store.page_size)

    def meet(number: int) -> None:
        # Once everybody is busy, all go on: the listing ends only if that many requests are really made at once.
        if needed // 4 <= number < needed // 4 + SEVERAL:
            all_here.wait(20)

    store.before_page = meet

    assert list_ranges(store) == store.keys
    assert store.most_at_once == SEVERAL
    assert store.made <= 1.5 * needed + 2 * SEVERAL


def test_keys_that_defy_guessing_cost_a_bounded_number_of_requests() -> None:
    # Between all neighbours there is room for guesses, and nothing there.
    store = Store(("a" * (number % 40) + chr(0x4E00 + number) + "z" * 20 for number in range(1_000)), page_size=1)
    listed = list_ranges(store)

    assert listed == store.keys
    assert store.made <= 1_000 * 9 / 8 + 1_000 / 2


def test_rows_that_run_ahead_are_bounded_while_the_first_range_waits() -> None:
    store = Store((f"{number:06d}" for number in range(20_000)), page_size=10)
    first = store.page()
    assert first.last is not None
    assert first.token is not None
    space = KeySpace(store.prefix)
    space.learn((first.first or "", first.last))
    begin = KeyRange(first.last, None, first.token)
    window = int(1_000 * first.batch.nbytes / 10)

    with RangeLister(store, space, begin, concurrency=SEVERAL, window_bytes=window) as lister:
        listed = [
            first.batch,
            *(lister._next_rows() or ()),
        ]  # then nothing is taken, and the threads fill what room there is
        taken = sum(batch.num_rows for batch in listed)
        settled = threading.Event()
        last = -1
        while last != store.made:  # until nothing more is asked for
            last = store.made
            settled.wait(0.2)

        # twice the window, half of one for the first range, and what is in flight
        assert store.made * 10 - taken <= 2 * 1_000 + 1_000 / 2 + 200
        listed.extend(lister.batches())
    assert [key for batch in listed for key in batch.column("key").to_pylist()] == store.keys


def test_a_policy_that_forbids_looking_for_folders_does_no_harm() -> None:
    class Forbidden(Store):
        def folders(self, prefix: str) -> list[str]:
            raise PermissionDeniedError(prefix)

    store = Forbidden(HOSTILE["many folders"])

    assert list_ranges(store) == store.keys
