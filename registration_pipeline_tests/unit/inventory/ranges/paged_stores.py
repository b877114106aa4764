"""Stores in memory that page like a real one, for listers of many places at once, and hostile distributions of keys."""

from __future__ import annotations

import threading
from bisect import bisect_right
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.inventory.ranges.folders_ahead import FoldersAhead
from registration_pipeline.inventory.ranges.key_space import KeySpace
from registration_pipeline.inventory.ranges.lister import KeyRange, RangeLister
from registration_pipeline.inventory.ranges.page import Page
from registration_pipeline.inventory.schema import inventory_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

SEVERAL = 4


class PagedStore:
    """Counts requests. ``before_page`` is called in the thread of each, with its number, and may raise."""

    def __init__(self, keys: Iterable[str], page_size: int) -> None:
        self.keys, self.page_size = sorted(set(keys)), page_size
        self.made, self.most_at_once, self.at_once = 0, 0, 0
        self.on_throttle: Callable[[], None] = lambda: None
        self.before_page: Callable[[int], None] = lambda _: None
        self._lock, self._mine = threading.Lock(), threading.local()

    @property
    def was_throttled(self) -> bool:
        return bool(self._mine.was_throttled)

    def throttle(self) -> None:
        self._mine.was_throttled = True
        self.on_throttle()

    @contextmanager
    def request(self) -> Iterator[None]:
        self._mine.was_throttled = False
        with self._lock:
            self.made += 1
            number = self.made
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.before_page(number)
            yield
        finally:
            with self._lock:
                self.at_once -= 1


class Store(PagedStore):
    """Pages of sorted keys, as S3 gives them."""

    def __init__(self, keys: Iterable[str], page_size: int = 10, prefix: str = "") -> None:
        super().__init__(keys, page_size)
        self.prefix = prefix

    def page(self, *, after: str = "", token: str | None = None) -> Page:
        with self.request():
            start = int(token) if token is not None else bisect_right(self.keys, after)
            keys = self.keys[start : start + self.page_size]
            end = start + len(keys)
            batch = inventory_batch(keys=keys, sizes=[1] * len(keys), last_modified=[0] * len(keys))
            more = str(end) if end < len(self.keys) else None
            return Page(batch, keys[0] if keys else None, keys[-1] if keys else None, more)

    def folders(self, prefix: str) -> list[str]:
        rests = (key[len(prefix) :] for key in self.keys if key.startswith(prefix))
        return sorted({prefix + rest[: rest.index("/") + 1] for rest in rests if "/" in rest})[:1000]


def list_ranges(store: Store, *, concurrency: int = SEVERAL, window_bytes: int = 1_000_000) -> list[str]:
    return [key for batch in batches_of(store, concurrency, window_bytes) for key in batch.column("key").to_pylist()]


def batches_of(store: Store, concurrency: int, window_bytes: int) -> Iterable[pa.RecordBatch]:
    space, first = KeySpace(store.prefix), store.page()
    assert first.last is not None
    assert first.token is not None
    yield first.batch
    space.learn((first.first or "", first.last))
    rest = KeyRange(first.last, None, first.token)
    with RangeLister(store, space, rest, concurrency=concurrency, window_bytes=window_bytes) as ranges:
        yield from ranges.batches()


@dataclass(frozen=True)
class Level:
    """One page of what lies directly in a folder."""

    objects: Sequence[str]
    folders: Sequence[str]
    marker: str | None

    def __len__(self) -> int:
        return len(self.objects) + len(self.folders)


class Tree(PagedStore):
    """Pages of folders and their objects, as a delimiter gives them."""

    def __init__(self, keys: Iterable[str], page_size: int = 3) -> None:
        super().__init__(keys, page_size)

    def page(self, folder: str, marker: str | None) -> Level:
        with self.request():
            rests = [key[len(folder) :] for key in self.keys if key.startswith(folder)]
            entries = sorted({folder + rest[: rest.find("/") + 1] if "/" in rest else folder + rest for rest in rests})
            start = int(marker or "0")
            part = entries[start : start + self.page_size]
            more = str(start + len(part)) if start + len(part) < len(entries) else None
            folders = [entry for entry in part if entry.endswith("/")]
            return Level([entry for entry in part if not entry.endswith("/")], folders, more)


def list_tree(tree: Tree, *, concurrency: int = SEVERAL, window: int = 1_000) -> list[str]:
    with FoldersAhead(tree.page, tree, concurrency=concurrency, window_entries=window) as ahead:
        return list(walk(ahead))


def walk(ahead: FoldersAhead[Level], folder: str = "") -> Iterator[str]:
    for page in ahead.pages(folder):
        for entry in sorted([*page.objects, *page.folders]):
            if entry.endswith("/"):
                yield from walk(ahead, entry)
            else:
                yield entry


DAYS = [f"{year}/{day:02d}/{number}.jpg" for year in (2025, 2026) for day in range(30) for number in range(5)]
"""Folders in folders, with few objects in each."""

HOSTILE = {
    "flat counter": [f"raw/img_{number:07d}.jpg" for number in range(2_000)],
    "counter without zeros": [f"raw/img_{number}.jpg" for number in range(2_000)],
    "long common prefix": ["p" * 900 + f"/{number:05d}" for number in range(1_000)],
    "one huge folder": [
        *(f"small-{number}/x" for number in range(50)),
        *(f"huge/{number:06d}.png" for number in range(3_000)),
    ],
    "many folders": [f"customer {a}/{b}/x.jpg" for a in range(300) for b in range(5)],
    "deep": [f"{a}/{b}/{c}/{d}.jpg" for a in "xy" for b in range(10) for c in range(10) for d in range(10)],
    "keys that begin keys": ["a" * length for length in range(1, 900)],
    "double slashes": [f"a{'/' * (number % 7)}{number}" for number in range(1_500)],
    "beyond U+FFFF": [
        *(f"\U0001f600/{number}" for number in range(500)),
        *(f"\uffff/{number}" for number in range(500)),
        *(f"\U0010ffff{number}" for number in range(300)),
    ],
    "unicode": [f"{chr(first)}/{chr(second)}" for first in range(0x3040, 0x3080) for second in range(0x4E00, 0x4E10)],
    "two far ends": [*(f"!{number:04d}" for number in range(700)), *(f"~{number:04d}" for number in range(700))],
    "hexadecimal": [f"{number * 2_654_435_761 % 2**32:08x}" for number in range(3_000)],
}
