"""Puts what was read about objects beside an inventory: a streaming merge by key. A fact is about one version of an object.

What does not belong here: where facts come from, and what is made of them.

Both sides are sorted by key, so memory holds one batch of each. A fact is valid where the ETags are the same; where one of the
two has none, where size and time are the same. That is how a plan finds out what has changed, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.tables.sorted_merge import SortedMerge, key_at, rows_until

if TYPE_CHECKING:
    from collections.abc import Iterator


class FactsJoin:
    """A set of facts, read once from the first key to the last.

    Args:
        facts: rows with key, e_tag, size and last_modified, sorted by key, each key once.
        schema: of them.
        version: the columns with the ETag, size and time as which something was read, if they are others.
        is_timed: with the same ETag and another time a fact is not valid either.
    """

    def __init__(
        self,
        facts: Iterator[pa.RecordBatch],
        schema: pa.Schema,
        version: tuple[str, str, str] = ("e_tag", "size", "last_modified"),
        *,
        is_timed: bool = False,
    ) -> None:
        self._version, self._is_timed = version, is_timed
        # The key of a row without facts is null.
        self._schema = pa.schema([field.with_nullable(True) for field in schema])
        self._rows = SortedMerge([facts], schema)

    def match(self, batch: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        """Yield the next inventory batch in pieces, each with its facts: as many rows, all null where nothing is known.

        Args:
            batch: not empty; batches come in the order of their keys.
        """
        last_key = key_at(batch, batch.num_rows - 1)
        offset = 0
        while True:
            # No further than the facts are read: any number of them may lie below the batch's last key.
            bound = min(last_key, self._rows.bound() or last_key)
            cut = batch.num_rows if bound == last_key else rows_until(batch, bound)
            piece = batch.slice(offset, cut - offset)
            found = self._rows.take_until(bound)
            if piece.num_rows:
                yield piece, self._beside(piece, found)
            offset = cut
            if bound == last_key:
                return

    def _beside(self, piece: pa.RecordBatch, facts: pa.RecordBatch) -> pa.RecordBatch:
        where = pc.index_in(piece.column("key"), value_set=facts.column("key"))
        found = facts.take(where)
        is_valid = pc.fill_null(_same_version(piece, found, self._version, is_timed=self._is_timed), False)
        where = pc.if_else(is_valid, where, pa.scalar(None, pa.int32()))
        return pa.RecordBatch.from_arrays(facts.take(where).columns, schema=self._schema)


def _same_version(
    listed: pa.RecordBatch, read: pa.RecordBatch, version: tuple[str, str, str], *, is_timed: bool
) -> pa.BooleanArray:
    e_tag, size, last_modified = version
    same_tag = pc.equal(_tags(listed.column("e_tag")), _tags(read.column(e_tag)))
    same_size = pc.equal(listed.column("size"), read.column(size))
    same_time = pc.equal(listed.column("last_modified"), read.column(last_modified))
    same = pc.coalesce(same_tag, pc.and_(same_size, same_time))
    return pc.and_(same, same_time) if is_timed else same


def _tags(tags: pa.StringArray) -> pa.StringArray:
    """Return the ETags, null where one is empty: some stores give an empty one to all objects."""
    return pc.if_else(pc.less(pc.binary_length(tags), 1), pa.scalar(None, pa.string()), tags)
