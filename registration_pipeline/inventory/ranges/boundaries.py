"""Where to divide a bucket that nothing is known of, so that its key ranges hold about as many objects, with few requests.

A key divides whatever it is: what is up to it and what is after it are all keys. So a bad guess costs only balance.
What does not belong here: dividing by an earlier inventory, which is exact (``inventory/key_ranges/``), and listing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from math import isinf
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import HaltError
from registration_pipeline.inventory.ranges.key_space import KeySpace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.inventory.ranges.lister import PageSource
    from registration_pipeline.inventory.ranges.page import Page

_FINER: Final = 4
"""Stretches for each range: neighbours are put together until they hold their share."""

_MOST_REQUESTS: Final = 200
"""For the stretches: 12 seconds at 60 ms each. More than twice the number of ranges is never asked for less than that."""

_FOLDER_LEVELS: Final = 4
_PAGES_WORTH_DIVIDING: Final = 2.0
_LAST: Final = "\U0010ffff"
_LAST_ASCII: Final = "~"


def find_boundaries(pages: PageSource, ranges: int) -> list[str]:
    """Return at most ``ranges - 1`` keys, strictly increasing, that divide a bucket into parts of about the same size.

    Args:
        pages: of the bucket.
        ranges: how many parts are wanted; a bucket of a few pages gets fewer.

    Raises:
        HaltError: the bucket can't be listed.
    """
    first = pages.page()
    if ranges == 1 or first.first is None or first.token is None:
        return []
    stretches = _Stretches(pages, first)
    stretches.learn_end()
    stretches.divide_by_folders(_FINER * ranges // 2)
    most = max(2 * ranges, min(2 * _FINER * ranges, _MOST_REQUESTS))
    stretches.divide_largest(_FINER * ranges, most_requests=most)
    stretches.estimate_again()
    return evenly(stretches.found, ranges)


@dataclass(slots=True)
class Stretch:
    """Keys after ``low``, up to the next stretch.

    Args:
        low: the key before it.
        first: the first key of the page that was listed right after ``low``.
        middle: the key in the middle of that page.
        last: the last key of that page.
        high: where it ends, or where nothing more comes before the next one; None: there is no next one.
        pages: that are probably in it; infinite: not known.
    """

    low: str
    first: str
    middle: str
    last: str
    high: str | None
    pages: float = 0.0

    def estimate(self, space: KeySpace) -> None:
        """Guess how many pages it has: as many as its first page, or half of that, fits into its keys.

        A page may begin where keys are rare: 1, 10, 100, 1000, 1001, 1002.
        """
        if self.high is not None and self.last >= self.high:
            self.pages = 1.0
        else:
            whole = space.remaining(self.first, self.last, self.high)
            half = space.remaining(self.middle, self.last, self.high) / 2 if self.middle < self.last else whole
            self.pages = 1.0 + max(whole, half)


def evenly(stretches: Sequence[Stretch], ranges: int) -> list[str]:
    """Return the lower ends of those stretches, in key order, that divide all of them into at most so many equal parts."""
    largest = max((stretch.pages for stretch in stretches if not isinf(stretch.pages)), default=1.0)
    before = [0.0, *accumulate(min(stretch.pages, largest) for stretch in stretches)]
    share = before[-1] / ranges
    chosen: list[str] = []
    for stretch, pages, more in list(zip(stretches, before, before[1:], strict=False))[1:]:
        # Nearer to the share that is to be reached than the next one would be.
        if len(chosen) < ranges - 1 and (pages + more) / 2 >= share * (len(chosen) + 1):
            chosen.append(stretch.low)
    return chosen


class _Stretches:
    """The stretches of a bucket, in key order, as far as they are known."""

    def __init__(self, pages: PageSource, first: Page) -> None:
        self._pages, self._space = pages, KeySpace(pages.prefix)
        self.found: list[Stretch] = []
        self._add(0, "", first, None)

    def learn_end(self) -> None:
        """Learn where the last key differs from the first ones and how it goes on there: the first page shows none of that."""
        known = self.found[0].last
        place, most = len(self._pages.prefix), len(known)
        while place < most:
            middle = (place + most) // 2
            place, most = (place, middle) if self._learn_after(known[: middle + 1] + _LAST) else (middle + 1, most)
        if place >= len(known) or not known[place].isascii():
            return
        low, high = ord(known[place]), ord(_LAST_ASCII)
        while low < high:
            middle = (low + high) // 2
            found = self._learn_after(known[:place] + chr(middle) + _LAST)
            low, high = (max(middle + 1, *map(ord, found[place : place + 1])), high) if found else (low, middle)

    def _learn_after(self, key: str) -> str | None:
        """Return the key that follows, after learning from its page."""
        page = self._pages.page(after=key)
        if page.first is not None and page.last is not None:
            self._space.learn((page.first, page.last))
        return page.first

    def estimate_again(self) -> None:
        """Guess how many pages each has, with what was learned since."""
        for stretch in self.found:
            stretch.estimate(self._space)

    def divide_by_folders(self, most: int) -> None:
        """Divide at folders of the first level that has several, evenly spaced, if one request shows all of them."""
        folders = self._folders()
        self._space.hint(folders)
        for folder in [folders[len(folders) * place // most] for place in range(most)] if folders else []:
            if folder > self.found[-1].last:
                self._divide(len(self.found) - 1, folder)

    def divide_largest(self, wanted: int, *, most_requests: int) -> None:
        """Divide the largest again and again, until there are so many or none is worth it."""
        for _ in range(most_requests):
            place, largest = self._largest()
            if largest.pages < _PAGES_WORTH_DIVIDING:
                self.estimate_again()
                place, largest = self._largest()
            if len(self.found) >= wanted or largest.pages < _PAGES_WORTH_DIVIDING:
                return
            middle = self._space.middle(largest.last, largest.high)
            if middle is None:
                largest.pages = 1.0
            else:
                self._divide(place, middle)

    def _largest(self) -> tuple[int, Stretch]:
        return max(enumerate(self.found), key=lambda pair: pair[1].pages)

    def _divide(self, place: int, middle: str) -> None:
        before = self.found[place]
        page = self._pages.page(after=middle)
        if page.first is None or (before.high is not None and page.first > before.high):
            self._space.missed(middle)
        else:
            self._add(place + 1, middle, page, before.high)
        before.high = middle
        before.estimate(self._space)

    def _add(self, place: int, low: str, page: Page, high: str | None) -> None:
        assert page.first is not None
        assert page.last is not None  # a page has both or none
        self._space.learn((page.first, page.last))
        middle = page.batch.column("key")[page.batch.num_rows // 2].as_py()
        new = Stretch(low, page.first, middle, page.last, high)
        new.estimate(self._space)
        self.found.insert(place, new)

    def _folders(self) -> list[str]:
        prefix, folders = self._pages.prefix, list[str]()
        try:
            for _ in range(_FOLDER_LEVELS):
                folders = self._pages.folders(prefix)
                if len(folders) != 1 or folders[0] == prefix:
                    break
                prefix = folders[0]
            self._space.learn(folders)
            are_all = bool(folders) and self._pages.page(after=folders[-1] + _LAST).first is None
        except HaltError:
            return []  # only a help; a policy may forbid it
        return folders if are_all else []
