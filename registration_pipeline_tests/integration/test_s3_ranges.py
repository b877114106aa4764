"""Listing a bucket in many places at once over HTTP, and what becomes of it when the store fails midway."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from registration_pipeline.errors import CredentialsError, HaltError, ListingError, ServiceUnavailableError
from registration_pipeline.inventory.inventory import latest_inventory, read_inventory, take_inventory
from registration_pipeline.inventory.s3.lister import S3Lister
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.integration.listing_store import ListingStore, Reply, error_body, running

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Interfere = Callable[[int, Mapping[str, str], Reply], Reply]

    from registration_pipeline_tests.conftest import S3Bucket

pytestmark = pytest.mark.slow

KEYS = [f"raw/camera-{number // 100:03d}/é +%{number % 100:03d}.jpg" for number in range(3_000)]
NOW = datetime(2026, 11, 21, 2, tzinfo=UTC)
MIDWAY = 30


def lister_of(store: ListingStore, client: Any = None, **options: Any) -> S3Lister:
    chosen: dict[str, Any] = {"page_size": 50, "fan_out_after": 100, "concurrency": 6, "source": "fleet"} | options
    return S3Lister(client or store.client(), "bucket", **chosen)


def keys_of(lister: S3Lister) -> list[str]:
    return [key for batch in lister.list_objects() for key in batch.column("key").to_pylist()]


@pytest.mark.parametrize("concurrency", [1, 2, 16])
def test_all_keys_come_in_order_however_many_requests_there_are_at_once(aws_environment: str, concurrency: int) -> None:
    with running(ListingStore(KEYS)) as store:
        lister = lister_of(store, concurrency=concurrency)

        assert keys_of(lister) == KEYS
        assert lister.requests == len(store.asked)
        assert (len(store.asked) == len(KEYS) / 50) is (concurrency == 1)
        assert any("start-after" in asked for asked in store.asked) is (concurrency > 1)


def test_moto_lists_hostile_keys_from_many_places(s3_bucket: Callable[[], S3Bucket]) -> None:
    bucket = s3_bucket()
    keys = sorted(
        f"{name}{number:02d}" for name in ("a b/", "a+b/", "a%2F", "é\t", "\U0001f600", "dbl//") for number in range(40)
    )
    backend = s3_backends[DEFAULT_ACCOUNT_ID][
        "aws"
    ]  # moto's server is in this process; over HTTP these would take seconds
    for key in keys:
        backend.put_object(bucket.name, key, b"x")

    lister = S3Lister(bucket.client, bucket.name, page_size=5, fan_out_after=10, concurrency=4)

    assert keys_of(lister) == keys
    assert lister.requests > len(keys) / 5


@pytest.mark.parametrize("concurrency", [1, 6])
def test_key_ranges_list_every_key_once_between_them(aws_environment: str, concurrency: int) -> None:
    with running(ListingStore(KEYS)) as store:
        lister = lister_of(store, concurrency=concurrency)
        ends = [None, *lister.boundaries(4), KEYS[17], KEYS[17] + "\x00", "zzz", None]
        ends[1:-1] = sorted({end for end in ends if end is not None})
        ranges = [lister.between(after, until) for after, until in pairwise(ends)]

        found = [keys_of(one) for one in ranges]

        assert len(lister.boundaries(4)) == 3
        assert [key for keys in found for key in keys] == KEYS
        assert sum(one.requests for one in ranges) + lister.requests == len(store.asked)


def test_a_small_bucket_costs_no_request_more(aws_environment: str) -> None:
    with running(ListingStore(KEYS[:2_000])) as store:
        lister = S3Lister(store.client(), "bucket")

        assert keys_of(lister) == KEYS[:2_000]
        assert [sorted(asked) for asked in store.asked] == [
            ["encoding-type", "list-type", "max-keys", "method", "prefix"],
            ["continuation-token", "encoding-type", "list-type", "max-keys", "method", "prefix"],
        ]


def slow_down(number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
    return Reply(503, error_body("SlowDown")) if number > MIDWAY and number % 10 == 0 else reply


def cut(number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
    if number > MIDWAY and number % 10 == 0:
        reply.sent_bytes = len(reply.body) * 2 // 3
    return reply


def cut_before_any_byte(number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
    if number > MIDWAY and number % 10 == 0:
        reply.sent_bytes = 0
    return reply


@pytest.mark.parametrize("interfere", [slow_down, cut, cut_before_any_byte], ids=["503", "cut", "cut before the body"])
def test_what_passes_by_itself_is_tried_again_and_the_listing_is_whole(
    aws_environment: str, interfere: Interfere
) -> None:
    with running(ListingStore(KEYS, interfere)) as store:
        lister = lister_of(store)

        assert keys_of(lister) == KEYS
        assert lister.requests == len(store.asked)


def always(reply: Reply) -> Interfere:
    return lambda number, _asked, real: reply if number > MIDWAY else real


def always_cut(number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
    if number > MIDWAY:
        reply.sent_bytes = len(reply.body) * 2 // 3
    return reply


@pytest.mark.parametrize(
    ("interfere", "error"),
    [
        (always(Reply(503, error_body("SlowDown"))), ServiceUnavailableError),
        (always(Reply(500, error_body("InternalError"))), ServiceUnavailableError),
        (always_cut, ServiceUnavailableError),
        (always(Reply(400, error_body("ExpiredToken"))), CredentialsError),
        (always(Reply(200, error_body("InternalError"))), ServiceUnavailableError),
    ],
    ids=["503", "500", "cut", "expired token", "error with status 200"],
)
def test_what_lasts_ends_the_listing_and_leaves_no_inventory(
    aws_environment: str, tmp_path: Path, interfere: Interfere, error: type[HaltError]
) -> None:
    state = LocalStateStore(tmp_path)
    with running(ListingStore(KEYS, interfere)) as store:
        with pytest.raises(error):
            take_inventory(
                lister=lister_of(store, store.client(attempts=1)), store=state, source="fleet", clock=lambda: NOW
            )
        assert latest_inventory(state, "fleet") is None

        store.interfere = lambda _number, _asked, reply: reply
        again = take_inventory(lister=lister_of(store), store=state, source="fleet", clock=lambda: NOW)

    assert [key for batch in read_inventory(state, again) for key in batch.column("key").to_pylist()] == KEYS


def without(parameter: str, store: ListingStore) -> Interfere:
    return lambda _number, asked, _reply: store.page({key: asked[key] for key in asked if key != parameter})


def test_a_store_that_ignores_where_to_start_is_refused_with_the_way_out(aws_environment: str) -> None:
    with running(ListingStore(KEYS)) as store:
        store.interfere = without("start-after", store)
        with pytest.raises(ListingError, match=r"asked for keys after .*fleet\.storage\.concurrency` to 1"):
            keys_of(lister_of(store))

        assert keys_of(lister_of(store, concurrency=1)) == KEYS


def test_a_store_that_ignores_the_prefix_is_refused(aws_environment: str) -> None:
    with running(ListingStore(KEYS)) as store:
        store.interfere = without("prefix", store)
        with pytest.raises(ListingError, match="do not start with the prefix"):
            keys_of(S3Lister(store.client(), "bucket", "raw/camera-001/"))


def test_a_lister_lists_as_often_as_it_is_asked_to(aws_environment: str) -> None:
    refused: list[int] = []

    def refuse_the_second_beginning(number: int, asked: Mapping[str, str], reply: Reply) -> Reply:
        if number == 1 or refused or {"continuation-token", "start-after", "delimiter"} & set(asked):
            return reply
        refused.append(number)
        return Reply(503, error_body("SlowDown"))

    with running(ListingStore(KEYS[:1_000], refuse_the_second_beginning)) as store:
        lister = lister_of(store)

        assert keys_of(lister) == keys_of(lister) == KEYS[:1_000]
        assert refused


def test_a_store_that_gives_a_page_twice_is_refused(aws_environment: str) -> None:
    def again(_number: int, asked: Mapping[str, str], reply: Reply) -> Reply:
        # A page from before, whose own token was not the one that is asked for.
        return (
            store.page({**asked, "continuation-token": "900"}) if asked.get("continuation-token") == "1050" else reply
        )

    with running(ListingStore(KEYS, again)) as store, pytest.raises(ListingError, match="lists a page again"):
        keys_of(lister_of(store, concurrency=1))


@pytest.mark.parametrize("concurrency", [1, 6])
def test_a_store_that_is_out_of_order_within_a_page_is_refused(aws_environment: str, concurrency: int) -> None:
    shuffled = [*KEYS[:1_510], KEYS[1_511], KEYS[1_510], *KEYS[1_512:]]
    with (
        running(ListingStore(shuffled)) as store,
        pytest.raises(ListingError, match=r"(not list in key order|can't be listed in many places)"),
    ):
        keys_of(lister_of(store, concurrency=concurrency))


def test_the_region_of_the_bucket_is_found_by_itself_and_remembered(aws_environment: str) -> None:
    def only_there(_number: int, asked: Mapping[str, str], reply: Reply) -> Reply:
        if "/ap-south-1/s3/" in str(store.headers[-1]["Authorization"]):
            return reply
        headers = {"x-amz-bucket-region": "ap-south-1"}
        if asked["method"] == "HEAD":
            return Reply(400, b"", headers)
        return Reply(400, error_body("AuthorizationHeaderMalformed", "<Region>ap-south-1</Region>"), headers)

    keys = KEYS[:150]
    with running(ListingStore(keys, only_there)) as store:
        assert keys_of(lister_of(store, store.client(region=None), concurrency=1)) == keys
        wrong = [headers for headers in store.headers if "/ap-south-1/" not in str(headers["Authorization"])]

    assert len(store.asked) - len(wrong) == 3
    assert len(wrong) <= 2
