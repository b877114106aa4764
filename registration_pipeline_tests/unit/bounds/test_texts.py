"""Texts of others: shortened ones are never longer than asked, and say how much is missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.bounds.texts import FULL_TEXT, SHORT_TEXT, TextBudget, shortened, shortened_again
from registration_pipeline.errors import HaltError


@given(st.text(max_size=500), st.integers(60, 400))
def test_a_text_is_never_longer_than_asked_and_is_whole_where_it_fits(text: str, most: int) -> None:
    short = shortened(text, most)

    assert len(short) <= most
    assert short == text or len(text) > most


@given(st.integers(2_000, 100_000_000), st.integers(60, 2_000))
def test_what_is_left_out_is_counted(size: int, most: int) -> None:
    text = "x" * min(size, 10_000)
    short = shortened(text, most)
    if short == text:
        return
    begin, _, rest = short.partition(" … (")
    count, _, end = rest.partition(" characters left out) … ")

    assert int(count.replace(",", "")) == len(text) - len(begin) - len(end)
    assert text.startswith(begin)
    assert text.endswith(end)


def test_shortening_again_changes_nothing() -> None:
    short = shortened("x" * 50_000)

    assert shortened(short) == short


def test_a_long_text_is_kept_whole_only_where_it_comes_first() -> None:
    long, other = "a" * (SHORT_TEXT + 1), "b" * (SHORT_TEXT + 1)

    assert shortened_again([None, "short", long, long, other, "short", long]) == [
        None,
        "short",
        long,
        shortened(long),
        other,
        "short",
        shortened(long),
    ]


def test_many_long_texts_together_have_a_limit() -> None:
    budget = TextBudget(2 * FULL_TEXT)
    taken = [budget.take("x" * FULL_TEXT) for _ in range(5)]

    assert [text == "x" * FULL_TEXT for text in taken] == [True, True, False, False, False]
    assert all(len(text) <= SHORT_TEXT for text in taken[2:])
    assert budget.take("short") == "short"


def test_an_error_of_ours_is_short_enough_for_a_log_and_keeps_its_advice() -> None:
    text = str(HaltError(f"The store said {'x' * 30_000_000}. Run again later."))

    assert len(text) <= 20_000
    assert text.endswith("Run again later.")
