"""Whether a page of a store that lists in the order of keys is what was asked for.

What does not belong here: whether the listing as a whole gets on (``requests.py``), and stores of another order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.errors import ListingError
from registration_pipeline.inventory.key_order import disorder

if TYPE_CHECKING:
    import pyarrow as pa

    from registration_pipeline.inventory.ranges.page import Page


@dataclass(frozen=True, slots=True)
class PageChecks:
    """What is wrong with pages of one listing.

    Args:
        what: the listing, for people.
        source: the source's name, for the settings to change.
        prefix: keys start with it.
        orderless: which stores of this kind are known to have no order, as an addition in brackets; or nothing.
    """

    what: str
    source: str
    prefix: str
    orderless: str = ""

    def require_order(self, keys: pa.StringArray) -> None:
        """Refuse keys that do not increase strictly.

        Raises:
            ListingError: they do not.
        """
        if (pair := disorder(keys)) is not None:
            before, after = pair
            raise ListingError(
                f"{self.what} does not list in key order: {after!r} comes after {before!r}. {self.broken()}"
            )

    def require_place(self, page: Page, after: str, *, is_after_token: bool) -> None:
        """Refuse a page whose keys, which are in order, are not those that were asked for.

        Args:
            page: it may be empty.
            after: all its keys are greater.
            is_after_token: it was asked for by the token of the page that ended there.

        Raises:
            ListingError: it is of another place, or of another prefix.
        """
        if page.first is None or page.last is None:
            return
        if page.first <= after:
            if is_after_token:
                raise ListingError(
                    f"{self.what} lists a page again or out of order: {page.first!r} comes after {after!r}. {self.broken()}"
                )
            raise ListingError(
                f"{self.what}: the store was asked for keys after {after!r} and answered with {page.first!r}, so it can't be "
                f"listed in many places at once. Set `sources.{self.source}.storage.concurrency` to 1."
            )
        if not page.first.startswith(self.prefix) or not page.last.startswith(self.prefix):
            raise ListingError(
                f"{self.what}: the store answered with keys that do not start with the prefix, from {page.first!r} to "
                f"{page.last!r}. {self.broken()}"
            )

    def broken(self) -> str:
        """Return what to do about a store that lists wrongly."""
        return (
            "Nothing was recorded. Run again; if it happens again, the store's listing can't be relied on"
            f"{self.orderless}: ask its vendor, or point `sources.{self.source}.uri` elsewhere."
        )
