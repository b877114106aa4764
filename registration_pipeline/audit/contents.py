"""What items that nothing else explains consist of, compared with the planned units of many objects, out of core.

What belongs here: opening such items within a limit of requests, and joining their contents with the plan by URL. What does
not belong here: what a comparison means for the report (``match.py``).

A group shows no URL in a listing. One that the pipeline registered is known by its UUID or carries its unit's id; of one that
was made by hand only its contents show which unit it is. So it is asked for them, one request an item, and only then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from registration_pipeline.audit.rows import ItemRow, Member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from registration_pipeline.audit.rows import LedgerUnit
    from registration_pipeline.tables.spill import Spill, SpillRoom

CONTENTS_REQUESTS: Final = 1_000
"""Items that one audit opens: as many requests as it lists pages of a folder of a million items."""


class _Content(NamedTuple):
    """One object of an item.

    Args:
        position: in the item, from 0.
        contents: how many objects the item has.
    """

    item_uuid: str
    object_url: str
    position: int
    contents: int
    is_single: bool


class _Shared(NamedTuple):
    """An object that is in an item and in a planned unit."""

    item_uuid: str
    contents: int
    is_single: bool
    is_in_place: bool
    unit_id: str
    chunk_id: str
    key: str
    object_url: str
    position: int


class Overlap(NamedTuple):
    """What an item and a planned unit have in common.

    Args:
        chunk_id: of the unit.
        key: of the first object of the unit that the item holds.
        object_url: of the same object.
        shared: how many objects they have in common.
        contents: how many the item has.
        objects: how many the unit has.
        is_whole: whether the item is the unit: of many objects, and exactly these.
        is_in_order: whether those that they have in common have the same positions.
    """

    item_uuid: str
    unit_id: str
    chunk_id: str
    key: str
    object_url: str
    shared: int
    contents: int
    objects: int
    is_whole: bool
    is_in_order: bool


class Explained(NamedTuple):
    """What was found out about one item.

    Args:
        overlap: the unit that it has most in common with; None: none.
        was_opened: False: it may be a group, and the limit was reached before its turn.
    """

    item: ItemRow
    overlap: Overlap | None
    was_opened: bool


@dataclass(slots=True)
class ContentsJoin:
    """Compares items with planned units by what they consist of; short-lived.

    Args:
        room: where rows are set aside.
        ask: returns the URLs of an item's objects in their order; None if it is not a group, or can't be seen.
        requests: how many items may still be opened.
        not_opened: how many were not, because the limit was reached.
    """

    room: SpillRoom
    ask: Callable[[ItemRow], Sequence[str | None] | None]
    requests: int = CONTENTS_REQUESTS
    not_opened: int = 0
    _items: Spill[ItemRow] = field(init=False)
    _contents: Spill[_Content] = field(init=False)
    _opened: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._items = self.room.spill("unexplained", ItemRow)
        self._contents = self.room.spill("contents-by-url", _Content)

    @property
    def opened(self) -> int:
        """How many items were opened."""
        return len(self._opened)

    def add(self, item: ItemRow) -> None:
        """Take an item that neither its URL nor its UUID nor its metadata explains."""
        self._items.add(item.item_uuid.encode(), item)

    def explain(
        self, members: Callable[[], Iterable[Member]], units: Callable[[int], Mapping[str, LedgerUnit]]
    ) -> Iterator[Explained]:
        """Yield every item that was taken, with the unit that it has most in common with.

        Args:
            members: streams the objects of all units of many; called only if there is something to compare.
            units: returns the planned units whose ids are in a partition.
        """
        self._open_items()
        if not self._contents.rows:
            best: Spill[Overlap] = self.room.spill("no-overlaps", Overlap)
        else:
            best = self._overlaps(self._shared(members()), units)
        for partition in self._items.partitions:
            overlaps: dict[str, Overlap] = {}
            for overlap in best.take(partition):
                known = overlaps.get(overlap.item_uuid)
                if known is None or _preference(overlap) < _preference(known):
                    overlaps[overlap.item_uuid] = overlap
            for item in self._items.take(partition):
                yield Explained(item, overlaps.get(item.item_uuid), self._was_opened(item))

    def _was_opened(self, item: ItemRow) -> bool:
        return item.url is not None or item.item_uuid in self._opened

    def _open_items(self) -> None:
        """Ask what items without a URL consist of; those that name a unit last: it may be one of another source."""
        for has_claim in (False, True):
            for partition in self._items.partitions:
                for item in self._items.read(partition):
                    if (item.unit_claim is not None) is has_claim:
                        self._open(item)

    def _open(self, item: ItemRow) -> None:
        if item.url is not None:
            self._add(item, [item.url], is_single=True)
        elif self.opened < self.requests:
            self._opened.add(item.item_uuid)
            self._add(item, self.ask(item) or (), is_single=False)
        else:
            self.not_opened += 1

    def _add(self, item: ItemRow, urls: Sequence[str | None], *, is_single: bool) -> None:
        seen: set[bytes] = set()  # an item with the same object twice has one more than it shares
        for position, url in enumerate(urls):
            name = unquote_to_bytes(url or "")
            if url and name not in seen:
                seen.add(name)
                self._contents.add(name, _Content(item.item_uuid, url, position, len(urls), is_single))

    def _shared(self, members: Iterable[Member]) -> Spill[_Shared]:
        """Join the contents with the plan by decoded URL."""
        by_url, shared = self.room.spill("members-by-url", Member), self.room.spill("shared-by-unit", _Shared)
        for member in members:
            by_url.add(unquote_to_bytes(member.object_url), member)
        for partition in by_url.partitions:
            contents: dict[bytes, list[_Content]] = {}
            for content in self._contents.take(partition):
                contents.setdefault(unquote_to_bytes(content.object_url), []).append(content)
            for member in by_url.take(partition):
                for one in contents.get(unquote_to_bytes(member.object_url), ()):
                    is_in_place = one.position == member.position
                    shared.add(
                        member.unit_id.encode(),
                        _Shared(one.item_uuid, one.contents, one.is_single, is_in_place, *_place_of(member)),
                    )
        return shared

    def _overlaps(self, shared: Spill[_Shared], units: Callable[[int], Mapping[str, LedgerUnit]]) -> Spill[Overlap]:
        """Count what each item and unit have in common; nothing is kept of a single object but its count."""
        by_item: Spill[Overlap] = self.room.spill("overlaps-by-item", Overlap)
        for partition in shared.partitions:
            found: dict[tuple[str, str], tuple[_Shared, int, bool]] = {}
            for one in shared.take(partition):
                pair = (one.item_uuid, one.unit_id)
                first, count, in_order = found.get(pair, (one, 0, True))
                first = min(first, one, key=lambda shared: shared.position)
                found[pair] = first, count + 1, in_order and one.is_in_place
            planned = units(partition) if found else {}
            for (item_uuid, unit_id), (first, count, in_order) in found.items():
                objects = planned[unit_id].objects
                is_whole = not first.is_single and count == first.contents == objects
                by_item.add(
                    item_uuid.encode(),
                    Overlap(
                        item_uuid,
                        unit_id,
                        first.chunk_id,
                        first.key,
                        first.object_url,
                        count,
                        first.contents,
                        objects,
                        is_whole,
                        in_order,
                    ),
                )
        return by_item


def _place_of(member: Member) -> tuple[str, str, str, str, int]:
    return member.unit_id, member.chunk_id, member.key, member.object_url, member.position


def _preference(overlap: Overlap) -> tuple[bool, int, str]:
    """Of several units that one is named which the item is, then the one that it shares most with."""
    return not overlap.is_whole, -overlap.shared, overlap.unit_id
