"""Where an inventory was listed, and whether the source is still there.

A source's ``uri`` may be changed between two commands. What was listed in one place must never be planned or read in another:
its keys would get URLs of objects that are not there, or are others. What does not belong here: the key ranges of one run,
which compare more (``key_ranges/division.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from registration_pipeline.settings.addresses import SourceScheme, parse_location
from registration_pipeline.urls import stores_of_urls

if TYPE_CHECKING:
    from registration_pipeline.settings import SourceSettings

_OR: Final = " or "


@dataclass(frozen=True, slots=True)
class ListedPlace:
    """The place of a listing.

    Args:
        uri: of the source; empty: not known, as in inventories of earlier versions.
        store: by the name that is the same for all of its endpoints; empty: not known, or the uri says it all.
    """

    uri: str = ""
    store: str = ""

    @classmethod
    def of(cls, source: SourceSettings) -> Self:
        """Return where a source is now.

        Raises:
            ConfigurationError: the source lacks what its ``url_style`` needs.
        """
        if source.location.scheme is SourceScheme.FILE:
            return cls(source.uri)  # the path is in it
        # That of its URLs, because every other one is refused (decision 027).
        return cls(source.uri, _OR.join(sorted(stores_of_urls(source))))

    def is_at(self, other: ListedPlace) -> bool:
        """Whether two places may be the same: what is not known of one is not compared."""
        return self._has_uri_of(other) and self._is_in_store_of(other)

    def _has_uri_of(self, other: ListedPlace) -> bool:
        if not self.uri or not other.uri or self.uri == other.uri:
            return True
        try:
            return parse_location(self.uri) == parse_location(other.uri)
        except ValueError:  # of another version, which has forms that this one does not know
            return False

    def _is_in_store_of(self, other: ListedPlace) -> bool:
        if not self.store or not other.store:
            return True
        return not {*self.store.split(_OR)}.isdisjoint(other.store.split(_OR))

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.uri} in {self.store}" if self.store else self.uri


UNKNOWN_PLACE: Final = ListedPlace()
"""Of an inventory that does not say it; it may be any."""
