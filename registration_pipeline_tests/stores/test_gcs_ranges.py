"""Google's listing in many places at once: exact beside the provider's own client, and what odd stores make of it."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.auth.credentials import AnonymousCredentials, Credentials
from google.cloud import storage
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import ListingError, ServiceUnavailableError
from registration_pipeline.inventory.gcs.lister import GCSLister
from registration_pipeline.inventory.gcs.requests import GCSRequests
from registration_pipeline.inventory.lister import DivisibleLister
from registration_pipeline.project.clients.gcs import keep_connections, open_gcs
from registration_pipeline_tests.answers import server
from registration_pipeline_tests.doses import examples
from registration_pipeline_tests.stores.gcs_imitation import JSON, bucket_of
from registration_pipeline_tests.stores.hostile_keys import HOSTILE_KEYS
from registration_pipeline_tests.stores.listings import (
    NUMBERED,
    Throttling,
    counted,
    keys_by_ranges,
    keys_of,
    meeting,
    parts_of,
)

if TYPE_CHECKING:
    from registration_pipeline_tests.answers import Answer

pytestmark = pytest.mark.slow


def lister_at(endpoint: str, **options: Any) -> GCSLister:
    client = open_gcs(endpoint_url=endpoint)
    keep_connections(client, 8)
    options = {"page_size": 10, "concurrency": 8, "fan_out_after": 1, "retry_seconds": 0.2} | options
    return GCSLister(client, "bucket", source="fleet", **options)


def listed_by_google(endpoint: str, prefix: str = "") -> list[str]:
    anonymous: Any = AnonymousCredentials
    client = storage.Client(project="p", credentials=anonymous(), client_options={"api_endpoint": endpoint})
    return [blob.name for blob in client.list_blobs("bucket", prefix=prefix, page_size=7)]


@pytest.mark.parametrize("page_size", [1, 2, 7])
@pytest.mark.parametrize("prefix", ["", "a", "\U0001f600"])
def test_hostile_keys_are_those_of_googles_own_client(page_size: int, prefix: str) -> None:
    asked: list[dict[str, str]] = []
    with server(counted(bucket_of(HOSTILE_KEYS), asked)) as endpoint:
        expected = listed_by_google(endpoint, prefix)
        asked.clear()

        assert keys_of(lister_at(endpoint, prefix=prefix, page_size=page_size)) == expected
    if not prefix:
        assert any("startOffset" in query for query in asked)


# Characters from all lengths of UTF-8, the ends of the alphabet, and those that guesses are made of.
NAMES = st.sets(
    st.text(st.sampled_from("\x01!/09aé\ud7ff\ue000\uffff\U00010000\U0010ffff"), min_size=1, max_size=4), min_size=2
)


@settings(max_examples=examples(10, thorough=100))
@given(keys=NAMES, page_size=st.integers(1, 3))
def test_any_keys_come_once_and_in_order(keys: set[str], page_size: int) -> None:
    with server(bucket_of(keys)) as endpoint:
        assert keys_of(lister_at(endpoint, page_size=page_size)) == sorted(keys)


def test_pages_are_asked_for_at_once_and_few_are_wasted() -> None:
    asked: list[dict[str, str]] = []
    with server(meeting(bucket_of(NUMBERED), asked, threads=4, after=8)) as endpoint:
        lister = lister_at(endpoint, concurrency=4)

        assert keys_of(lister) == NUMBERED
    assert lister.requests == len(asked) <= 1.5 * 30 + 8


def test_a_store_that_throttles_gets_fewer_requests_and_everything_is_listed() -> None:
    busy = (429, json.dumps({"error": {"code": 429, "message": "slow down"}}), JSON)
    store = Throttling(bucket_of(NUMBERED), busy)

    with server(store) as endpoint:
        # No repetition of the library's own: the lister asks for the page again, with fewer at once.
        assert keys_of(lister_at(endpoint, retry_seconds=0.001)) == NUMBERED
    assert store.refused


def test_a_store_that_is_busy_for_good_halts() -> None:
    answer, made = bucket_of(NUMBERED), [0]

    def refuse(query: dict[str, str]) -> Answer:
        made[0] += 1
        return answer(query) if made[0] < 10 else (503, "{}", JSON)

    with server(refuse) as endpoint, pytest.raises(ServiceUnavailableError, match=r"\(503\), after retries"):
        keys_of(lister_at(endpoint, retry_seconds=0.001))


def test_a_store_that_can_not_start_at_a_key_is_refused_and_listed_page_by_page() -> None:
    answer = bucket_of(NUMBERED)

    def deaf(query: dict[str, str]) -> Answer:
        return answer({name: value for name, value in query.items() if name != "startOffset"})

    with server(deaf) as endpoint:
        with pytest.raises(ListingError, match=r"sources\.fleet\.storage\.concurrency` to 1"):
            keys_of(lister_at(endpoint))
        assert keys_of(lister_at(endpoint, concurrency=1)) == NUMBERED


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["b", "a"], "'a' comes after 'b'"),
        (["a", "a"], "'a' comes after 'a'"),
        (["other"], "do not start with the prefix"),
    ],
    ids=["disorder", "twins", "another prefix"],
)
def test_a_page_that_can_not_be_right_is_refused(names: list[str], words: str) -> None:
    item = {"size": "5", "updated": "2026-11-21T02:00:00Z"}
    body = json.dumps({"kind": "storage#objects", "items": [{"name": name, **item} for name in names]})
    prefix = "raw/" if names == ["other"] else ""
    with server(lambda _: (200, body, JSON)) as endpoint, pytest.raises(ListingError, match=words):
        keys_of(lister_at(endpoint, prefix=prefix))


@pytest.mark.parametrize(
    "page",
    [{"prefixes": [5]}, {"prefixes": ["\ud800/"]}, {"items": {"name": "a"}}, {"prefixes": "a/"}, {"nextPageToken": 5}],
    ids=["a number", "half a character", "items that are none", "a text", "a token that is none"],
)
def test_a_level_that_google_would_not_send_is_refused(page: dict[str, Any]) -> None:
    body = json.dumps({"kind": "storage#objects", **page})
    with server(lambda _: (200, body, JSON)) as endpoint, pytest.raises(ListingError, match="does not speak Google"):
        GCSRequests(open_gcs(endpoint_url=endpoint), "bucket").level("", None)


class Expiring(Credentials):
    """Credentials that are expired at first and take their time to renew; they count how often they do."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.renewed = 0

    def refresh(self, request: Any) -> None:
        del request
        self.renewed += 1
        threading.Event().wait(0.05)
        self.token = f"token-{self.renewed}"
        self.expiry = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None)


def test_a_token_that_expires_under_way_is_renewed_once_for_all_threads() -> None:
    answer, asked, credentials = bucket_of(NUMBERED), [0], Expiring()

    def expire(query: dict[str, str]) -> Answer:
        asked[0] += 1
        if asked[0] == 12:
            credentials.expiry = datetime(2026, 1, 1)  # noqa: DTZ001 - google-auth's own times are naive
        return answer(query)

    with server(expire) as endpoint:
        client = storage.Client(project="p", credentials=credentials, client_options={"api_endpoint": endpoint})

        assert keys_of(GCSLister(client, "bucket", page_size=10, concurrency=8, fan_out_after=1)) == NUMBERED
    assert credentials.renewed == 2


@settings(max_examples=examples(4, thorough=40))
@given(keys=NAMES, borders=NAMES, page_size=st.integers(1, 3))
def test_the_ranges_of_any_borders_make_the_whole_listing(keys: set[str], borders: set[str], page_size: int) -> None:
    with server(bucket_of(keys)) as endpoint:
        assert keys_by_ranges(lister_at(endpoint, page_size=page_size, concurrency=2), borders) == sorted(keys)


def test_a_bucket_is_divided_into_ranges_of_about_the_same_size() -> None:
    with server(bucket_of(NUMBERED)) as endpoint:
        lister = lister_at(endpoint, page_size=5, concurrency=2)
        assert isinstance(lister, DivisibleLister)
        borders = lister.boundaries(4)
        parts = parts_of(lister, borders)

    assert 2 <= len(borders) <= 3
    assert [key for part in parts for key in part] == NUMBERED
    assert max(map(len, parts)) < 0.6 * len(NUMBERED)
