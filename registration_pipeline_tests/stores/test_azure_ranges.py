"""Azure's listing in many places at once: exact beside the provider's own client, flat and in folders, on Azurite too."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import ServiceUnavailableError
from registration_pipeline.inventory.azure.lister import AzureLister
from registration_pipeline.inventory.lister import DivisibleLister
from registration_pipeline.project.clients.azure import open_container
from registration_pipeline_tests.answers import server
from registration_pipeline_tests.doses import examples
from registration_pipeline_tests.stores.azure_imitation import XML, flat, hierarchical
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
from registration_pipeline_tests.stores.processes import AZURITE_ACCOUNT

if TYPE_CHECKING:
    from registration_pipeline_tests.answers import Answer
    from registration_pipeline_tests.stores.hostile_stores import Store
    from registration_pipeline_tests.stores.listings import Answering

pytestmark = pytest.mark.slow


def lister_at(endpoint: str, **options: Any) -> AzureLister:
    client = open_container("account1", "box", endpoint, {}, retries=0)
    return AzureLister(
        client, "account1", source="fleet", **({"page_size": 10, "concurrency": 8, "fan_out_after": 1} | options)
    )


def listed_by_azure(endpoint: str, prefix: str = "") -> list[str]:
    client = open_container("account1", "box", endpoint, {}, retries=0)
    return [blob.name for blob in client.list_blobs(name_starts_with=prefix, results_per_page=7)]


@pytest.mark.parametrize("page_size", [1, 2, 7])
@pytest.mark.parametrize("prefix", ["", "a", "\U0001f600"])
def test_hostile_keys_are_those_of_azures_own_client_in_the_order_of_utf8(page_size: int, prefix: str) -> None:
    asked: list[dict[str, str]] = []
    with server(counted(flat(HOSTILE_KEYS), asked)) as endpoint:
        expected = sorted(listed_by_azure(endpoint, prefix), key=str.encode)
        asked.clear()

        assert keys_of(lister_at(endpoint, prefix=prefix, page_size=page_size)) == expected
    if not prefix:
        assert len({query["startFrom"] for query in asked if "startFrom" in query}) > 3


# Characters that the two orders treat differently, and those that guesses are made of.
LETTERS = "!/09aé\ud7ff\ue000\uff21\U00010000\U0010ffff"
NAMES = st.sets(st.text(st.sampled_from(LETTERS), min_size=1, max_size=4), min_size=2)


@settings(max_examples=examples(10, thorough=100))
@given(keys=NAMES, page_size=st.integers(1, 3))
@example(keys={"\U00010000", "\ue000", "\U0010ffff\ue000", "\U0010ffff\U00010000"}, page_size=1)
def test_any_names_come_once_and_in_order(keys: set[str], page_size: int) -> None:
    with server(flat(keys)) as endpoint:
        assert keys_of(lister_at(endpoint, page_size=page_size)) == sorted(keys)


SEGMENTS = st.text(st.sampled_from("!-0a\ue000\U00010000"), min_size=1, max_size=2)
FILES = st.sets(st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join))


@settings(max_examples=examples(8, thorough=80))
@given(names=FILES, page_size=st.integers(1, 3), says_kinds=st.booleans(), prefix=st.sampled_from(["", "a", "a/"]))
@example(names={"!1", "!2", "!3", "a/x", "a/y", "a-b", "a-d"}, page_size=1, says_kinds=True, prefix="")
@example(names={"!1", "!2", "!3", "a/x", "a/y", "a-b", "a-d"}, page_size=1, says_kinds=False, prefix="")
def test_any_tree_of_a_hierarchical_namespace_is_listed_in_the_order_of_keys(
    names: set[str], page_size: int, prefix: str, *, says_kinds: bool
) -> None:
    # A name is a file or a folder, never both.
    files = {name for name in names if not any(other.startswith(f"{name}/") for other in names)}
    with server(hierarchical(files, says_kinds=says_kinds)) as endpoint:
        found = keys_of(lister_at(endpoint, prefix=prefix, page_size=page_size))

    assert found == sorted(name for name in files if name.startswith(prefix))


@pytest.mark.parametrize("says_kinds", [True, False], ids=["kinds said", "not said"])
def test_folders_that_come_after_many_files_are_found_though_ranges_are_under_way(*, says_kinds: bool) -> None:
    files = {
        *(f"!{number:04d}" for number in range(200)),
        *(f"a{sign}{number:03d}" for sign in "-/0" for number in range(40)),
    }
    with server(hierarchical(files, says_kinds=says_kinds)) as endpoint:
        assert keys_of(lister_at(endpoint)) == sorted(files)


def test_a_hierarchical_namespace_without_folders_is_listed_in_ranges() -> None:
    asked: list[dict[str, str]] = []
    files = {f"{number:04d}.jpg" for number in range(300)}
    with server(counted(hierarchical(files, says_kinds=True), asked)) as endpoint:
        assert keys_of(lister_at(endpoint)) == sorted(files)
    assert sum("startFrom" in query for query in asked) > 5


@pytest.mark.parametrize("answer", [flat(NUMBERED), hierarchical(set(NUMBERED))], ids=["ranges", "folders"])
def test_requests_are_made_at_once_and_few_are_wasted(answer: Answering) -> None:
    asked: list[dict[str, str]] = []
    with server(meeting(answer, asked, threads=3, after=9)) as endpoint:
        lister = lister_at(endpoint, concurrency=3)

        assert keys_of(lister) == NUMBERED
    assert lister.requests == len(asked) <= 1.5 * 30 + 8


@pytest.mark.parametrize("deaf_by", ["ignoring", "refusing", "an old client"])
def test_a_store_that_can_not_start_at_a_name_is_listed_page_by_page(deaf_by: str) -> None:
    answer, asked = flat(NUMBERED), list[dict[str, str]]()

    def deaf(query: dict[str, str]) -> Answer:
        if "startFrom" in query and deaf_by == "refusing":
            return 400, "<?xml version='1.0'?><Error><Code>UnsupportedQueryParameter</Code></Error>", XML
        return answer({name: value for name, value in query.items() if name != "startFrom"})

    with server(counted(deaf, asked)) as endpoint:
        lister = lister_at(endpoint)
        if deaf_by == "an old client":
            lister._requests._version = "2025-11-05"

        assert keys_of(lister) == NUMBERED
    assert len(asked) == 30 + (deaf_by != "an old client")


@pytest.mark.parametrize("answer", [flat(NUMBERED), hierarchical(set(NUMBERED))], ids=["ranges", "folders"])
def test_a_store_that_throttles_gets_fewer_requests_and_everything_is_listed(answer: Answering) -> None:
    store = Throttling(answer, (503, "", XML | {"x-ms-error-code": "ServerBusy"}))

    with server(store) as endpoint:
        assert keys_of(lister_at(endpoint)) == NUMBERED
    assert store.refused


@pytest.mark.parametrize("answer", [flat(NUMBERED), hierarchical(set(NUMBERED))], ids=["ranges", "folders"])
def test_a_store_that_is_busy_for_good_halts(answer: Answering) -> None:
    made = [0]

    def refuse(query: dict[str, str]) -> Answer:
        made[0] += 1
        return answer(query) if made[0] < 8 else (503, "", XML | {"x-ms-error-code": "ServerBusy"})

    with server(refuse) as endpoint, pytest.raises(ServiceUnavailableError, match=r"ServerBusy\), after retries"):
        keys_of(lister_at(endpoint))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("listing-")]


def test_azurite_starts_at_names_and_hostile_keys_are_those_of_azures_own_client(azurite_store: Store) -> None:
    name, bucket = azurite_store.bucket()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(bucket.put, azurite_store.held))
    client = open_container(AZURITE_ACCOUNT, name, azurite_store.endpoint_url, azurite_store.environ)
    lister = AzureLister(client, AZURITE_ACCOUNT, page_size=2, concurrency=8, fan_out_after=1)
    with lister._requests as requests:
        assert requests.can_start_at("a-b")

    assert keys_of(lister) == sorted(bucket.keys(), key=str.encode)


@settings(max_examples=examples(4, thorough=40))
@given(keys=NAMES, borders=NAMES, page_size=st.integers(1, 3))
@example(
    keys={"\U00010000", "\ue000", "a\U0010ffff", "a\ue000"}, borders={"a\uff21", "a\U00010000", "\uff21"}, page_size=1
)
def test_the_ranges_of_any_borders_make_the_whole_listing(keys: set[str], borders: set[str], page_size: int) -> None:
    with server(flat(keys)) as endpoint:
        assert keys_by_ranges(lister_at(endpoint, page_size=page_size, concurrency=2), borders) == sorted(keys)


@settings(max_examples=examples(4, thorough=40))
@given(names=FILES, borders=FILES, page_size=st.integers(1, 3))
@example(names={"m/x", "m-6", "n"}, borders={"m-5"}, page_size=1)
def test_the_ranges_of_a_hierarchical_namespace_make_the_whole_listing(
    names: set[str], borders: set[str], page_size: int
) -> None:
    files = {name for name in names if not any(other.startswith(f"{name}/") for other in names)}
    with server(hierarchical(files, says_kinds=True)) as endpoint:
        assert keys_by_ranges(lister_at(endpoint, page_size=page_size, concurrency=2), borders) == sorted(files)


FOLDERED = {f"day-{day:02d}/{sign}{number}" for day in range(12) for sign in "a\U0001f600" for number in range(10)}


@pytest.mark.parametrize(
    ("answer", "keys"),
    [
        (flat(NUMBERED), set(NUMBERED)),
        (flat({f"{key}\U0001f600" for key in NUMBERED}), {f"{key}\U0001f600" for key in NUMBERED}),
        (hierarchical(FOLDERED, says_kinds=True), FOLDERED),
        (hierarchical(FOLDERED), FOLDERED),
    ],
    ids=["flat", "wide", "folders", "folders of an older service"],
)
def test_a_container_is_divided_into_ranges_of_about_the_same_size(answer: Answering, keys: set[str]) -> None:
    with server(answer) as endpoint:
        lister = lister_at(endpoint, page_size=5, concurrency=2)
        assert isinstance(lister, DivisibleLister)
        borders = list(lister.boundaries(4))

        assert 2 <= len(borders) <= 3
        assert borders == sorted(set(borders))
        parts = parts_of(lister, borders)

    assert [key for part in parts for key in part] == sorted(keys)
    assert max(map(len, parts)) < 0.6 * len(keys)


def test_a_store_that_can_not_start_at_a_name_is_not_divided_and_its_ranges_are_exact_all_the_same() -> None:
    answer = flat(NUMBERED)
    with server(lambda query: answer({name: query[name] for name in query if name != "startFrom"})) as endpoint:
        lister = lister_at(endpoint)

        assert lister.boundaries(4) == []
        assert keys_by_ranges(lister, [NUMBERED[70], "raw/b/x"]) == NUMBERED
