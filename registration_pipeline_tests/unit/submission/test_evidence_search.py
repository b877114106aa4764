"""What a search of the folder finds, and how many requests it takes however many items the folder holds."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import PermanentError
from registration_pipeline.ids import objects_digest
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.units import PlannedObject, PlannedUnit
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.evidence import MOST_LOOKUPS, MOST_PAGES, MOST_SEARCHES, EvidenceSearch
from registration_pipeline.submission.gateway import RemoteItem
from registration_pipeline.submission.testing import ScriptedGateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from registration_pipeline.submission.gateway import ItemPage
    from registration_pipeline.submission.verdicts import FolderEvidence

FIRST_ATTEMPT = datetime(2026, 11, 21, 2, tzinfo=UTC)
LONG_AGO = FIRST_ATTEMPT - timedelta(days=300)
FOLDER = "folder"


class CountingGateway(ScriptedGateway):
    """Notes what it is asked for."""

    def __init__(self, items: Iterable[RemoteItem], *, searches: bool = True) -> None:
        super().__init__(items={FOLDER: list(items)})
        self.searches, self.asked = searches, list[str | None]()

    def items_page(
        self, folder_uuid: str, page_token: str | None, *, newest_first: bool = False, search: str | None = None
    ) -> ItemPage:
        self.asked.append(search)
        if search is not None and not self.searches:
            raise PermanentError("422: search is not possible")
        return super().items_page(folder_uuid, page_token, newest_first=newest_first, search=search)

    def folders_of_items(self, item_uuids: Any) -> dict[str, str] | None:
        self.asked.append("look-up")
        return super().folders_of_items(item_uuids)


def unit(title: str) -> PlannedUnit:
    member = PlannedObject(key=title, object_url=f"https://bucket/{title}", size=1)
    return PlannedUnit(unit_id=f"id-{title}", kind=MediaKind.IMAGE, title=title, objects=(member,), unit_index=0)


def item(title: str, *, at: datetime = LONG_AGO, name: str | None = None) -> RemoteItem:
    return RemoteItem(
        item_uuid=f"item-{title}", name=name or title, url=f"https://bucket/{title}", unit_id=None, created_at=at
    )


def search(gateway: ScriptedGateway, units: list[PlannedUnit], **known: str) -> FolderEvidence:
    retry = RetryPolicy(sleep=lambda _: None)
    return EvidenceSearch(gateway, retry, FOLDER, since=FIRST_ATTEMPT, known=known).find(units)


FOLDERS: list[Any] = [
    pytest.param(lambda number: f"cam/{number:08d}.jpg", 4, id="numbered"),
    pytest.param(lambda number: f"{number * 2654435761 % 2**32:08x}.jpg", 30, id="named by hashes"),
    pytest.param(lambda number: f"raw/{number % 7}/{number:05d}/{'é %_' * (number % 3)}.jpg", 30, id="in folders"),
]


@pytest.mark.parametrize(("name_of", "most"), FOLDERS)
def test_a_thousand_skipped_units_are_found_with_few_requests(name_of: Callable[[int], str], most: int):
    titles = sorted(map(name_of, range(10_000)))
    gateway = CountingGateway(map(item, titles))
    units = [unit(title) for title in titles[7_300:8_300]]

    evidence = search(gateway, units)

    assert [evidence.item_of(one) for one in units] == [f"item-{one.title}" for one in units]
    assert len(gateway.asked) <= most


def test_a_hundred_series_are_found_in_a_large_folder_though_their_titles_have_little_in_common():
    spread = random.Random(4711)
    titles = [f"1.2.840.113619.2.{spread.randrange(400)}.{spread.randrange(10**10)}" for _ in range(100_000)]
    wanted = spread.sample(titles, 100)
    objects = {title: objects_digest([f"https://bucket/{title}"]) for title in wanted}
    gateway = CountingGateway(
        RemoteItem(
            item_uuid=f"item-{title}",
            name=title,
            url=None,
            unit_id=f"id-{title}",
            created_at=LONG_AGO,
            objects=objects.get(title, "those of a series that is not searched for"),
        )
        for title in titles
    )
    series = [unit(title)._replace(kind=MediaKind.DICOM_SERIES) for title in wanted]

    evidence = search(gateway, series)

    assert evidence.covers(series)
    assert len(gateway.asked) <= 200


def test_what_is_not_there_costs_one_search_and_the_newest_page():
    gateway = CountingGateway(item(f"other/{number}.jpg") for number in range(5_000))

    evidence = search(gateway, [unit(f"cam/{number}.jpg") for number in range(1_000)])

    assert not evidence.by_url
    assert gateway.asked == ["cam/", None]


def test_a_renamed_item_is_found_among_the_newest():
    gateway = CountingGateway([item("cam/b.jpg", name="old"), item("cam/a.jpg", at=FIRST_ATTEMPT, name="renamed")])

    evidence = search(gateway, [unit("cam/a.jpg"), unit("cam/b.jpg")])

    assert [evidence.item_of(unit(f"cam/{name}.jpg")) for name in "ab"] == ["item-cam/a.jpg", None]


def test_a_folder_that_can_not_be_searched_is_read_from_its_newest_item_on():
    gateway = CountingGateway([item("cam/a.jpg", at=FIRST_ATTEMPT)], searches=False)

    assert search(gateway, [unit("cam/a.jpg")]).item_of(unit("cam/a.jpg")) == "item-cam/a.jpg"


def test_no_search_is_without_an_end():
    """Titles that have nothing in common, in a folder where each of them is a part of many others."""
    names = [f"{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    items = [item(f"{'abcdefghijklmnopqrstuvwxyz'}-{number}", at=FIRST_ATTEMPT) for number in range(40_000)]
    gateway = CountingGateway(items)

    assert not search(gateway, [unit(name) for name in names]).by_url
    assert len(gateway.asked) <= MOST_SEARCHES + MOST_PAGES


def test_known_items_are_asked_for_by_their_uuids_in_one_request():
    titles = [f"{number}.jpg" for number in range(1_000)]
    gateway = CountingGateway(item(title, name=f"by hand {title}") for title in titles)
    known = {f"id-{title}": f"item-{title}" for title in titles}

    evidence = search(gateway, list(map(unit, titles)), **known)

    assert all(evidence.item_of(unit(title)) for title in titles)
    assert gateway.asked == ["look-up"]


def test_known_items_that_were_deleted_or_moved_do_not_count():
    titles = [f"cam/{number:04d}.jpg" for number in range(64)]
    gateway = CountingGateway(item(title, name="by hand") for title in titles[2:])
    gateway.items["elsewhere"] = [item(titles[1])]
    known = {f"id-{title}": f"item-{title}" for title in titles}

    evidence = search(gateway, list(map(unit, titles)), **known)

    assert [title for title in titles if not evidence.item_of(unit(title))] == titles[:2]
    assert gateway.asked.count("look-up") <= MOST_LOOKUPS


def test_among_many_deleted_items_the_requests_are_limited():
    titles = [f"cam/{number:04d}.jpg" for number in range(1_000)]
    gateway = CountingGateway(item(title) for title in titles[::2])
    known = {f"id-{title}": f"item-{title}" for title in titles}

    evidence = search(gateway, list(map(unit, titles)), **known)

    assert [title for title in titles if evidence.item_of(unit(title))] == titles[::2]
    assert gateway.asked.count("look-up") == MOST_LOOKUPS
