"""What earlier readings know of objects: joined with a listing, and taken over where the version is the same.

What does not belong here: the merge itself (``facts/join.py``), and reading what is not known (``reading.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.facts.join import FactsJoin
from registration_pipeline.facts.reading.spec import VERSION_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registration_pipeline.facts.reading.spec import FactKind


class Known:
    """Several readings of one kind, read once from the first key to the last.

    Args:
        kind: what is read.
        runs: rows of each reading, sorted by key, the one that counts most first.
    """

    def __init__(self, kind: FactKind[Any], runs: Sequence[Iterator[pa.RecordBatch]]) -> None:
        self._schema = pa.schema([column.with_nullable(True) for column in kind.schema])
        self._kept_schema = kind.schema
        self._still_counts = kind.still_counts
        self._retried = pa.array(sorted(kind.retried), pa.string())
        self._joins = [FactsJoin(run, kind.schema, version=kind.version, is_timed=kind.is_timed) for run in runs]
        self._listed = {"key": "key", **dict(zip(kind.version, VERSION_COLUMNS, strict=True))}

    def match(self, batch: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        """Yield a batch in pieces, each with what is known of its objects: from the first reading that knows anything.

        What is to be read again is not known.
        """
        yield from self._match(batch, self._joins)

    def as_listed(self, rows: pa.RecordBatch, facts: pa.RecordBatch) -> pa.RecordBatch:
        """Return what is known of objects, with key and version as they are listed now."""
        is_known = pc.is_valid(facts.column("key"))
        listed, known = rows.filter(is_known), facts.filter(is_known)
        columns = [
            listed.column(self._listed[name]) if name in self._listed else known.column(name)
            for name in self._kept_schema.names
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._kept_schema)

    def _match(
        self, batch: pa.RecordBatch, joins: Sequence[FactsJoin]
    ) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        if not joins:
            nothing = [pa.nulls(batch.num_rows, field.type) for field in self._schema]
            yield batch, pa.RecordBatch.from_arrays(nothing, schema=self._schema)
            return
        for piece, facts in joins[0].match(batch):
            is_settled = pc.invert(pc.is_in(facts.column("problem"), value_set=self._retried))
            if self._still_counts is not None:
                is_settled = pc.and_(is_settled, self._still_counts(facts))
            mine = self._where(pc.and_(pc.is_valid(facts.column("key")), is_settled), facts)
            if len(joins) == 1:
                yield piece, mine
                continue
            begin = 0
            for rest, others in self._match(piece, joins[1:]):
                part = mine.slice(begin, rest.num_rows)
                begin += rest.num_rows
                yield rest, self._where(pc.is_valid(part.column("key")), part, others)

    def _where(
        self, chosen: pa.BooleanArray, rows: pa.RecordBatch, others: pa.RecordBatch | None = None
    ) -> pa.RecordBatch:
        """Return the rows that are chosen, and in the place of the others theirs, or nulls."""
        columns = [
            pc.if_else(chosen, column, pa.scalar(None, column.type) if others is None else others.column(place))
            for place, column in enumerate(rows.columns)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)
