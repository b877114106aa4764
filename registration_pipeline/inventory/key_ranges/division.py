"""Which key ranges an inventory is listed in: fixed once, in a file, so that every process of the run has the same.

What does not belong here: where to divide (``quantiles.py`` and the listers), listing a range and the commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from registration_pipeline.errors import ConfigurationError, StateConflictError
from registration_pipeline.inventory.key_ranges.records import read_record
from registration_pipeline.state.layout import inventory_ranges_name
from registration_pipeline.state.sealed import sealed_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.state.store import StateStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """The key ranges of an inventory that is being listed.

    Args:
        inventory_id: of the inventory.
        source: the source's name.
        run: whose processes list it.
        boundaries: where the ranges but the last end, strictly increasing; each key belongs to the range that ends with it.
        requests: made to the store to find them.
        listing: what is listed and how.
        started_at: UTC.
        listed_in: the store, by the name that is the same for all of its endpoints; empty: not noted.
        uri: of the source; empty: not noted.
    """

    inventory_id: str
    source: str
    run: str
    boundaries: tuple[str, ...]
    requests: int
    listing: str
    started_at: datetime
    listed_in: str = ""
    uri: str = ""

    @property
    def ranges(self) -> int:
        """How many there are; they are numbered from 0."""
        return len(self.boundaries) + 1

    def bounds(self, number: int) -> tuple[str | None, str | None]:
        """Return the key after which a range begins and the one that it ends with; None: the first and the last."""
        ends = (None, *self.boundaries, None)
        return ends[number], ends[number + 1]

    def require_same_place(self, listing: str, listed_in: str) -> None:
        """Refuse to go on in another place than the inventory was begun in: it would be a mix of two listings.

        Workers read the configuration when a step begins, and it may have been changed since the run began, or differ between
        them.

        Args:
            listing: what this process would list and how.
            listed_in: in which store; empty: not known.

        Raises:
            ConfigurationError: says what the inventory was begun with, what this process has, and what to do.
        """
        is_other_store = bool(self.listed_in and listed_in) and self.listed_in != listed_in
        if self.listing == listing and not is_other_store:
            return
        began, now = self.listing, listing
        if is_other_store:
            began, now = f"{began} in {self.listed_in}", f"{now} in {listed_in}"
        raise ConfigurationError(
            f"the source was changed since run {self.run} began inventory {self.inventory_id}, or this worker has another "
            f"configuration. Begun: {began}. Here, now: {now}. Nothing of the other place was recorded. To keep what is "
            "listed, set `uri` and `storage` back, on all workers, and re-execute the run from its failure. To list what is "
            "set now, start a new run",
            key=f"sources.{self.source}",
        )

    def to_json(self) -> dict[str, Any]:
        """Return the form that it has in its file."""
        return {
            "inventory_id": self.inventory_id,
            "source": self.source,
            "run": self.run,
            "boundaries": list(self.boundaries),
            "requests": self.requests,
            "listing": self.listing,
            "started_at": self.started_at.isoformat(),
            "listed_in": self.listed_in,
            "uri": self.uri,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` gives.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        boundaries = tuple(map(str, value["boundaries"]))
        if list(boundaries) != sorted(set(boundaries)):
            raise ValueError("boundaries that do not increase")
        return cls(
            inventory_id=str(value["inventory_id"]),
            source=str(value["source"]),
            run=str(value["run"]),
            boundaries=boundaries,
            requests=int(value["requests"]),
            listing=str(value["listing"]),
            started_at=datetime.fromisoformat(value["started_at"]),
            listed_in=str(value.get("listed_in", "")),
            uri=str(value.get("uri", "")),
        )


def fix_division(store: StateStore, division: Division) -> Division:
    """Write a division, or return the one that another process of the run wrote first.

    Raises:
        StateError: the state can't be written.
    """
    name = inventory_ranges_name(division.source, division.inventory_id)
    try:
        store.create(name, sealed_json(division.to_json()))
    except StateConflictError:
        return read_division(store, division.source, division.inventory_id) or division
    return division


def read_division(store: StateStore, source: str, inventory_id: str) -> Division | None:
    """Return the division of an inventory that is being listed; None: it has none (any more).

    Raises:
        StateCorruptError: its file is not what was written.
    """
    return read_record(store, inventory_ranges_name(source, inventory_id), Division.from_json)
