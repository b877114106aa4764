"""What the items of one unit mean, given what the ledger says of it: pure functions over values.

What does not belong here: finding out whose an item is (``join.py``), looking up items elsewhere (``lookup.py``)
and taking over what the ledger does not know (``unrecorded.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from registration_pipeline.audit.rows import AuditFinding, Doubt, FindingRow, Unrecorded
from registration_pipeline.foreign_text import masked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.audit.contents import Overlap
    from registration_pipeline.audit.rows import DifferingUnit, ItemRow, LedgerUnit, MatchedItem

_GONE_IN_PART = (
    "The item still shows the other objects: write what is gone again under its key; delete the item only if you no longer "
    "want the whole unit"
)


@dataclass(slots=True)
class UnitVerdict:
    """What the audit makes of one unit.

    Args:
        doubt: its recorded item was not listed: it is searched for elsewhere before anything is reported.
        unrecorded: an item that the ledger does not know to be registered.
    """

    findings: list[FindingRow] = field(default_factory=list)
    doubt: Doubt | None = None
    unrecorded: Unrecorded | None = None


def decoded(url: str) -> bytes:
    """Return what two URLs have in common that mean the same object: the bytes behind their percent-encoding."""
    return unquote_to_bytes(url)


def judge_unit(unit: LedgerUnit, items: Sequence[MatchedItem], home: str | None) -> UnitVerdict:
    """Compare a unit with the items that are its own.

    Args:
        unit: what the ledger says.
        items: every item of the unit in the folders that were listed, each once.
        home: the folder that the unit's chunk goes to.
    """
    verdict = UnitVerdict()
    kept = min(items, key=lambda item: _preference(item, unit, home), default=None)
    verdict.findings += [_duplicate(unit, item, kept) for item in items if kept is not None and item is not kept]
    is_recorded_listed = any(item.item_uuid == unit.item_uuid for item in items)
    if not unit.is_registered:
        if kept is not None:
            verdict.unrecorded = Unrecorded(
                unit.chunk_id,
                unit.unit_id,
                unit.key,
                unit.object_url,
                kept.item_uuid,
                unit.objects,
                kept.folder_uuid,
                kept.folder_uuid == home,
                kept.is_in_order,
            )
        return verdict
    if kept is not None and kept.folder_uuid != home:
        verdict.findings.append(moved(unit, kept.item_uuid, kept.folder_uuid, home))
    if unit.item_uuid is not None and not is_recorded_listed:
        verdict.doubt = Doubt(
            unit.unit_id,
            unit.key,
            unit.object_url,
            unit.chunk_id,
            unit.item_uuid,
            unit.objects,
            kept.item_uuid if kept is not None else None,
        )
    elif kept is None:
        verdict.findings.append(missing(unit, home, "the ledger names no item that could be searched for elsewhere"))
    return verdict


def judge_doubt(doubt: Doubt, folder: str | None, home: str | None, *, was_looked_up: bool) -> FindingRow | None:
    """Return the finding that follows from the folder of a recorded item.

    Args:
        folder: the folder that holds it; None: it does not exist, or may not be seen.
        was_looked_up: False when the limit of look-ups was reached before its turn.
    """
    if folder is None:
        if doubt.present_uuid is not None:
            return None  # deleted, and registered again since
        detail = None if was_looked_up else "not searched for in other folders: the limit of look-ups was reached"
        return missing(doubt, home, detail)
    if doubt.present_uuid is not None:
        detail = f"also in the folder of its chunk, as {doubt.present_uuid}"
        return _row(AuditFinding.DUPLICATE, doubt, doubt.item_uuid, folder, detail)
    # A listing while others write can pass over an item that is there.
    return None if folder == home else moved(doubt, doubt.item_uuid, folder, home)


def unknown_item(item: ItemRow, *, was_opened: bool = True) -> FindingRow:
    """Return the finding for an item that does not belong to a planned object.

    Args:
        item: it shows no URL, or one that is not planned.
        was_opened: False for an item that may be a group, and of which the limit kept the audit from asking what is in it.
    """
    # Items that others registered may have presigned URLs.
    detail = f"titled {masked(item.name)!r}; no planned object has this URL"
    if item.claimed_chunk is not None:
        detail += (
            f". It names {item.unit_claim!r} as registration.unit, which is planned in chunk {item.claimed_chunk} with other "
            "objects, and is never adopted"
        )
    elif item.unit_claim is not None:
        detail += f", nor is {item.unit_claim!r}, which it names as registration.unit, planned for this source"
    if not was_opened:
        detail += ". What it consists of was not asked: the limit of such requests was reached"
    return FindingRow(
        finding=AuditFinding.UNKNOWN.value,
        key=None,
        object_url=masked(item.url or "") or None,
        chunk_id=None,
        unit_id=item.unit_claim,
        objects=None,
        item_uuid=item.item_uuid,
        folder_uuid=item.folder_uuid,
        detail=detail,
    )


def overlapping_item(item: ItemRow, overlap: Overlap) -> FindingRow:
    """Return the finding for an item that holds objects of a planned unit, and is not that unit.

    It names the first of these objects.
    """
    of_unit = f"{overlap.shared:,} of the {overlap.objects:,} objects of this unit"
    if item.url is not None:
        detail = f"its object is one of the {overlap.objects:,} objects of this unit, which is planned as one item"
    elif overlap.shared == overlap.contents:
        detail = f"it holds only {of_unit}"
    else:
        detail = f"it holds {of_unit}, and {overlap.contents - overlap.shared:,} others"
    return FindingRow(
        finding=AuditFinding.UNKNOWN.value,
        key=overlap.key,
        object_url=overlap.object_url,
        chunk_id=overlap.chunk_id,
        unit_id=overlap.unit_id,
        objects=overlap.objects,
        item_uuid=item.item_uuid,
        folder_uuid=item.folder_uuid,
        detail=f"titled {masked(item.name)!r}; {detail}. It is never adopted; delete it, or move it to another folder",
    )


def differing(unit: LedgerUnit, found: DifferingUnit, home: str | None) -> FindingRow:
    """Return the finding for a registered unit of which the bucket holds objects otherwise, or no longer.

    Args:
        unit: what the ledger says.
        found: of the same unit.
        home: the folder that the unit's chunk goes to.
    """
    row = _row(AuditFinding(found.finding), unit, unit.item_uuid, home, _how_much_differs(unit, found))
    return row._replace(key=found.key, object_url=found.object_url)


def _how_much_differs(unit: LedgerUnit, found: DifferingUnit) -> str | None:
    """Return how many of the objects of a unit differ; None for a unit of one, of which the row says everything.

    Deleting an item takes all its objects out of Encord, so of a unit that is gone in part it is not simply safe.
    """
    if unit.objects == 1:
        return None
    count, finding = found.others + 1, AuditFinding(found.finding)
    if finding is AuditFinding.GONE and count >= unit.objects:
        return f"all {unit.objects:,} objects are gone"
    verb = {AuditFinding.CHANGED: "changed"}.get(finding, f"{'is' if count == 1 else 'are'} {finding.value}")
    named = f": {found.key!r}" if count == 1 else f", the first of them {found.key!r}"
    detail = f"{count:,} of {unit.objects:,} objects {verb}{named}"
    return f"{detail}. {_GONE_IN_PART}" if finding is AuditFinding.GONE else detail


def missing(unit: LedgerUnit | Doubt, home: str | None, detail: str | None) -> FindingRow:
    """Return the finding for a registered unit without an item."""
    return _row(AuditFinding.MISSING, unit, unit.item_uuid, home, detail)


def moved(unit: LedgerUnit | Doubt, item_uuid: str, folder: str, home: str | None) -> FindingRow:
    """Return the finding for an item in another folder than its chunk's."""
    return _row(AuditFinding.MOVED, unit, item_uuid, folder, f"registered in folder {home}")


def unknown(item: Unrecorded, detail: str) -> FindingRow:
    """Return the finding for an item of ours that the ledger does not know to be registered."""
    return _row(AuditFinding.UNKNOWN, item, item.item_uuid, item.folder_uuid, detail)


def _preference(item: MatchedItem, unit: LedgerUnit, home: str | None) -> tuple[bool, bool, int, str]:
    """Of several items the one in the right folder stays, then the recorded one, then the oldest."""
    return item.folder_uuid != home, item.item_uuid != unit.item_uuid, item.created_at, item.item_uuid


def _duplicate(unit: LedgerUnit, item: MatchedItem, kept: MatchedItem) -> FindingRow:
    detail = f"one too many beside {kept.item_uuid}"
    if item.folder_uuid != kept.folder_uuid:
        detail += f" in folder {kept.folder_uuid}"
    return _row(AuditFinding.DUPLICATE, unit, item.item_uuid, item.folder_uuid, detail)


def _row(
    finding: AuditFinding,
    unit: LedgerUnit | Doubt | Unrecorded,
    item_uuid: str | None,
    folder: str | None,
    detail: str | None,
) -> FindingRow:
    return FindingRow(
        finding=finding.value,
        key=unit.key,
        object_url=unit.object_url,
        chunk_id=unit.chunk_id,
        unit_id=unit.unit_id,
        objects=unit.objects,
        item_uuid=item_uuid,
        folder_uuid=folder,
        detail=detail,
    )
