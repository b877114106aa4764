"""What the latest inventory says of planned objects, by chunk: objects that changed or are gone, and the units they are of.

What does not belong here: what is counted where (``status.py``), and finding the changes (``planning``).

The census names objects in the order of their keys, and a chunk of groups may have them anywhere. So the rows of chunks that
have to be seen object by object are sorted by chunk, out of memory where they are many.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.objects import KINDS
from registration_pipeline.planning.wave import read_census, read_chunk_units
from registration_pipeline.state.temporary import temporary_space
from registration_pipeline.tables.external_sort import ExternalSort
from registration_pipeline.tracking.failures.log import failed_keys
from registration_pipeline.tracking.repairs import changed_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from registration_pipeline.planning.wave import PlannedChunk, Wave
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.journal.states import ChunkProgress

_SCHEMA = pa.schema([pa.field("chunk_id", pa.string()), pa.field("key", pa.string()), pa.field("is_gone", pa.bool_())])
_RUN_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """Objects and units of a chunk that changed or are gone; ``failed_`` ones are those among them that are not registered.

    Args:
        gone: objects that the bucket does not hold any more.
        changed: objects that are other ones now.
        lost_units: units of which no object is left.
        deleted_units: registered units of which at least one object is gone.
        changed_units: registered units of which at least one object changed.
    """

    gone: int = 0
    failed_gone: int = 0
    changed: int = 0
    failed_changed: int = 0
    lost_units: int = 0
    failed_lost_units: int = 0
    deleted_units: int = 0
    changed_units: int = 0


def touched_chunks(
    store: StateStore, source: str, latest: Wave, chunks: Mapping[str, tuple[PlannedChunk, ChunkProgress]]
) -> dict[str, Touch]:
    """Return what changed or is gone, by chunk; chunks of which nothing did are left out.

    Args:
        store: the state.
        source: its name.
        latest: the wave of the latest inventory.
        chunks: every planned chunk and its state.
    """
    # Of a chunk of single objects without failures the numbers of rows say everything.
    in_detail = {chunk_id for chunk_id, (chunk, progress) in chunks.items() if _needs_keys(chunk, progress)}
    gone, changed = Counter[str](), Counter[str]()
    with ExitStack() as stack:
        rows = _sorter(stack) if in_detail else None
        different = changed_objects(store, source, latest, lambda chunk_id: chunks[chunk_id][1])
        for batches, counts in ((read_census(store, latest, "deleted"), gone), (different, changed)):
            for batch in batches:
                _count(batch, counts)
                if rows is not None:
                    rows.add(_named(batch, in_detail, is_gone=counts is gone))
        touched = {
            chunk_id: _of_singles(gone[chunk_id], changed[chunk_id])
            for chunk_id in gone | changed
            if chunk_id not in in_detail
        }
        for chunk_id, keys in _by_chunk(rows.tables() if rows is not None else ()):
            touched[chunk_id] = _in_detail(store, source, *chunks[chunk_id], keys)
    return touched


def _sorter(stack: ExitStack) -> ExternalSort:
    prefix = "registration-status-"
    name = stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True))
    stack.enter_context(temporary_space("The status", Path(name)))
    return ExternalSort(Path(name), _SCHEMA, by=("chunk_id",), run_bytes=_RUN_BYTES)


def _needs_keys(chunk: PlannedChunk, progress: ChunkProgress) -> bool:
    return KINDS[chunk.kind].is_group or (progress.verdict is not None and progress.verdict.failed > 0)


def _count(batch: pa.RecordBatch, counts: Counter[str]) -> None:
    found = pc.value_counts(batch.column("chunk_id")).to_pylist()
    counts.update({count["values"]: count["counts"] for count in found})


def _named(batch: pa.RecordBatch, chunk_ids: Iterable[str], *, is_gone: bool) -> pa.RecordBatch:
    rows = batch.filter(pc.is_in(batch.column("chunk_id"), pa.array(list(chunk_ids), pa.string())))
    flags = pa.repeat(pa.scalar(is_gone), rows.num_rows)
    return pa.RecordBatch.from_arrays([rows.column("chunk_id"), rows.column("key"), flags], schema=_SCHEMA)


def _by_chunk(tables: Iterable[pa.Table]) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows of each chunk together."""

    def pieces() -> Iterator[tuple[str, pa.Table]]:
        for table in tables:
            runs = pc.run_end_encode(table.column("chunk_id").combine_chunks())
            begin = 0
            for chunk_id, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
                yield chunk_id, table.slice(begin, end - begin)
                begin = end

    for chunk_id, parts in groupby(pieces(), key=itemgetter(0)):
        yield chunk_id, pa.concat_tables([part for _, part in parts])


def _of_singles(gone: int, changed: int) -> Touch:
    return Touch(gone=gone, changed=changed, lost_units=gone, deleted_units=gone, changed_units=changed)


def _in_detail(
    store: StateStore, source: str, chunk: PlannedChunk, progress: ChunkProgress, touched: pa.Table
) -> Touch:
    """Count the touched objects of a chunk and the units that they are of."""
    gone, changed = (touched.filter(pc.equal(touched.column("is_gone"), is_gone)) for is_gone in (True, False))
    if gone.num_rows == chunk.objects and not (progress.verdict and progress.verdict.failed):
        return Touch(gone=chunk.objects, lost_units=chunk.units, deleted_units=chunk.units)
    failed = pa.array(list(failed_keys(store, source, progress)), pa.string())
    keys, units = _units(store, source, chunk, touched)
    rows = pa.table(
        {
            "unit": units,
            "is_gone": pc.is_in(keys, gone.column("key").combine_chunks()),
            "is_changed": pc.is_in(keys, changed.column("key").combine_chunks()),
            "is_failed": pc.is_in(keys, failed),
        }
    )
    by_unit = rows.group_by("unit", use_threads=False).aggregate(
        [("is_gone", "all"), ("is_gone", "any"), ("is_changed", "any"), ("is_failed", "any")]
    )
    count, unit_count = _counter_of(rows), _counter_of(by_unit)
    return Touch(
        gone=count("is_gone"),
        failed_gone=count("is_gone", "is_failed"),
        changed=count("is_changed"),
        failed_changed=count("is_changed", "is_failed"),
        lost_units=unit_count("is_gone_all"),
        failed_lost_units=unit_count("is_gone_all", "is_failed_any"),
        deleted_units=unit_count("is_gone_any") - unit_count("is_gone_any", "is_failed_any"),
        changed_units=unit_count("is_changed_any") - unit_count("is_changed_any", "is_failed_any"),
    )


def _units(
    store: StateStore, source: str, chunk: PlannedChunk, touched: pa.Table
) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Return keys and what tells their units apart: of single objects those that are touched, of groups all."""
    if not KINDS[chunk.kind].is_group:
        return touched.column("key"), touched.column("key")
    units = read_chunk_units(store, source, chunk)
    return units.column("key"), units.column("unit_index")


def _counter_of(rows: pa.Table) -> Callable[..., int]:
    """Return what counts the rows of which all of the named flags are set."""

    def count(*names: str) -> int:
        flags = rows.column(names[0])
        for name in names[1:]:
            flags = pc.and_(flags, rows.column(name))
        return int(pc.sum(flags).as_py() or 0)

    return count
