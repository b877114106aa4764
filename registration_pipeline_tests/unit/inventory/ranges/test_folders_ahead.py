"""Listing folders ahead of a walk, against a tree in memory that pages like a store."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import HaltError, PermissionDeniedError, ServiceUnavailableError
from registration_pipeline.inventory.ranges.folders_ahead import FoldersAhead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


@dataclass(frozen=True)
class Page:
    objects: Sequence[str]
    folders: Sequence[str]
    marker: str | None

    def __len__(self) -> int:
        return len(self.objects) + len(self.folders)


class Tree:
    """Folders and their objects. ``before_page`` is called in the thread of each request, with its number, and may raise."""

    def __init__(self, keys: Iterable[str], page_size: int = 3) -> None:
        self.keys, self.page_size = sorted(set(keys)), page_size
        self.made, self.most_at_once, self._at_once = 0, 0, 0
        self.on_throttle: Callable[[], None] = lambda: None
        self.before_page: Callable[[int], None] = lambda _: None
        self._lock, self._mine = threading.Lock(), threading.local()

    @property
    def was_throttled(self) -> bool:
        return bool(self._mine.was_throttled)

    def throttle(self) -> None:
        self._mine.was_throttled = True
        self.on_throttle()

    def page(self, folder: str, marker: str | None) -> Page:
        self._mine.was_throttled = False
        with self._lock:
            self.made += 1
            number = self.made
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self.before_page(number)
            rests = [key[len(folder) :] for key in self.keys if key.startswith(folder)]
            entries = sorted({folder + rest[: rest.find("/") + 1] if "/" in rest else folder + rest for rest in rests})
            start = int(marker or "0")
            part = entries[start : start + self.page_size]
            more = str(start + len(part)) if start + len(part) < len(entries) else None
            folders = [entry for entry in part if entry.endswith("/")]
            return Page([entry for entry in part if not entry.endswith("/")], folders, more)
        finally:
            with self._lock:
                self._at_once -= 1


def walk(ahead: FoldersAhead[Page], folder: str = "") -> Iterator[str]:
    for page in ahead.pages(folder):
        for entry in sorted([*page.objects, *page.folders]):
            if entry.endswith("/"):
                yield from walk(ahead, entry)
            else:
                yield entry


def list_all(tree: Tree, *, concurrency: int = 4, window: int = 1_000) -> list[str]:
    with FoldersAhead(tree.page, tree, concurrency=concurrency, window_entries=window) as ahead:
        return list(walk(ahead))


MANY = [f"{year}/{day:02d}/{number}.jpg" for year in (2025, 2026) for day in range(30) for number in range(5)]
KEYS = st.sets(st.lists(st.sampled_from(["a", "b", "c-", "d"]), min_size=1, max_size=4).map("/".join), max_size=40)


@settings(max_examples=60)
@given(names=KEYS, page_size=st.integers(1, 3), concurrency=st.integers(1, 5), window=st.sampled_from([1, 5, 1_000]))
def test_any_tree_comes_once_and_in_order(names: set[str], page_size: int, concurrency: int, window: int) -> None:
    files = {f"{name}.x" for name in names}

    assert list_all(Tree(files, page_size), concurrency=concurrency, window=window) == sorted(files)


def test_many_folders_are_listed_at_once_and_each_page_is_asked_for_once() -> None:
    tree, all_here = Tree(MANY), threading.Barrier(4)
    needed = 1 + 2 * 10 + 60 * 2  # years, days in pages of three, five objects a day in pages of three

    def meet(number: int) -> None:
        # Once everybody is busy, all go on: the listing ends only if that many requests are really made at once.
        if 20 <= number < 24:
            all_here.wait(20)

    tree.before_page = meet

    assert list_all(tree) == sorted(MANY)
    assert (tree.made, tree.most_at_once) == (needed, 4)


def test_what_is_ahead_is_bounded_while_the_walk_waits() -> None:
    tree = Tree(MANY)
    with FoldersAhead(tree.page, tree, concurrency=4, window_entries=30) as ahead:
        keys = walk(ahead)
        first = next(keys)  # then nothing is taken, and the threads fill what room there is
        settled, last = threading.Event(), -1
        while last != tree.made:  # until nothing more is asked for
            last = tree.made
            settled.wait(0.1)

        assert tree.made <= 30 / 2 + 4 + 3  # pages of two or three entries, what is in flight, what was walked
        assert [first, *keys] == sorted(MANY)


@pytest.mark.parametrize("error", [PermissionDeniedError("no"), ServiceUnavailableError("gone"), MemoryError()])
def test_any_failure_is_raised_and_the_threads_end(error: Exception) -> None:
    tree = Tree(MANY)

    def fail(number: int) -> None:
        if number == 40:
            raise error

    tree.before_page = fail

    with pytest.raises(type(error)) as caught:
        list_all(tree)

    assert caught.value is error
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("listing-")]


def test_threads_that_die_are_noticed() -> None:
    class Dying(FoldersAhead[Page]):
        def _work_until_stopped(self) -> None:
            """End at once."""

    tree = Tree(MANY)

    with pytest.raises(HaltError, match="died"), Dying(tree.page, tree, concurrency=2) as ahead:
        list(walk(ahead))


@pytest.mark.parametrize("is_for_good", [False, True], ids=["for a while", "for good"])
def test_a_store_that_throttles_gets_fewer_requests_and_halts_only_if_one_is_too_many(*, is_for_good: bool) -> None:
    tree, refused = Tree(MANY), [0]

    def refuse(number: int) -> None:
        if number > 30 and (is_for_good or (tree._at_once > 1 and refused[0] < 20)):
            refused[0] += 1
            tree.throttle()
            raise ServiceUnavailableError("ServerBusy, after retries")
        threading.Event().wait(0.001)

    tree.before_page = refuse

    if is_for_good:
        with pytest.raises(ServiceUnavailableError):
            list_all(tree)
    else:
        assert list_all(tree) == sorted(MANY)
        assert refused[0]
