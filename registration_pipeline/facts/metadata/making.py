"""Makes the set of facts ``metadata``: all entries of a source merged, for every object that a plan may need them of.

What does not belong here: which objects these are (``planning/fact_needs.py``), reading what entries need, and merging a
batch (``merging.py``).

Objects and sets of facts are sorted by key and read side by side, so memory holds a piece of each, however many there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from registration_pipeline.facts.metadata.entry_values import entry_values
from registration_pipeline.facts.metadata.merging import Merger
from registration_pipeline.facts.metadata.metadata_set import (
    METADATA,
    METADATA_SCHEMA,
    is_current,
    set_notes,
)
from registration_pipeline.facts.metadata.schema_check import SchemaCheck
from registration_pipeline.facts.metadata.value_sets import ROWS_WITHOUT_OBJECT
from registration_pipeline.facts.reading.progress import claim_reading, clear_away, give_up_claim
from registration_pipeline.facts.sets import FactsWriter, latest_facts
from registration_pipeline.inventory.inventory import read_inventory
from registration_pipeline.state.parquet import read_parts
from registration_pipeline.tables.sorted_lookup import SortedLookup
from registration_pipeline.tables.sorted_merge import SortedMerge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from registration_pipeline.facts.metadata.entry_values import EntryValues
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore

_PIECE_BYTES: Final = 2 << 20
"""Compressed bytes of values that are handled at once; about ten times as many when they are decoded."""

_PIECE_ROWS: Final = range(16, 8_192 + 1)


def make_metadata(
    *,
    store: StateStore,
    source: SourceSettings,
    inventory: Inventory,
    candidates: Callable[[], Iterator[pa.RecordBatch]],
    inputs: Sequence[FactSet | None],
    clock: Callable[[], datetime],
    planned: int = 0,
) -> FactSet:
    """Merge all entries of a source and commit what they come to; return the last set if nothing changed since.

    An object without a row in the set of a table or of sidecars has no values there. One without a row among object metadata
    waits, and so does one whose row has the problem ``waiting``: it has no row in this set, either.

    Args:
        store: the state.
        source: its settings.
        inventory: whose objects the candidates are.
        candidates: gives the objects that the set covers: rows of ``INVENTORY_SCHEMA``, sorted by key.
        inputs: the set of each entry as ``VALUES_SCHEMA``, in the order of the entries; None for a pattern.
        clock: gives the aware time.
        planned: number of the plan's lineage that said which objects are candidates.

    Raises:
        ValueError: an entry that is not a pattern has no set.
        StateCorruptError: a committed file is missing or unreadable.
        StateError: the state can't be read or written.
    """
    notes = set_notes(source, inventory, inputs, planned)
    previous = latest_facts(store, source.name, METADATA)
    if previous is not None and is_current(previous, notes):
        return previous
    facts_id = claim_reading(store, source.name, METADATA, clock())
    try:
        schema = SchemaCheck(source.metadata_schema)
        piece_rows = _piece_rows(inputs)
        entries = entry_values(store, source, schema, inputs, piece_rows)
        merger = Merger(entries, schema)
        with FactsWriter(store, source.name, METADATA, facts_id, METADATA_SCHEMA) as writer:
            for batch in candidates():
                for offset in range(0, batch.num_rows, piece_rows):
                    writer.write(merger.rows(batch.slice(offset, piece_rows)))
            tables = _tables(store, source, inventory, inputs, entries)
            facts = writer.commit(made_at=clock(), notes={**notes, **_counts(merger), "tables": tables})
    except BaseException:
        give_up_claim(store, source.name, METADATA, facts_id)
        raise
    clear_away(store, source.name, METADATA, facts_id, clock())
    return facts


def _counts(merger: Merger) -> dict[str, Any]:
    counts = {"objects": merger.objects, "with_values": merger.with_values, "waiting": merger.waiting}
    return {"counts": counts, "problems": dict(sorted(merger.problems.items()))}


def _piece_rows(inputs: Sequence[FactSet | None]) -> int:
    """Return how many objects are handled at once: fewer where their values are large, such as embeddings of frames."""
    row_bytes = sum(
        sum(part.bytes for part in facts.parts) // max(facts.rows, 1) + 1 for facts in inputs if facts is not None
    )
    return min(max(_PIECE_BYTES // max(row_bytes, 1), _PIECE_ROWS[0]), _PIECE_ROWS[-1])


def _tables(
    store: StateStore,
    source: SourceSettings,
    inventory: Inventory,
    inputs: Sequence[FactSet | None],
    entries: Sequence[EntryValues],
) -> list[dict[str, Any]]:
    """Return ``TableCounts`` of every table, in JSON's types."""
    places = [index for index, entry in enumerate(source.metadata) if entry.table is not None]
    sets = {index: facts for index in places if (facts := inputs[index]) is not None}
    present = _present(store, inventory, sets)
    return [
        {
            "entry": index,
            "table": source.metadata[index].table,
            # A set has a row for each object that the rows of its table name, and notes of what it made none.
            "rows": int(facts.notes.get("rows", facts.rows)),
            "without_object": facts.rows - present[index] + int(facts.notes.get(ROWS_WITHOUT_OBJECT, 0)),
            "without_row": entries[index].without_row,
        }
        for index, facts in sets.items()
    ]


def _present(store: StateStore, inventory: Inventory, sets: dict[int, FactSet]) -> dict[int, int]:
    """Return how many keys of each set the inventory has, whatever becomes of these objects."""
    found = dict.fromkeys(sets, 0)
    if not sets:
        return found
    keys = pa.schema([METADATA_SCHEMA.field("key")])
    lookups = {
        index: SortedLookup(SortedMerge([read_parts(store, facts.parts, ["key"])], keys))
        for index, facts in sets.items()
    }
    for batch in read_inventory(store, inventory, ["key"]):
        for index, lookup in lookups.items() if batch.num_rows else ():
            found[index] += lookup.rows_of(batch.column("key")).num_rows
    return found
