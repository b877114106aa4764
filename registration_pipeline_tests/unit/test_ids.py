"""Ids are pure, well formed and distinguished."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.ids import chunk_id, inventory_id, objects_digest, parse_inventory_id, rules_digest, unit_id
from registration_pipeline.objects import MediaKind

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
kinds = st.sampled_from(MediaKind)
times = st.datetimes(timezones=st.timezones()).filter(lambda at: 2 <= at.year <= 9998)


def test_ids_keep_their_values_for_ever() -> None:
    assert unit_id("fleet", MediaKind.IMAGE, "raw/a.jpg") == "8f293b269b1d6b88"
    assert rules_digest({"include": ["**/*.jpg"], "exclude": []}) == "3ed1a1b19e139ab8"
    assert chunk_id("20261121T020000Z", MediaKind.IMAGE, 1) == "20261121T020000Z-images-000001"
    assert chunk_id("20261121T020000Z-2", MediaKind.VIDEO, 123456) == "20261121T020000Z-2-videos-123456"
    assert inventory_id(datetime(2026, 11, 21, 2, 0, 0, 999999, tzinfo=UTC)) == "20261121T020000Z"


def test_a_digest_of_objects_keeps_its_value_for_ever_and_does_not_depend_on_order_or_encoding() -> None:
    urls = ["s3://bucket/a%20b.jpg", "s3://bucket/c.jpg"]

    assert objects_digest(urls) == "e4f4b7983f815629"
    assert objects_digest(["s3://bucket/c.jpg", "s3://bucket/a b.jpg"]) == objects_digest(urls)
    others = [urls[:1], [*urls, urls[0]], [urls[0], urls[0]], ["s3://other/a%20b.jpg", "s3://other/c.jpg"], []]
    assert len({"e4f4b7983f815629", *map(objects_digest, others)}) == 1 + len(others)


def test_the_id_of_a_group_follows_from_its_name_and_never_from_a_key() -> None:
    ids = [unit_id("fleet", kind, "rigs/7") for kind in MediaKind]

    assert unit_id("fleet", MediaKind.IMAGE_GROUP, "rigs/7") == "8c24c344bcd4a463"
    assert len(set(ids)) == len(MediaKind)


@given(source=st.from_regex(r"\A[a-z0-9-]+\Z"), kind=kinds, key=keys)
def test_a_unit_id_is_16_hex_digits(source: str, kind: MediaKind, key: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", unit_id(source, kind, key))


def test_unit_ids_of_other_sources_kinds_and_unicode_twins_differ() -> None:
    ids = {
        unit_id("a", MediaKind.IMAGE, "é"),
        unit_id("a", MediaKind.IMAGE, "e\u0301"),
        unit_id("a", MediaKind.VIDEO, "é"),
        unit_id("b", MediaKind.IMAGE, "é"),
        unit_id("ab", MediaKind.IMAGE, "é"),
    }
    assert len(ids) == 5


@given(at=times, ordinal=st.integers(2, 99), kind=kinds, index=st.integers(1, 10**7))
def test_a_chunk_id_is_a_partition_key(at: datetime, ordinal: int, kind: MediaKind, index: int) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", chunk_id(f"{inventory_id(at)}-{ordinal}", kind, index))


@given(indexes=st.lists(st.integers(1, 99_999), unique=True))
def test_chunk_ids_sort_in_planning_order(indexes: list[int]) -> None:
    ids = [chunk_id("20261121T020000Z", MediaKind.IMAGE, index) for index in sorted(indexes)]
    assert ids == sorted(ids)


@pytest.mark.parametrize(("wave", "index"), [("20261121T020000Z", 0), ("", 1), ("a/b", 1), ("a b", 1), ("a\n", 1)])
def test_a_chunk_id_that_is_no_partition_key_is_refused(wave: str, index: int) -> None:
    with pytest.raises(ValueError, match="no chunk id can be made"):
        chunk_id(wave, MediaKind.IMAGE, index)


@given(at=times)
def test_an_inventory_id_gives_back_its_second(at: datetime) -> None:
    assert parse_inventory_id(inventory_id(at)) == at.astimezone(UTC).replace(microsecond=0)


@given(at=st.datetimes(datetime(1, 2, 1), datetime(9998, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_inventory_ids_sort_by_time(at: datetime) -> None:
    assert inventory_id(at) < inventory_id(at + timedelta(seconds=1))


def test_an_inventory_id_is_in_utc_whatever_the_zone() -> None:
    assert inventory_id(datetime(2026, 11, 21, 2, tzinfo=timezone(timedelta(hours=5)))) == "20261120T210000Z"


def test_a_time_without_zone_has_no_inventory_id() -> None:
    with pytest.raises(ValueError, match="time zone"):
        inventory_id(datetime(2026, 11, 21))  # noqa: DTZ001 - the naive time is the case


@pytest.mark.parametrize(
    "text",
    ["", "20261121T020000", "20261121T020000Z-2", "2026-11-21T02:00:00Z", "20261321T020000Z", "20261121T020000Z\n"],
)
def test_what_is_not_an_inventory_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"inventory id|does not match|unconverted"):
        parse_inventory_id(text)


def test_a_rules_digest_ignores_the_order_of_keys_and_minds_that_of_lists() -> None:
    digest = rules_digest({"a": [1, 2], "b": {"c": None, "d": "é"}})
    assert digest == rules_digest({"b": {"d": "é", "c": None}, "a": [1, 2]})
    assert digest != rules_digest({"a": [2, 1], "b": {"c": None, "d": "é"}})
    assert re.fullmatch(r"[0-9a-f]{16}", digest)


def test_a_rules_digest_refuses_what_has_no_canonical_form() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        rules_digest({"a": float("nan")})
    with pytest.raises(TypeError):
        rules_digest({"a": object()})
