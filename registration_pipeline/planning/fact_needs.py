"""Which objects of an inventory a plan needs metadata of, and media metadata: those that it may put into a unit.

What does not belong here: headers (``header_needs.py``), reading anything (``facts``), and what a plan makes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.inventory.inventory import read_inventory
from registration_pipeline.inventory.key_ranges.reading import read_key_range
from registration_pipeline.planning.exclusion import Exclusion
from registration_pipeline.planning.grouping.rules import GroupRules
from registration_pipeline.planning.header_needs import is_readable
from registration_pipeline.planning.kinds import KindFinder
from registration_pipeline.planning.ledger import Ledger
from registration_pipeline.planning.media_blocks import media_block
from registration_pipeline.planning.rejected_rows import values_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.inventory.key_ranges.reading import KeyBounds
    from registration_pipeline.objects import MediaKind
    from registration_pipeline.planning.grouping.rules import Member
    from registration_pipeline.planning.history import PlanHistory
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore


def objects_with_metadata(
    store: StateStore, source: SourceSettings, inventory: Inventory, history: PlanHistory
) -> Iterator[pa.RecordBatch]:
    """Yield the objects that a plan needs client metadata of: rows of the inventory, sorted by key.

    Those are the objects that may be in a unit and that are in no wave; with ``upsert_metadata`` planned ones, too. What the
    settings leave out is not among them, nor what is rejected whatever its metadata is.

    Args:
        store: the state.
        source: its rules.
        inventory: of the source.
        history: what was planned so far.
    """
    needs = _Needs(source)
    for batch in _objects(store, inventory, None if source.upsert_metadata else history):
        wanted = needs.of(batch)
        if wanted.num_rows:
            yield wanted


def objects_to_probe(
    store: StateStore,
    source: SourceSettings,
    inventory: Inventory,
    history: PlanHistory,
    bounds: KeyBounds | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the objects in no wave whose media metadata a manifest has a place for, likewise; only those within bounds.

    In JSON these are single images, videos, audio, PDFs and texts; with ``submit_as: data_items`` members of units, too.
    """
    needs = _Needs(source)
    for batch in _objects(store, inventory, history, bounds):
        wanted = needs.of(batch, to_probe=True)
        if wanted.num_rows:
            yield wanted


def has_block(source: SourceSettings, groups: GroupRules, kind: MediaKind | None, member: Member | None) -> bool:
    """Return whether the media metadata of an object have a place in the manifests of a source.

    Args:
        source: its settings.
        groups: its rules.
        kind: of the object.
        member: what the rules say of it.
    """
    of_unit = kind if member is None else groups.rules[member.rule].kind.media_kind
    return of_unit is not None and media_block(of_unit, source.submit_as) is not None


def _objects(
    store: StateStore, inventory: Inventory, history: PlanHistory | None, bounds: KeyBounds | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the objects that are in no wave; without a history all."""
    rows = read_inventory(store, inventory) if bounds is None else read_key_range(store, inventory, bounds)
    if history is None:
        yield from (batch for batch in rows if batch.num_rows)
        return
    ledger = Ledger(store, history.runs)
    for batch in rows:
        for match in ledger.match(batch) if batch.num_rows else ():
            unplanned = match.rows.filter(pc.invert(match.known))
            if unplanned.num_rows:
                yield unplanned


class _Needs:
    """Decides for one source, batch by batch."""

    def __init__(self, source: SourceSettings) -> None:
        self._source = source
        self._groups, self._exclusion = GroupRules(source), Exclusion(source)
        self._find_kinds = KindFinder(source.kinds, source.location.below_prefix).kinds

    def of(self, rows: pa.RecordBatch, *, to_probe: bool = False) -> pa.RecordBatch:
        rows = rows.filter(is_readable(rows))
        keys: list[str] = rows.column("key").to_pylist()
        kinds = self._find_kinds(keys, values_of(rows, "content_type"))
        members = self._groups.members(keys, kinds)
        wanted = self._possible(kinds, members, to_probe=to_probe)
        if not self._exclusion.is_empty:
            rule_of = self._exclusion.rule_of
            wanted = [want and rule_of(key) is None for want, key in zip(wanted, keys, strict=True)]
        return rows if all(wanted) else rows.filter(pa.array(wanted, pa.bool_()))

    def _possible(
        self, kinds: Sequence[MediaKind | None], members: Sequence[Member | None], *, to_probe: bool
    ) -> list[bool]:
        if to_probe:
            source, groups = self._source, self._groups
            return [has_block(source, groups, *one) for one in zip(kinds, members, strict=True)]
        return [kind is not None or member is not None for kind, member in zip(kinds, members, strict=True)]
