"""Whose an item is, and what follows: the sides joined out of core, a hash partition at a time.

The way of the rows: ledger and bucket meet by key; then ledger and items meet by URL, the items that are left by their UUID,
and those that are still left by our provenance key. What follows for one unit is in ``match.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registration_pipeline.audit.match import decoded, differing, judge_unit, unknown_item
from registration_pipeline.audit.rows import (
    AuditFinding,
    BucketRow,
    DifferingObject,
    Doubt,
    FindingRow,
    ItemRow,
    LedgerRow,
    MatchedItem,
    UnitOfItem,
    UnitOfUrl,
    Unrecorded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
    """

    books: Books
    room: SpillRoom
    report: Callable[[FindingRow], None]
    joined: Joined = field(init=False)
    _ledger_by_key: Spill[LedgerRow] = field(init=False)
    _ledger_by_unit: Spill[LedgerRow] = field(init=False)
    _differing_by_unit: Spill[DifferingObject] = field(init=False)
    _units_by_url: Spill[UnitOfUrl] = field(init=False)
    _units_by_item: Spill[UnitOfItem] = field(init=False)
    _items_by_url: Spill[ItemRow] = field(init=False)
    _items_by_uuid: Spill[ItemRow] = field(init=False)
    _items_by_claim: Spill[ItemRow] = field(init=False)
    _matched: Spill[MatchedItem] = field(init=False)

    def __post_init__(self) -> None:
        room = self.room
        self._ledger_by_key = room.spill("ledger-by-key", LedgerRow)
        self._ledger_by_unit = room.spill("ledger-by-unit", LedgerRow)
        self._differing_by_unit = room.spill("differing-by-unit", DifferingObject)
        self._units_by_url = room.spill("units-by-url", UnitOfUrl)
        self._units_by_item = room.spill("units-by-item", UnitOfItem)
        self._items_by_url = room.spill("items-by-url", ItemRow)
        self._items_by_uuid = room.spill("items-by-uuid", ItemRow)
        self._items_by_claim = room.spill("items-by-claim", ItemRow)
        self._matched = room.spill("matched", MatchedItem)
        self.joined = Joined(doubts=room.spill("doubts", Doubt), unrecorded=room.spill("unrecorded", Unrecorded))

    def add_ledger(self, rows: Iterable[LedgerRow]) -> None:
        """Take what is planned."""
        for row in rows:
            self.joined.objects += 1
            self.joined.registered_objects += row.is_registered
            self.joined.units += row.is_first
            self.joined.registered_units += row.is_first and row.is_registered
            self._ledger_by_key.add(row.key.encode(), row)

    def add_bucket(self, rows: Iterable[BucketRow]) -> None:
        """Read the objects that changed or are gone, keep those of registered units, and route the ledger by unit."""
        by_key = self.room.spill("bucket-by-key", BucketRow)
        for row in rows:
            by_key.add(row.key.encode(), row)
        for partition in by_key.partitions:
            findings = dict(by_key.take(partition))
            for planned in self._ledger_by_key.take(partition):
                if planned.is_registered and planned.key in findings:
                    differs = DifferingObject(planned.unit_id, planned.key, planned.object_url, findings[planned.key])
                    self._differing_by_unit.add(planned.unit_id.encode(), differs)
                if planned.is_first:
                    self._route(planned)

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
                    self.report(unknown_item(item))

    def judge(self) -> None:
        """Give the items that are still left to the units whose key they carry, and judge every unit."""
        for partition in self._matched.partitions:
            units = {row.unit_id: row for row in self._ledger_by_unit.take(partition)}
            items: dict[str, list[MatchedItem]] = {}
            for match in self._matched.take(partition):
                items.setdefault(match.unit_id, []).append(match)
            for item in self._items_by_claim.take(partition):
                unit_id = item.unit_claim or ""
                if unit_id in units:
                    items.setdefault(unit_id, []).append(_matched(unit_id, item))
                else:
                    self.report(unknown_item(item))
            for unit in units.values():
                self._judge(unit, items.get(unit.unit_id, []))
            self._report_differing(units, self._differing_by_unit.take(partition))

    def _report_differing(self, units: Mapping[str, LedgerRow], objects: Iterable[DifferingObject]) -> None:
        """Report each unit once for changed and once for missing objects, however many of its objects that are."""
        by_unit: dict[tuple[str, str], list[DifferingObject]] = {}
        for one in objects:
            by_unit.setdefault((one.unit_id, one.finding), []).append(one)
        for (unit_id, finding), found in by_unit.items():
            unit = units[unit_id]
            self.report(differing(unit, AuditFinding(finding), found, self.books.home_of(unit.chunk_id)))

    def _judge(self, unit: LedgerRow, items: list[MatchedItem]) -> None:
        verdict = judge_unit(unit, items, self.books.home_of(unit.chunk_id))
        for finding in verdict.findings:
            self.report(finding)
        if verdict.doubt is not None:
            self.joined.doubts.add(verdict.doubt.item_uuid.encode(), verdict.doubt)
        if verdict.unrecorded is not None:
            self.joined.unrecorded.add(unit.chunk_id.encode(), verdict.unrecorded)

    def _route(self, unit: LedgerRow) -> None:
        self._ledger_by_unit.add(unit.unit_id.encode(), unit)
        self._units_by_url.add(decoded(unit.object_url), UnitOfUrl(unit.object_url, unit.unit_id))
        if unit.item_uuid is not None:
            self._units_by_item.add(unit.item_uuid.encode(), UnitOfItem(unit.item_uuid, unit.unit_id))

    def _match(self, unit_id: str, item: ItemRow) -> None:
        self._matched.add(unit_id.encode(), _matched(unit_id, item))


def _matched(unit_id: str, item: ItemRow) -> MatchedItem:
    return MatchedItem(unit_id, item.item_uuid, item.folder_uuid, item.created_at)
