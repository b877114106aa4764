"""Which objects of an inventory were planned before: a streaming merge of the inventory with everything planned.

What does not belong here: what happens to objects that were not (``decision.py``), and which files hold what was planned
(``history.py``).

Inventory and ledger are sorted by key. For each inventory batch, every run of the ledger gives its rows up to the last key of
the batch; the match itself runs in Arrow. Memory holds one batch of the inventory and one small batch per run, of at most
``_MOST_RUNS`` runs: if there are more, the smallest are sorted into one in the temporary folder first.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.planning.schema import CHANGED_SCHEMA, KNOWN_SCHEMA, LEDGER_SCHEMA
from registration_pipeline.state.temporary import temporary_space
from registration_pipeline.tables.external_sort import ExternalSort
from registration_pipeline.tables.part_reader import read_sorted
from registration_pipeline.tables.sorted_merge import SortedMerge, key_at, rows_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from registration_pipeline.state.parquet import Part
    from registration_pipeline.state.store import StateStore

Run: TypeAlias = "tuple[Part, ...]"
"""Files that hold rows in order of their keys, one behind the other."""

_NO_TAGS: Final = ("", '""', "W/", 'W/"', 'W/""')
_LONGEST_NO_TAG: Final = max(map(len, _NO_TAGS))

_ROWS_IN_HAND: Final = 262_144
"""Rows that all runs together keep decoded ahead of the inventory."""

_MOST_RUNS: Final = 32
"""Runs merged at once, 8,192 rows of each: a source has that many only if its compacted ledger was lost."""

_SORT_BYTES: Final = 32 << 20
"""Arrow bytes that are sorted at once when there are more runs."""


@dataclass(frozen=True, slots=True)
class LedgerMatch:
    """A piece of an inventory batch against the ledger.

    Args:
        rows: the piece; may be empty.
        known: one boolean per row.
        chunk_ids: of the known rows, in their order.
        changed: ``CHANGED_SCHEMA``: known rows that are not what was planned.
        deleted: ``KNOWN_SCHEMA``: ledger rows of this key range that the inventory does not have.
    """

    rows: pa.RecordBatch
    known: pa.BooleanArray
    chunk_ids: pa.StringArray
    changed: pa.RecordBatch
    deleted: pa.RecordBatch


class Ledger:
    """Every object ever planned, read once from the first key to the last.

    Args:
        store: the state.
        runs: what was planned, each key once in all runs together.
        batch_rows: how many rows of each run are decoded at once; by default as many as memory allows.
    """

    def __init__(self, store: StateStore, runs: Iterable[Run], *, batch_rows: int | None = None) -> None:
        self._rows = merged_runs(store, runs, batch_rows=batch_rows)

    def match(self, batch: pa.RecordBatch) -> Iterator[LedgerMatch]:
        """Compare the next inventory batch, in pieces that together are the batch.

        Args:
            batch: not empty; batches come in the order of their keys.
        """
        last_key = key_at(batch, batch.num_rows - 1)
        offset = 0
        while True:
            # No further than every run has been read: a run may hold any number of rows below the batch's last key.
            bound = min(last_key, self._rows.bound() or last_key)
            cut = batch.num_rows if bound == last_key else rows_until(batch, bound)
            yield _match(batch.slice(offset, cut - offset), self._rows.take_until(bound))
            offset = cut
            if bound == last_key:
                return

    def rest(self) -> Iterator[pa.RecordBatch]:
        """Yield, as ``KNOWN_SCHEMA`` and sorted, the ledger's rows behind the last inventory batch: all deleted."""
        return (rows.sort_by("key").select(KNOWN_SCHEMA.names) for rows in self._rows)


def merged_runs(
    store: StateStore,
    runs: Iterable[Run],
    *,
    batch_rows: int | None = None,
    schema: pa.Schema = LEDGER_SCHEMA,
    by: str = "key",
) -> SortedMerge:
    """Return the rows of all runs.

    Args:
        store: the state.
        runs: each sorted.
        batch_rows: how many rows of each run are decoded at once; by default as many as memory allows.
        schema: the columns that are read.
        by: the one that the runs are sorted by.

    Raises:
        StateCorruptError: a file is missing or unreadable.
        StateError: the temporary folder has no room for what must be sorted first.
    """
    by_size = sorted(filter(None, runs), key=lambda run: sum(part.rows for part in run), reverse=True)
    few, many = by_size[:_MOST_RUNS], by_size[_MOST_RUNS:]
    batch_rows = batch_rows or _ROWS_IN_HAND // max(len(few), 4)
    streams = [_run_rows(store, run, schema, batch_rows) for run in few]
    return SortedMerge([*streams, *([_sorted_together(store, many, schema, by)] if many else [])], schema, (by,))


def _run_rows(store: StateStore, run: Run, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
    for part in run:
        yield from read_sorted(store, part, columns=schema.names, batch_rows=batch_rows)


def _sorted_together(store: StateStore, runs: Iterable[Run], schema: pa.Schema, by: str) -> Iterator[pa.RecordBatch]:
    with tempfile.TemporaryDirectory(prefix="registration-pipeline-", ignore_cleanup_errors=True) as folder:
        sort = ExternalSort(Path(folder), schema, by=(by,), run_bytes=_SORT_BYTES)
        with temporary_space("The ledger", Path(folder)):
            for run in runs:
                for rows in _run_rows(store, run, schema, _ROWS_IN_HAND):
                    sort.add(rows)
            for table in sort.tables():
                yield from table.to_batches()


def _match(rows: pa.RecordBatch, planned: pa.RecordBatch) -> LedgerMatch:
    keys, planned_keys = rows.column("key"), planned.column("key")
    where = pc.index_in(keys, value_set=planned_keys)
    known = pc.is_valid(where)
    found = where.filter(known)
    before, now = planned.take(found), rows.filter(known)
    is_other = differs(before, now)
    changed = pa.RecordBatch.from_arrays(
        [
            *before.select(KNOWN_SCHEMA.names).filter(is_other).columns,
            now.column("last_modified").filter(is_other),
        ],
        schema=CHANGED_SCHEMA,
    )
    return LedgerMatch(rows, known, before.column("chunk_id"), changed, _without(planned, found).sort_by("key"))


def _without(planned: pa.RecordBatch, found: pa.Int32Array) -> pa.RecordBatch:
    """Return, as ``KNOWN_SCHEMA``, the rows that are not at the places ``found``.

    Keys are unique: equal counts mean that every row matched.
    """
    rows = planned.select(KNOWN_SCHEMA.names)
    if len(found) == rows.num_rows:
        return rows.slice(0, 0)
    places = pa.array(range(rows.num_rows), pa.int32())
    return rows.filter(pc.invert(pc.is_in(places, value_set=found)))


def _tags(rows: pa.RecordBatch) -> pa.StringArray:
    tags = rows.column("e_tag")
    shortest = pc.min(pc.binary_length(tags)).as_py()
    if shortest is None or shortest > _LONGEST_NO_TAG:  # far cheaper than comparing, and true of every store but a few
        return tags
    return pc.if_else(pc.is_in(tags, value_set=pa.array(_NO_TAGS, pa.string())), pa.scalar(None, pa.string()), tags)


def differs(before: pa.RecordBatch, now: pa.RecordBatch) -> pa.BooleanArray:
    """Return, row by row, whether an object is another one now: by ETags where both have one, else by size and time.

    An empty ETag is none: it is equal to itself whatever the object holds.

    Args:
        before: with ``e_tag``, ``size`` and ``last_modified``.
        now: with the same columns.
    """
    other_tag = pc.not_equal(_tags(before), _tags(now))
    other_size = pc.not_equal(before.column("size"), now.column("size"))
    other_time = pc.not_equal(before.column("last_modified"), now.column("last_modified"))
    return pc.coalesce(other_tag, pc.or_(other_size, other_time))
