"""What headers say of the objects of an inventory batch: the set of facts ``headers``, merged by key as the ledger is.

What does not belong here: reading headers (``facts/headers``) and what becomes of an object without one (``members.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.facts.sets import FACTS_KEYS, read_facts
from registration_pipeline.planning.ledger import differs
from registration_pipeline.planning.schema import PLAN_SCHEMA
from registration_pipeline.tables.sorted_lookup import SortedLookup
from registration_pipeline.tables.sorted_merge import SortedMerge

if TYPE_CHECKING:
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.state.store import StateStore

HEADERS: Final = "headers"
"""The name of the set of facts."""

HEADER_COLUMNS: Final = (
    "header_series",
    "header_is_read",
    "header_problem",
    "header_message",
    "header_study",
    "header_modality",
)
"""What ``Headers.beside`` adds. ``header_is_read`` is null unless the header of this very version of the object was read."""

_SCHEMA: pa.Schema = pa.schema(
    [
        *FACTS_KEYS,
        *(PLAN_SCHEMA.field(name) for name in ("size", "last_modified")),
        *(pa.field(name, pa.string()) for name in ("series", "study", "modality", "problem", "message")),
    ]
)


class Headers:
    """The headers of a source's objects, read once from the first key to the last.

    Args:
        store: the state.
        facts: the set.
    """

    def __init__(self, store: StateStore, facts: FactSet) -> None:
        # A set that has not all of these columns was written by an earlier version: its headers have to be read again.
        complete = (batch for batch in read_facts(store, facts) if {*_SCHEMA.names} <= {*batch.schema.names})
        rows = (batch.select(_SCHEMA.names) for batch in complete)
        self._rows = SortedLookup(SortedMerge([rows], _SCHEMA))

    def beside(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return inventory rows with ``HEADER_COLUMNS``.

        A header counts if the object's ETag is the one it was read under; without ETags, if size and time are.

        Args:
            rows: not empty; batches come in the order of their keys.
        """
        found = self._rows.rows_of(rows.column("key"))
        where = pc.index_in(rows.column("key"), value_set=found.column("key"))
        known = found.take(where)
        is_same = pc.and_(pc.is_valid(where), pc.invert(differs(known, rows)))
        is_read = pc.if_else(pc.fill_null(is_same, fill_value=False), pa.scalar(True), pa.scalar(None, pa.bool_()))
        for name in HEADER_COLUMNS:
            column = (
                is_read
                if name == "header_is_read"
                else pc.if_else(is_read, known.column(name.removeprefix("header_")), pa.scalar(None, pa.string()))
            )
            rows = rows.append_column(name, column)
        return rows
