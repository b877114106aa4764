"""Folders whose listing never ends: an audit ends with an error that names the folder, after few requests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from registration_pipeline.audit import sides
from registration_pipeline.audit.sides import folder_items
from registration_pipeline.errors import ServiceUnavailableError
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.gateway import ItemPage, RemoteItem

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline_tests.unit.conftest import FleetOf

    Turn = Callable[[ItemPage, int], ItemPage]

MOST_REQUESTS = 40


def other_items(page: ItemPage, number: int) -> ItemPage:
    """Return a page of items that were never seen, each time."""
    items = (replace(item, item_uuid=str(UUID(int=number * 1000 + place))) for place, item in enumerate(page.items))
    return ItemPage(tuple(items), f"token {number}")


TURNS: dict[str, tuple[Turn, str]] = {
    "one token": (lambda page, _: replace(page, next_token="again"), "a next page that was read before"),
    "two tokens": (lambda page, number: replace(page, next_token=str(number % 2)), "begins with|read before"),
    "new tokens, one page": (lambda page, number: replace(page, next_token=str(number)), "begins with"),
    "new tokens, nothing": (lambda _, number: ItemPage((), str(number)), "have nothing in them"),
    "new tokens, new items": (other_items, "the folder says that it holds 3"),
}


class Endless:
    """An Encord whose folder listing is made endless."""

    def __init__(self, encord: Any, turn: Turn) -> None:
        self._encord, self._turn = encord, turn
        self.requests = 0
        self._pages = count()

    def items_page(self, folder_uuid: str, _token: str | None) -> ItemPage:
        self.requests += 1
        page: ItemPage = self._encord.items_page(folder_uuid, None)
        return self._turn(page, next(self._pages))

    def count_items(self, folder_uuid: str) -> int:
        return int(self._encord.count_items(folder_uuid))


@pytest.mark.parametrize("name", TURNS)
def test_an_endless_folder_is_an_error_that_names_it(
    name: str, fleet_of: FleetOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sides, "_FIRST_COUNT_AT", 20)
    monkeypatch.setattr("registration_pipeline.bounds.paging.MOST_EMPTY_PAGES", 20)
    fleet = fleet_of()
    fleet.register()
    folder = fleet.encord.find_folder("fleet")
    assert folder is not None
    turn, problem = TURNS[name]
    encord: Any = Endless(fleet.encord, turn)

    with pytest.raises(ServiceUnavailableError, match=problem) as caught:
        list(folder_items(encord, RetryPolicy(), folder))

    assert folder in str(caught.value)
    assert encord.requests < MOST_REQUESTS


def test_many_pages_of_deleted_items_are_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registration_pipeline.bounds.paging.MOST_EMPTY_PAGES", 5)
    item = RemoteItem(
        item_uuid=str(UUID(int=1)), name="a", url=None, unit_id=None, created_at=datetime(2026, 1, 1, tzinfo=UTC)
    )

    class Deleted:
        def items_page(self, _folder: str, token: str | None) -> ItemPage:
            number = int(token or 0)
            return ItemPage((item,), None) if number == 50 else ItemPage((), str(number + 1), deleted=1000)

    encord: Any = Deleted()

    assert len(list(folder_items(encord, RetryPolicy(), "folder"))) == 1
