"""The threads of a listing, whatever they list: failures are raised, throttling slows them down, and none is left."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from registration_pipeline.errors import CredentialsError, HaltError, PermissionDeniedError, ServiceUnavailableError
from registration_pipeline.inventory.ranges.threads import ListingThreads
from registration_pipeline_tests.unit.inventory.ranges.paged_stores import (
    DAYS,
    HOSTILE,
    Store,
    Tree,
    batches_of,
    list_ranges,
    list_tree,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline_tests.unit.inventory.ranges.paged_stores import PagedStore


class Listing(NamedTuple):
    """A store that takes some hundred requests, and what lists it with so many at once."""

    store: PagedStore
    keys: Callable[[int], list[str]]


def key_ranges() -> Listing:
    store = Store(HOSTILE["flat counter"], page_size=5)
    return Listing(store, lambda concurrency: list_ranges(store, concurrency=concurrency))


def folders() -> Listing:
    tree = Tree(DAYS)
    return Listing(tree, lambda concurrency: list_tree(tree, concurrency=concurrency))


@pytest.fixture(params=[key_ranges, folders], ids=["key ranges", "folders"])
def listing(request: pytest.FixtureRequest) -> Listing:
    found: Listing = request.param()
    return found


def listing_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("listing-")]


@pytest.mark.parametrize(
    "error",
    [PermissionDeniedError("no"), CredentialsError("expired"), ServiceUnavailableError("gone"), MemoryError()],
    ids=["not allowed", "credentials", "unavailable", "no error of ours"],
)
def test_any_failure_is_raised_and_the_threads_end(listing: Listing, error: Exception) -> None:
    def fail(number: int) -> None:
        if number == 40:
            raise error

    listing.store.before_page = fail

    with pytest.raises(type(error)) as caught:
        listing.keys(4)

    assert caught.value is error
    assert listing_threads() == []


def test_threads_that_die_are_noticed(listing: Listing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ListingThreads, "_work_until_done", lambda _: None)

    with pytest.raises(HaltError, match="died"):
        listing.keys(2)


def test_a_reader_that_stops_ends_the_threads() -> None:
    batches = iter(batches_of(Store(HOSTILE["flat counter"]), 4, 1_000_000))
    next(batches)
    next(batches)
    batches.close()  # type: ignore[attr-defined]

    assert listing_threads() == []


def test_a_store_that_throttles_gets_fewer_requests_at_once_and_everything_is_listed(listing: Listing) -> None:
    store, refused = listing.store, list[int]()

    def refuse(number: int) -> None:
        time.sleep(0.002)  # or a busy machine lets one request end before the next begins, and there are never several
        if number > 1 and store.at_once > 1 and len(refused) < 20:
            refused.append(store.at_once)
            store.throttle()
            raise ServiceUnavailableError("SlowDown, after retries")

    store.before_page = refuse

    assert listing.keys(8) == store.keys
    assert refused


def test_a_store_that_throttles_a_single_request_at_once_halts(listing: Listing) -> None:
    def refuse(number: int) -> None:
        if number > 30:
            listing.store.throttle()
            raise ServiceUnavailableError("SlowDown, after retries")

    listing.store.before_page = refuse

    with pytest.raises(ServiceUnavailableError):
        listing.keys(8)
    assert listing.store.at_once == 0
