"""Listing many key ranges at once, against a store in memory that pages like S3 and holds hostile distributions of keys."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import CredentialsError, HaltError, PermissionDeniedError, ServiceUnavailableError
from registration_pipeline.inventory.ranges.key_space import KeySpace
from registration_pipeline.inventory.ranges.lister import KeyRange, RangeLister
from registration_pipeline.inventory.ranges.page import Page
from registration_pipeline.inventory.schema import inventory_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pyarrow as pa

SEVERAL = 4


class Store:
    """Pages of sorted keys. ``before_page`` is called in the thread of each request, with its number, and may raise."""

    def __init__(self, keys: Iterable[str], page_size: int = 10, prefix: str = "") -> None:
        self.keys, self.page_size, self.prefix = sorted(set(keys)), page_size, prefix
        self.made, self.most_at_once, self._at_once = 0, 0, 0
        self.on_throttle: Callable[[], None] = lambda: None
        self.before_page: Callable[[int], None] = lambda _: None
        self._lock, self._told = threading.Lock(), threading.local()

    @property
    def was_throttled(self) -> bool:
        return bool(self._told.was_throttled)

    def throttle(self) -> None:
        self._told.was_throttled = True
        self.on_throttle()

    def page(self, *, after: str = "", token: str | None = None) -> Page:
        self._told.was_throttled = False
        with self._lock:
            self.made += 1
            number = self.made
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self.before_page(number)
            start = int(token) if token is not None else bisect_right(self.keys, after)
            keys = self.keys[start : start + self.page_size]
            end = start + len(keys)
            batch = inventory_batch(keys=keys, sizes=[1] * len(keys), last_modified=[0] * len(keys))
            more = str(end) if end < len(self.keys) else None
            return Page(batch, keys[0] if keys else None, keys[-1] if keys else None, more)
        finally:
            with self._lock:
                self._at_once -= 1

    def folders(self, prefix: str) -> list[str]:
        rests = (key[len(prefix) :] for key in self.keys if key.startswith(prefix))
        return sorted({prefix + rest[: rest.index("/") + 1] for rest in rests if "/" in rest})[:1000]


def list_all(store: Store, *, concurrency: int = SEVERAL, window_bytes: int = 1_000_000) -> list[str]:
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


@pytest.mark.parametrize("keys", HOSTILE.values(), ids=HOSTILE)
def test_every_key_comes_once_and_in_order(keys: list[str]) -> None:
    store = Store(keys)

    assert list_all(store) == store.keys


@settings(max_examples=60)
@given(
    st.sets(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), min_size=4, max_size=120),
    st.integers(1, 3),
    st.integers(2, 6),
    st.sampled_from([1, 500, 1_000_000]),
)
def test_any_keys_come_once_and_in_order(keys: set[str], page_size: int, concurrency: int, window_bytes: int) -> None:
    store = Store(keys, page_size)

    assert list_all(store, concurrency=concurrency, window_bytes=window_bytes) == store.keys


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

    assert list_all(store) == store.keys
    assert store.most_at_once == SEVERAL
    assert store.made <= 1.5 * needed + 2 * SEVERAL


def test_keys_that_defy_guessing_cost_a_bounded_number_of_requests() -> None:
    # Between all neighbours there is room for guesses, and nothing there.
    store = Store(("a" * (number % 40) + chr(0x4E00 + number) + "z" * 20 for number in range(1_000)), page_size=1)
    listed = list_all(store)

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


@pytest.mark.parametrize(
    "error", [PermissionDeniedError("no"), CredentialsError("expired"), ServiceUnavailableError("gone"), MemoryError()]
)
def test_any_failure_is_raised_and_the_threads_end(error: Exception) -> None:
    store = Store(HOSTILE["flat counter"])

    def fail(number: int) -> None:
        if number == 50:
            raise error

    store.before_page = fail

    with pytest.raises(type(error)) as caught:
        list_all(store)

    assert caught.value is error
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("listing-")]


def test_threads_that_die_are_noticed() -> None:
    class Dying(RangeLister):
        def _work_until_done(self) -> None:
            """End at once."""

    store = Store(HOSTILE["flat counter"])
    lister = Dying(store, KeySpace(), KeyRange("", None), concurrency=2)

    with pytest.raises(HaltError, match="died"), lister:
        list(lister.batches())


def test_a_reader_that_stops_ends_the_threads() -> None:
    store = Store(HOSTILE["flat counter"])
    batches = iter(batches_of(store, SEVERAL, 1_000_000))
    next(batches)
    next(batches)
    batches.close()  # type: ignore[attr-defined]

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("listing-")]


def test_a_store_that_throttles_gets_fewer_requests_at_once_and_everything_is_listed() -> None:
    store = Store(HOSTILE["flat counter"], page_size=5)
    refused: list[int] = []

    def refuse(number: int) -> None:
        time.sleep(0.002)  # or a busy machine lets one request end before the next begins, and there are never three
        if store._at_once > 2 and len(refused) < 40:
            refused.append(number)
            store.throttle()
            raise ServiceUnavailableError("SlowDown, after retries")

    store.before_page = refuse

    assert list_all(store, concurrency=8) == store.keys
    assert refused


def test_a_store_that_throttles_a_single_request_at_once_halts() -> None:
    store = Store(HOSTILE["flat counter"])

    def refuse(number: int) -> None:
        if number > 30:
            store.throttle()
            raise ServiceUnavailableError("SlowDown, after retries")

    store.before_page = refuse

    with pytest.raises(ServiceUnavailableError):
        list_all(store, concurrency=8)


def test_a_policy_that_forbids_looking_for_folders_does_no_harm() -> None:
    class Forbidden(Store):
        def folders(self, prefix: str) -> list[str]:
            raise PermissionDeniedError(prefix)

    store = Forbidden(HOSTILE["many folders"])

    assert list_all(store) == store.keys
