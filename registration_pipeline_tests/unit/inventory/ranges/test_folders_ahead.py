"""Listing folders ahead of a walk, against a tree in memory that pages like a store."""

from __future__ import annotations

import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.inventory.ranges.folders_ahead import FoldersAhead
from registration_pipeline_tests.doses import examples
from registration_pipeline_tests.unit.inventory.ranges.paged_stores import DAYS, Tree, list_tree, walk

KEYS = st.sets(st.lists(st.sampled_from(["a", "b", "c-", "d"]), min_size=1, max_size=4).map("/".join), max_size=40)


@settings(max_examples=examples(20, thorough=600))
@given(names=KEYS, page_size=st.integers(1, 3), concurrency=st.integers(1, 5), window=st.sampled_from([1, 5, 1_000]))
def test_any_tree_comes_once_and_in_order(names: set[str], page_size: int, concurrency: int, window: int) -> None:
    files = {f"{name}.x" for name in names}

    assert list_tree(Tree(files, page_size), concurrency=concurrency, window=window) == sorted(files)


def test_many_folders_are_listed_at_once_and_each_page_is_asked_for_once() -> None:
    tree, all_here = Tree(DAYS), threading.Barrier(4)
    needed = 1 + 2 * 10 + 60 * 2  # years, days in pages of three, five objects a day in pages of three

    def meet(number: int) -> None:
        # Once everybody is busy, all go on: the listing ends only if that many requests are really made at once.
        if 20 <= number < 24:
            all_here.wait(20)

    tree.before_page = meet

    assert list_tree(tree) == sorted(DAYS)
    assert (tree.made, tree.most_at_once) == (needed, 4)


def test_what_is_ahead_is_bounded_while_the_walk_waits() -> None:
    tree = Tree(DAYS)
    with FoldersAhead(tree.page, tree, concurrency=4, window_entries=30) as ahead:
        keys = walk(ahead)
        first = next(keys)  # then nothing is taken, and the threads fill what room there is
        settled, last = threading.Event(), -1
        while last != tree.made:  # until nothing more is asked for
            last = tree.made
            settled.wait(0.1)

        assert tree.made <= 30 / 2 + 4 + 3  # pages of two or three entries, what is in flight, what was walked
        assert [first, *keys] == sorted(DAYS)
