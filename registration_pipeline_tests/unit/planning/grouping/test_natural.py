from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.planning.grouping.natural import comparable_number, natural

KEYS = st.text(alphabet=st.sampled_from("019ab/:.-_~é\U0001f600٣\uff10"), max_size=14) | st.text(
    alphabet=st.characters(exclude_categories=["Cs"]), max_size=8
)
LONG_NUMBERS = st.from_regex(r"[0-9]{1,40}", fullmatch=True)


def reference(text: str) -> list[tuple[int, int]]:
    """Every character by its code point; a run of ASCII digits is one, as large as its number, where digits are."""
    return [
        (ord("0"), int(token)) if re.fullmatch("[0-9]+", token) else (ord(token), 0)
        for token in re.findall(r"[0-9]+|[^0-9]", text, re.DOTALL)
    ]


@given(KEYS, KEYS)
def test_bytes_compare_as_keys_do_naturally(left: str, right: str) -> None:
    encoded = natural(left).encode(), natural(right).encode()

    assert (encoded[0] < encoded[1]) == (reference(left) < reference(right))
    assert (encoded[0] == encoded[1]) == (reference(left) == reference(right))


@given(LONG_NUMBERS, LONG_NUMBERS, st.sampled_from(["", "a", "/", ".png"]))
def test_numbers_of_any_length_compare_as_numbers_whatever_follows(left: str, right: str, after: str) -> None:
    assert (comparable_number(left) < comparable_number(right)) == (int(left) < int(right))
    assert (natural(left + after) < natural(right + after)) == (int(left) < int(right))


@pytest.mark.parametrize(
    "ordered",
    [
        ["2.png", "10.png"],
        ["frame_9", "frame_10", "frame_0100", "frame_1000"],
        ["a1b2", "a1b10", "a2b1"],
        ["9" * 5_000, "1" + "0" * 5_000],
        ["cam/x", "cam1/x", "cam10/x", "cama"],
        ["1-2", "1.5", "1/2"],
        ["a9", "a10", "a٣", "a\uff11\uff10"],
    ],
    ids=[
        "names",
        "leading zeros",
        "several numbers",
        "longer than any key",
        "folders",
        "signs",
        "other digits are text",
    ],
)
def test_keys_come_in_the_order_that_people_expect(ordered: list[str]) -> None:
    given_otherwise = ordered[::-1]
    assert sorted(given_otherwise, key=lambda key: natural(key).encode()) == ordered


def test_leading_zeros_alone_make_no_difference() -> None:
    assert natural("frame_007.png") == natural("frame_7.png")
    assert natural("000") == natural("0")
