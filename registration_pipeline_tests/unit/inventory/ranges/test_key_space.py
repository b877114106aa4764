"""Guessing keys between keys: always in between, and about half way where keys are counters or folders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.inventory.ranges.key_space import KeySpace

KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


def flat(number: int) -> str:
    return f"raw/img_{number:07d}.jpg"


def space_of(*keys: str, prefix: str = "") -> KeySpace:
    space = KeySpace(prefix)
    space.learn(keys)
    return space


@given(st.lists(KEYS, min_size=1, max_size=6), st.lists(KEYS, max_size=3), KEYS, st.none() | KEYS)
def test_a_guess_lies_between_and_can_be_sent(seen: list[str], hints: list[str], low: str, high: str | None) -> None:
    space = space_of(*seen)
    space.hint(hints)

    guess = space.middle(low, high)

    if guess is not None:
        assert low < guess
        assert low.encode() < guess.encode()
        assert high is None or (guess < high and guess.encode() < high.encode())


@given(st.lists(KEYS, min_size=1, max_size=6), KEYS, KEYS)
def test_the_way_ahead_is_never_negative(seen: list[str], one: str, other: str) -> None:
    low, high = sorted((one, other))
    space = space_of(*seen, low, high)

    assert not space.remaining(low, low, high) < 0


@pytest.mark.parametrize(
    ("low", "high", "least", "most"),
    [
        (flat(1_999), flat(9_000_000), flat(3_000_000), flat(6_000_000)),
        (flat(1_999), flat(10_000), flat(4_000), flat(8_000)),
        (flat(1_234_567), flat(1_234_999), flat(1_234_700), flat(1_234_870)),
        (flat(1_999), None, flat(3_000_000), flat(7_000_000)),
    ],
    ids=["millions", "thousands", "hundreds", "no end"],
)
def test_a_counter_is_cut_about_half_way(low: str, high: str | None, least: str, most: str) -> None:
    guess = space_of(*map(flat, range(2_000))).middle(low, high)

    assert guess is not None
    assert least <= guess <= most


def test_digits_that_did_not_change_yet_are_expected_to_only_inside_a_counter() -> None:
    keys = [f"2026-03-14/frame-{number:04d}.jpg" for number in range(1_000)]

    guess = space_of(*keys).middle(keys[0], None)

    assert guess is not None
    assert guess.startswith("2026-03-14/frame-")


def test_folders_are_better_than_guesses() -> None:
    space = space_of("a/1", "a/2")
    space.hint(["a/", "b/", "c/", "d/", "e/"])

    assert space.middle("a/2", None) == "d/"
    assert space.middle("a/2", "c/") == "b/"


def test_repeated_halving_comes_to_an_end_at_neighbours() -> None:
    space = space_of(*map(flat, range(100)))
    low, high, steps = flat(10), flat(20), 0

    while (guess := space.middle(low, high)) is not None and steps < 2_000:
        high, steps = guess, steps + 1

    assert steps < 2_000


def test_the_prefix_is_never_left() -> None:
    space = space_of("run-0001/a1", "run-0001/a2", prefix="run-00")

    for low in ("run-0001/a1", "run-0001/a2"):
        guess = space.middle(low, None)
        assert guess is None or guess.startswith("run-00")


def test_what_is_left_is_told_in_pages() -> None:
    space = space_of(*map(flat, range(0, 3_000, 7)))

    assert space.remaining(flat(0), flat(999), flat(9_999)) == pytest.approx(9, rel=0.15)


def test_guesses_that_find_nothing_teach_where_a_number_ends_until_it_grows() -> None:
    keys = [f"camera/frame-{number:05d}.jpg" for number in range(1_000)]
    space = space_of(*keys)

    def pages_left() -> float:
        return space.remaining(keys[0], keys[499], None)

    expected = pages_left()
    for digit in "5321":
        space.missed(f"camera/frame-{digit}")

    assert pages_left() == pytest.approx(expected / 10, rel=0.2)

    space.learn(["camera/frame-10000.jpg"])

    assert pages_left() == pytest.approx(expected)


def test_a_guess_of_characters_that_exist_teaches_nothing() -> None:
    keys = [f"camera/frame-{number:05d}.jpg" for number in range(1_000)]
    space, other = space_of(*keys), space_of(*keys)

    for _ in range(100):
        space.missed("camera/frame-00777")

    assert space.middle(keys[0], None) == other.middle(keys[0], None)
