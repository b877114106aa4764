"""What one entry of ``metadata`` says of a batch of objects: the columns of its set of facts beside them, or its pattern.

What does not belong here: merging entries (``merging.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.facts.join import FactsJoin
from registration_pipeline.facts.metadata.patterns import PatternValues
from registration_pipeline.facts.metadata.value_sets import VALUES_SCHEMA
from registration_pipeline.facts.reading.spec import WAITING
from registration_pipeline.state.parquet import read_parts
from registration_pipeline.tables.sorted_lookup import SortedLookup
from registration_pipeline.tables.sorted_merge import SortedMerge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registration_pipeline.facts.metadata.schema_check import SchemaCheck
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore


class Said(NamedTuple):
    """What an entry says of objects, in their order.

    Args:
        texts: canonical JSON; null: nothing.
        problems: ``RejectionReason``; null: none. None: of no object.
        messages: of the problems.
        is_waiting: which objects have to be read yet. None: no object.
    """

    texts: pa.StringArray
    problems: pa.StringArray | None = None
    messages: pa.StringArray | None = None
    is_waiting: pa.BooleanArray | None = None


class EntryValues(Protocol):
    """An entry, asked once for all objects in the order of their keys."""

    without_row: int
    """Objects so far that a table has no row for."""

    def of(self, rows: pa.RecordBatch) -> Said:
        """Return what it says of objects: rows of ``INVENTORY_SCHEMA``, at least one."""


def entry_values(
    store: StateStore, source: SourceSettings, schema: SchemaCheck, inputs: Sequence[FactSet | None], batch_rows: int
) -> list[EntryValues]:
    """Return every entry of a source.

    Args:
        store: the state.
        source: its settings.
        schema: its types.
        inputs: the set of facts of each entry; None: of a pattern.
        batch_rows: how many rows of a set are decoded at once.

    Raises:
        ValueError: an entry that is not a pattern has no set.
    """
    found: list[EntryValues] = []
    for entry, facts in zip(source.metadata, inputs, strict=True):
        if entry.pattern is not None:
            found.append(_OfPattern(PatternValues(entry, schema, source.location.below_prefix)))
        elif facts is None:
            raise ValueError(f"there is no set of facts for the entry {entry.model_dump_json(exclude_defaults=True)}")
        else:
            rows = (batch.select(VALUES_SCHEMA.names) for batch in read_parts(store, facts.parts, None, batch_rows))
            found.append(_OfVersion(rows, schema) if entry.object_metadata else _OfKey(rows))
    return found


class _OfPattern:
    without_row = 0

    def __init__(self, pattern: PatternValues) -> None:
        self._pattern = pattern

    def of(self, rows: pa.RecordBatch) -> Said:
        return Said(pa.array(self._pattern.texts(rows.column("key").to_pylist()), pa.string()))


class _OfKey:
    """A table or sidecars: their values belong to a key, whatever version of the object has it. No row: nothing is said."""

    def __init__(self, facts: Iterator[pa.RecordBatch]) -> None:
        self._rows = SortedLookup(SortedMerge([facts], VALUES_SCHEMA))
        self.without_row = 0

    def of(self, rows: pa.RecordBatch) -> Said:
        found = self._rows.rows_of(rows.column("key"))
        where = pc.index_in(rows.column("key"), value_set=found.column("key"))
        self.without_row += where.null_count
        return _said(found.take(where), None)


class _OfVersion:
    """Object metadata, which belong to a version of an object; all are texts. No row: it has to be read yet."""

    without_row = 0

    def __init__(self, facts: Iterator[pa.RecordBatch], schema: SchemaCheck) -> None:
        self._join, self._schema = FactsJoin(facts, VALUES_SCHEMA), schema

    def of(self, rows: pa.RecordBatch) -> Said:
        found = pa.concat_batches([known for _, known in self._join.match(rows)])
        is_waiting = pc.is_null(found.column("key"))
        said = _said(found, is_waiting if pc.any(is_waiting).as_py() else None)
        return said._replace(texts=self._converted(said.texts)) if self._schema.converts else said

    def _converted(self, texts: pa.StringArray) -> pa.StringArray:
        convert = self._schema.converted_texts
        return pa.array([None if text is None else convert(text) for text in texts.to_pylist()], pa.string())


def _said(found: pa.RecordBatch, is_waiting: pa.BooleanArray | None) -> Said:
    problems = found.column("problem")
    if problems.null_count == len(problems):
        return Said(found.column("values"), is_waiting=is_waiting)
    texts = pc.if_else(pc.is_valid(problems), pa.scalar(None, pa.string()), found.column("values"))
    unread = pc.fill_null(pc.equal(problems, WAITING), fill_value=False)
    if pc.any(unread).as_py():
        is_waiting = unread if is_waiting is None else pc.or_(is_waiting, unread)
    return Said(texts, problems, found.column("message"), is_waiting)
