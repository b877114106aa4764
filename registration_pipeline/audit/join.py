"""Whose an item is, and what follows: the sides joined out of core, a hash partition at a time.

The way of the rows: what the bucket holds otherwise meets the outcomes of its chunk; then ledger and items meet by URL, the
items that are left by their UUID, those that are still left by our provenance key if they say that they consist of the unit's
objects, too, and groups that are left even then by what they consist of (``contents.py``). What follows for one unit is in
``match.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registration_pipeline.audit.gone import GoneUnits
from registration_pipeline.audit.match import decoded, differing, judge_unit, overlapping_item, unknown_item
from registration_pipeline.audit.rows import (
    AuditFinding,
    BucketRow,
    DifferingUnit,
    Doubt,
    FindingRow,
    ItemRow,
    LedgerUnit,
    MatchedItem,
    UnitOfItem,
    UnitOfUrl,
    Unrecorded,
    merged_units,
)
from registration_pipeline.audit.sides import differing_units, members, objects_digests
from registration_pipeline.objects import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from registration_pipeline.audit.contents import ContentsJoin
    from registration_pipeline.audit.sides import Books
    from registration_pipeline.tables.spill import Spill, SpillRoom


@dataclass(slots=True, kw_only=True)
class Joined:
    """What came of the join, besides the findings.

    Args:
        doubts: recorded items that were not listed, all in one partition's order.
        unrecorded: items of units that are not registered according to the ledger, by chunk.
    """

    doubts: Spill[Doubt]
    unrecorded: Spill[Unrecorded]
    units: int = 0
    objects: int = 0
    registered_units: int = 0
    registered_objects: int = 0
    items: int = 0


@dataclass(slots=True)
class AuditJoin:
    """One comparison; every method is called once, in the order of their definition.

    Args:
        books: plan and journal.
        room: where rows are set aside.
        report: takes every finding.
        contents: opens groups that nothing else explains.
    """

    books: Books
    room: SpillRoom
    report: Callable[[FindingRow], None]
    contents: ContentsJoin
    joined: Joined = field(init=False)
    _group_chunks: frozenset[str] = field(init=False)
    _ledger_by_unit: Spill[LedgerUnit] = field(init=False)
    _differing_by_unit: Spill[DifferingUnit] = field(init=False)
    _units_by_url: Spill[UnitOfUrl] = field(init=False)
    _units_by_item: Spill[UnitOfItem] = field(init=False)
    _items_by_url: Spill[ItemRow] = field(init=False)
    _items_by_uuid: Spill[ItemRow] = field(init=False)
    _items_by_claim: Spill[ItemRow] = field(init=False)
    _matched: Spill[MatchedItem] = field(init=False)
    _gone: GoneUnits = field(init=False)

    def __post_init__(self) -> None:
        room = self.room
        chunks = self.books.chunks.values()
        self._group_chunks = frozenset(chunk.chunk_id for chunk in chunks if KINDS[chunk.kind].is_group)
        self._ledger_by_unit = room.spill("ledger-by-unit", LedgerUnit)
        self._differing_by_unit = room.spill("differing-by-unit", DifferingUnit)
        self._units_by_url = room.spill("units-by-url", UnitOfUrl)
        self._units_by_item = room.spill("units-by-item", UnitOfItem)
        self._items_by_url = room.spill("items-by-url", ItemRow)
        self._items_by_uuid = room.spill("items-by-uuid", ItemRow)
        self._items_by_claim = room.spill("items-by-claim", ItemRow)
        self._matched = room.spill("matched", MatchedItem)
        self._gone = GoneUnits(room)
        self.joined = Joined(doubts=room.spill("doubts", Doubt), unrecorded=room.spill("unrecorded", Unrecorded))

    def add_bucket(self, rows: Iterable[BucketRow]) -> None:
        """Take the objects that changed or are gone, and keep the registered units that they belong to, each once."""
        by_chunk = self.room.spill("bucket-by-chunk", BucketRow)
        for row in rows:
            by_chunk.add(row.chunk_id.encode(), row)
        for partition in by_chunk.partitions:
            of_chunks: dict[tuple[str, str], list[str]] = {}
            for row in by_chunk.take(partition):
                of_chunks.setdefault((row.chunk_id, row.finding), []).append(row.key)
            for (chunk_id, finding), keys in of_chunks.items():
                if finding == AuditFinding.GONE:
                    self._gone.expect()
                for found in differing_units(self.books, chunk_id, finding, keys):
                    self._differing_by_unit.add(found.unit_id.encode(), found)

    def add_ledger(self, rows: Iterable[LedgerUnit]) -> None:
        """Take what is planned."""
        joined = self.joined
        for row in rows:
            joined.objects += row.objects
            joined.registered_objects += row.objects if row.is_registered else 0
            joined.units += row.is_first
            joined.registered_units += row.is_first and row.is_registered
            self._ledger_by_unit.add(row.unit_id.encode(), row)
            # What Encord shows of a unit of many objects has no URL, and an item with that of its first object is another.
            if row.is_first and row.chunk_id not in self._group_chunks:
                self._units_by_url.add(decoded(row.object_url), UnitOfUrl(row.object_url, row.unit_id))
            if row.item_uuid is not None:
                self._units_by_item.add(row.item_uuid.encode(), UnitOfItem(row.item_uuid, row.unit_id))

    def add_items(self, rows: Iterable[ItemRow]) -> None:
        """Take what the folders hold."""
        for row in rows:
            self.joined.items += 1
            if row.url is None:
                self._items_by_uuid.add(row.item_uuid.encode(), row)
            else:
                self._items_by_url.add(decoded(row.url), row)

    def match_urls(self) -> None:
        """Give every item to the unit whose URL it has; an item that was listed twice counts once."""
        for partition in self._items_by_url.partitions:
            units = {decoded(row.object_url): row.unit_id for row in self._units_by_url.take(partition)}
            seen: set[str] = set()
            for item in self._items_by_url.take(partition):
                if item.item_uuid in seen:
                    continue
                seen.add(item.item_uuid)
                unit_id = units.get(decoded(item.url or ""))
                if unit_id is None:
                    self._items_by_uuid.add(item.item_uuid.encode(), item)
                else:
                    self._match(unit_id, item)

    def match_uuids(self) -> None:
        """Give the items that are left to the units that they are recorded for: not every item shows a URL."""
        for partition in self._items_by_uuid.partitions:
            units = dict(self._units_by_item.take(partition))
            items = {item.item_uuid: item for item in self._items_by_uuid.take(partition)}
            for item in items.values():
                unit_id = units.get(item.item_uuid)
                if unit_id is not None:
                    self._match(unit_id, item)
                elif item.unit_claim is not None:
                    self._items_by_claim.add(item.unit_claim.encode(), item)
                else:
                    self._left(item)

    def match_claims(self) -> None:
        """Give the items that are still left to the units whose key they carry, if they consist of the units' objects.

        The key follows from the names of source and group: objects may have come and gone, or be those of another bucket.
        """
        of_groups = self.room.spill("claims-by-chunk", ItemRow)
        for partition in self._items_by_claim.partitions:
            items = list(self._items_by_claim.take(partition))
            chunks = {row.unit_id: row.chunk_id for row in self._ledger_by_unit.read(partition)} if items else {}
            for found in items:
                chunk_id = chunks.get(found.unit_claim or "")
                item = found._replace(claimed_chunk=chunk_id)
                if chunk_id is None or item.url is not None:
                    self._left(item)  # its URL would have been the unit's
                elif chunk_id in self._group_chunks:
                    of_groups.add(chunk_id.encode(), item)
                else:
                    self._match(item.unit_claim or "", item)
        self._match_groups(of_groups)

    def _match_groups(self, claims: Spill[ItemRow]) -> None:
        """Compare what items say that they consist of with the units that they name, a chunk at a time."""
        for partition in claims.partitions:
            of_chunks: dict[str, list[ItemRow]] = {}
            for item in claims.take(partition):
                of_chunks.setdefault(item.claimed_chunk or "", []).append(item)
            for chunk_id, items in of_chunks.items():
                planned = objects_digests(self.books, chunk_id, {item.unit_claim or "" for item in items})
                for item in items:
                    if item.objects_claim == planned[item.unit_claim or ""]:
                        self._match(item.unit_claim or "", item)
                    else:
                        self._left(item)

    def match_contents(self) -> None:
        """Give groups that nothing else explains to the units that consist of the same objects, and report what is left."""
        for item, overlap, was_opened in self.contents.explain(lambda: members(self.books), self._units_of):
            if overlap is None:
                self.report(unknown_item(item, was_opened=was_opened))
            elif overlap.is_whole:
                self._match(overlap.unit_id, item, is_in_order=overlap.is_in_order)
            else:
                self.report(overlapping_item(item, overlap))

    def judge(self) -> None:
        """Judge every unit by the items that are its own, and by what the bucket holds of it."""
        for partition in self._matched.partitions:
            units = merged_units(self._ledger_by_unit.take(partition))
            items: dict[str, list[MatchedItem]] = {}
            for match in self._matched.take(partition):
                items.setdefault(match.unit_id, []).append(match)
            for unit in units.values():
                self._judge(unit, items.get(unit.unit_id, []))
            self._judge_differing(units, list(self._differing_by_unit.take(partition)))
        self._gone.report(self.report)

    def _judge_differing(self, units: Mapping[str, LedgerUnit], differing_units: Sequence[DifferingUnit]) -> None:
        self._gone.add_present(units.values(), differing_units)
        for found in differing_units:
            unit = units[found.unit_id]
            finding = differing(unit, found, self.books.home_of(unit.chunk_id))
            if found.finding == AuditFinding.GONE:
                self._gone.add(unit, finding)
            else:
                self.report(finding)

    def _judge(self, unit: LedgerUnit, items: list[MatchedItem]) -> None:
        verdict = judge_unit(unit, items, self.books.home_of(unit.chunk_id))
        for finding in verdict.findings:
            self.report(finding)
        if verdict.doubt is not None:
            self.joined.doubts.add(verdict.doubt.item_uuid.encode(), verdict.doubt)
        if verdict.unrecorded is not None:
            self.joined.unrecorded.add(unit.chunk_id.encode(), verdict.unrecorded)

    def _units_of(self, partition: int) -> dict[str, LedgerUnit]:
        return merged_units(self._ledger_by_unit.read(partition))

    def _left(self, item: ItemRow) -> None:
        """Take an item that nothing explains: only what is planned of many objects can have to do with it still."""
        if self._group_chunks:
            self.contents.add(item)
        else:
            self.report(unknown_item(item))

    def _match(self, unit_id: str, item: ItemRow, *, is_in_order: bool = True) -> None:
        match = MatchedItem(unit_id, item.item_uuid, item.folder_uuid, item.created_at, is_in_order)
        self._matched.add(unit_id.encode(), match)
