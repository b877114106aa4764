"""What each side of an audit says, as rows; and what the audit finds. No decisions.

Rows that are set aside on disk are named tuples of plain values (``tables/spill.py``).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class AuditFinding(StrEnum):
    """What can be wrong between bucket, ledger and Encord."""

    MISSING = "missing"
    """Registered according to the ledger, and not in Encord."""
    MOVED = "moved"
    """Registered, and in another folder of Encord than it was registered in."""
    DUPLICATE = "duplicate"
    """An item too many: its object is in Encord more than once."""
    UNKNOWN = "unknown"
    """In the Encord folder, and not registered according to the ledger."""
    CHANGED = "changed"
    """Registered, and the bucket's object is another one now."""
    ARCHIVED = "archived"
    """Registered, and moved to a storage class that can't be read since."""
    GONE = "gone"
    """Registered, and no longer in the bucket."""

    @property
    def means(self) -> str:
        """What it means, for people."""
        return _MEANINGS[self][0]

    @property
    def to_do(self) -> str:
        """What to do about it; ``{source}`` is replaced by the source's name."""
        return _MEANINGS[self][1]


_MEANINGS = {
    AuditFinding.MISSING: (
        "registered according to the ledger, and not in Encord",
        "unless it was meant: `registration-pipeline submit {source} --chunk ID --force` registers what its chunk lacks",
    ),
    AuditFinding.MOVED: (
        "registered, and in another folder of Encord now",
        "move it back in Encord, or leave it: sending its chunk by force would register it once more",
    ),
    AuditFinding.DUPLICATE: (
        "an item too many: its object is in Encord more than once",
        "check which one has labels, and delete the other in Encord: that is safe; the pipeline deletes nothing",
    ),
    AuditFinding.UNKNOWN: (
        "in the Encord folder, and not registered according to the ledger",
        "`registration-pipeline audit {source} --adopt` adopts what is of this source; move the rest to another folder",
    ),
    AuditFinding.CHANGED: (
        "registered, and the bucket's object is another one now",
        "Encord keeps what it read; write new content under a new key to have it registered",
    ),
    AuditFinding.ARCHIVED: (
        "registered, and archived in the bucket since: Encord can't open it",
        "restore it in the bucket, or leave it if no one works with it any more",
    ),
    AuditFinding.GONE: (
        "registered, and no longer in the bucket",
        "write it again under its key. Deleting the item in Encord is safe if all its objects are gone for good: see `detail`",
    ),
}

RANKS = {finding: rank for rank, finding in enumerate(AuditFinding)}


class LedgerUnit(NamedTuple):
    """One planned unit, and whether it is registered; or a part of one, where its objects lie apart (``merged_units``).

    Args:
        key: of its first object. That one represents the unit.
        object_url: of the same object.
        objects: how many objects it has; of a part, those of the part.
        is_first: whether the unit's first object is in the part. Of a part without it, key and URL say nothing.
    """

    unit_id: str
    key: str
    object_url: str
    chunk_id: str
    is_registered: bool
    item_uuid: str | None
    objects: int = 1
    is_first: bool = True


class BucketRow(NamedTuple):
    """One planned object that the bucket no longer holds as it was planned."""

    key: str
    chunk_id: str
    finding: str


class DifferingUnit(NamedTuple):
    """A registered unit of which the bucket holds objects otherwise, or no longer.

    Args:
        key: of these objects the smallest.
        object_url: of the same object.
        others: how many objects of the unit it concerns besides.
    """

    unit_id: str
    finding: str
    key: str
    object_url: str
    others: int


class Member(NamedTuple):
    """One object of a planned unit of a kind that has many.

    Args:
        position: in the unit, from 0.
    """

    unit_id: str
    chunk_id: str
    key: str
    object_url: str
    position: int


class ItemRow(NamedTuple):
    """One item of a folder.

    Args:
        unit_claim: our provenance key in its metadata, whatever it says.
        created_at: microseconds since 1970.
        objects_claim: our digest of what it consists of, in its metadata; whatever it says.
        claimed_chunk: the chunk of the unit that ``unit_claim`` names, once that is known to be planned.
    """

    item_uuid: str
    folder_uuid: str
    name: str
    url: str | None
    unit_claim: str | None
    created_at: int
    objects_claim: str | None = None
    claimed_chunk: str | None = None


class UnitOfUrl(NamedTuple):
    """A planned URL and its unit."""

    object_url: str
    unit_id: str


class UnitOfItem(NamedTuple):
    """An item that the ledger names, and its unit."""

    item_uuid: str
    unit_id: str


class MatchedItem(NamedTuple):
    """An item that is known to be a unit's.

    Args:
        is_in_order: False: it was recognised by its objects, and holds them in another order than planned.
    """

    unit_id: str
    item_uuid: str
    folder_uuid: str
    created_at: int
    is_in_order: bool = True


class Doubt(NamedTuple):
    """A registered unit whose recorded item is in none of the folders that were listed.

    Args:
        present_uuid: another item of the unit that was listed, if there is one.
    """

    unit_id: str
    key: str
    object_url: str
    chunk_id: str
    item_uuid: str
    objects: int
    present_uuid: str | None


class Unrecorded(NamedTuple):
    """An item of a unit that is not registered according to the ledger.

    Args:
        is_at_home: whether it is in the folder that its chunk goes to.
        is_in_order: False: it holds the unit's objects in another order than planned.
    """

    chunk_id: str
    unit_id: str
    key: str
    object_url: str
    item_uuid: str
    objects: int
    folder_uuid: str
    is_at_home: bool
    is_in_order: bool


class FindingRow(NamedTuple):
    """One line of the report. The fields and their order are those of the files.

    Args:
        key: of the object that it is about; of the unit's first object if it is about the whole unit.
        objects: how many objects the unit has.
        folder_uuid: where the item is; for one that is missing, where it should be.
        detail: what else is known, and what follows for this one.
    """

    finding: str
    key: str | None
    object_url: str | None
    chunk_id: str | None
    unit_id: str | None
    objects: int | None
    item_uuid: str | None
    folder_uuid: str | None
    detail: str | None


def merged_units(rows: Iterable[LedgerUnit]) -> dict[str, LedgerUnit]:
    """Return whole units by id, of rows that may be parts of them."""
    units: dict[str, LedgerUnit] = {}
    for row in rows:
        known = units.get(row.unit_id)
        if known is None:
            units[row.unit_id] = row
        else:
            named = row if row.is_first else known
            units[row.unit_id] = named._replace(objects=known.objects + row.objects)
    return units


def row_order(row: FindingRow) -> tuple[int, str, str, str]:
    """Return what the report is sorted by: the finding, then the key."""
    return RANKS[AuditFinding(row.finding)], row.key or "", row.object_url or "", row.item_uuid or ""
