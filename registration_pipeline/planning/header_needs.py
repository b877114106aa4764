"""Which objects of an inventory can't be planned before their header is read.

What does not belong here: reading headers (``facts/headers``), and what a plan makes of them (``grouping/``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.ids import rules_digest
from registration_pipeline.inventory.inventory import read_inventory
from registration_pipeline.inventory.key_ranges.reading import read_key_range
from registration_pipeline.inventory.schema import NAME_NOT_UTF8
from registration_pipeline.limits import ARCHIVED_STORAGE_CLASSES
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.exclusion import Exclusion
from registration_pipeline.planning.grouping.rules import GroupRules
from registration_pipeline.planning.kinds import KIND_BY_CONTENT_TYPE, KIND_BY_SUFFIX, KindFinder
from registration_pipeline.planning.ledger import Ledger
from registration_pipeline.settings.units import ObjectKind, asks_for_headers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.inventory.key_ranges.reading import KeyBounds
    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore

_SUFFIXES: Final = sorted(suffix for suffix, kind in KIND_BY_SUFFIX.items() if kind is MediaKind.DICOM_SERIES)
_DICOM_NAME: Final = "(?i)(" + "|".join(suffix.replace(".", r"\.") for suffix in _SUFFIXES) + ")$"
_CONTENT_TYPES: Final = {name for name, kind in KIND_BY_CONTENT_TYPE.items() if kind is MediaKind.DICOM_SERIES}


def holds_dicom(store: StateStore, source: SourceSettings, inventory: Inventory) -> bool:
    """Return whether any object may need its header; quick for a bucket without DICOM objects.

    Args:
        store: the state.
        source: its rules.
        inventory: of the source.
    """
    if _needs_rules(source):
        return True
    batches = read_inventory(store, inventory, ["key", "content_type"])
    return any(pc.any(_may_be_dicom(batch), min_count=0).as_py() for batch in batches)


def objects_without_header(
    store: StateStore,
    source: SourceSettings,
    inventory: Inventory,
    history: PlanHistory,
    bounds: KeyBounds | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the objects whose unit only their header says, and that are in no wave: rows of the inventory, sorted by key.

    What a rule of the user's excludes is not among them, nor what is rejected whatever its header says.

    Args:
        store: the state.
        source: its rules.
        inventory: of the source.
        history: what was planned so far.
        bounds: of the keys; None: all.
    """
    needs = _Needs(source)
    ledger = Ledger(store, history.runs)
    for batch in read_inventory(store, inventory) if bounds is None else read_key_range(store, inventory, bounds):
        wanted = batch.filter(needs.mask(batch)) if batch.num_rows else batch
        for match in ledger.match(wanted) if wanted.num_rows else ():
            unplanned = match.rows.filter(pc.invert(match.known))
            if unplanned.num_rows:
                yield unplanned


def objects_to_read(source: SourceSettings, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return the objects among rows of an inventory whose unit only their header says, planned or not."""
    return rows.filter(_Needs(source).mask(rows)) if rows.num_rows else rows


def needs_digest(source: SourceSettings) -> str:
    """Return the digest of what decides about which objects need their header."""
    groups = GroupRules(source)
    described = Exclusion(source).digest_parts()
    return rules_digest(
        {
            **({"descriptions": described} if described else {}),
            "groups": groups.digest(),
            "include": list(source.include),
            "exclude": list(source.exclude),
            "prefix": source.location.prefix,
            "kinds": [[rule.match, rule.kind.value] for rule in source.kinds],
            "suffixes": _SUFFIXES,
            "content_types": sorted(_CONTENT_TYPES),
            "all_suffixes": sorted(KIND_BY_SUFFIX),
        }
    )


def _needs_rules(source: SourceSettings) -> bool:
    """Return whether names and content types alone can't rule an object out."""
    return asks_for_headers(source.groups) or any(rule.kind is ObjectKind.DICOM for rule in source.kinds)


class _Needs:
    """Decides for one source, batch by batch."""

    def __init__(self, source: SourceSettings) -> None:
        self._groups = GroupRules(source)
        self._find_kinds = KindFinder(source.kinds, source.location.below_prefix).kinds
        self._exclusion = Exclusion(source)
        self._needs_rules = _needs_rules(source)

    def mask(self, rows: pa.RecordBatch) -> pa.BooleanArray:
        """Return which rows need their header."""
        possible = is_readable(rows)
        if not self._needs_rules:
            possible = pc.and_(possible, _may_be_dicom(rows))
        places = pc.indices_nonzero(possible)
        if not len(places):
            return possible
        some = rows.take(places)
        keys: list[str] = some.column("key").to_pylist()
        wanted = self._wanted(keys, _values(some, "content_type"))
        chosen = places.filter(pa.array(wanted, pa.bool_()))
        return pc.is_in(pa.array(range(rows.num_rows), pa.uint64()), value_set=chosen)

    def _wanted(self, keys: Sequence[str], content_types: Sequence[str | None] | None) -> list[bool]:
        members = self._groups.members(keys, self._find_kinds(keys, content_types))
        return [
            member is not None and self._groups.needs_headers(member) and self._exclusion.rule_of(key) is None
            for key, member in zip(keys, members, strict=True)
        ]


def is_readable(rows: pa.RecordBatch) -> pa.BooleanArray:
    """Return which objects have content that can be read: a plan rejects the others, whatever their header is."""
    unreadable = pa.array(sorted({*ARCHIVED_STORAGE_CLASSES, NAME_NOT_UTF8}), pa.string())
    classes = pc.is_in(rows.column("storage_class"), value_set=unreadable)
    return pc.and_(pc.greater(rows.column("size"), 0), pc.invert(classes))


def _may_be_dicom(rows: pa.RecordBatch) -> pa.BooleanArray:
    found = pc.match_substring_regex(rows.column("key"), _DICOM_NAME)
    content_types = rows.column("content_type")
    if content_types.null_count == len(content_types):
        return found
    said = [name for name in pc.unique(content_types).to_pylist() if name and _bare(name) in _CONTENT_TYPES]
    return pc.or_(found, pc.is_in(content_types, value_set=pa.array(said, pa.string()))) if said else found


def _bare(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _values(rows: pa.RecordBatch, column: str) -> list[Any] | None:
    values = rows.column(column)
    return None if values.null_count == len(values) else values.to_pylist()
