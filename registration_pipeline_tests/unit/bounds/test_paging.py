"""Listings that do not get on."""

from __future__ import annotations

from itertools import count, islice
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.bounds import paging
from registration_pipeline.bounds.paging import PageProgress

if TYPE_CHECKING:
    from collections.abc import Iterable


MOST = 100


def pages_until_a_problem(tokens: Iterable[int], *, is_empty: bool, first: str | None = None) -> int | None:
    progress = PageProgress()
    for number, token in enumerate(islice(tokens, MOST), start=1):
        if progress.problem_with(str(token), is_empty=is_empty, first=first):
            return number
    return None


@pytest.mark.parametrize("period", [1, 2, 7])
def test_a_token_that_comes_again_is_a_problem_however_long_the_way_round_is(period: int) -> None:
    assert pages_until_a_problem((number % period for number in count()), is_empty=False) == period + 1


def test_new_tokens_with_something_on_each_page_are_none() -> None:
    assert pages_until_a_problem(count(), is_empty=False) is None


def test_new_tokens_with_the_same_page_are_a_problem() -> None:
    assert pages_until_a_problem(count(), is_empty=False, first="a") == 2


def test_too_many_empty_pages_in_a_row_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "MOST_EMPTY_PAGES", 30)

    assert pages_until_a_problem(count(), is_empty=True) == 30


def test_a_page_with_something_in_it_starts_the_count_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "MOST_EMPTY_PAGES", 3)
    progress = PageProgress()

    said = [progress.problem_with(str(number), is_empty=number % 3 != 0) for number in range(30)]

    assert said == [None] * 30
