"""Writes the rows of a wave as they come: new objects to the plan, the rest of the findings to the census.

What does not belong here: deciding what a row says (``plan.py``) and committing (``lineage.py``). Nothing written here counts
before that.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol, Self

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.planning.placed_rows import FARTHEST_ROWS, PlacedRows
from registration_pipeline.planning.schema import (
    CHANGED_SCHEMA,
    CHUNK_SCHEMA,
    GROUP_SCHEMA,
    KNOWN_SCHEMA,
    PLAN_SCHEMA,
    REJECTED_SCHEMA,
)
from registration_pipeline.state.layout import census_folder, plan_folder
from registration_pipeline.state.markers import FileSet
from registration_pipeline.state.parquet import PART_ROWS, ROW_GROUP_ROWS, ParquetPartWriter, Part

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.state.store import StateStore

PLAN_GROUP_ROWS: Final = 8_192
"""Rows per row group of a plan. A chunk is read several times on its way, and each time the groups that it lies in are decoded
whole: 26 ms of CPU at 65,536 rows, 6 ms at 8,192, for 13 % larger files (benchmarks, 200,000 objects)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveFiles:
    """The files of a wave, as its commit marker names them, and its chunks, each with its place."""

    chunks: tuple[PlannedChunk, ...] = ()

    parts: tuple[Part, ...] = ()
    part_first_keys: tuple[str, ...] = ()
    unit_files: tuple[Part, ...] = ()
    group_files: tuple[Part, ...] = ()
    chunk_files: tuple[Part, ...] = ()
    rejected_files: tuple[Part, ...] = ()
    changed_files: tuple[Part, ...] = ()
    deleted_files: tuple[Part, ...] = ()


class WaveWriter(Protocol):
    """Takes the rows of a wave, each kind of row in the order of its keys."""

    def write_new(self, rows: pa.RecordBatch) -> None:
        """Take ``PLAN_SCHEMA`` rows."""

    def write_units(self, rows: pa.RecordBatch) -> None:
        """Take ``PLAN_SCHEMA`` rows of units of several objects in the order of their places.

        Chunk follows chunk, and no other call comes in between. ``write_new`` takes the same rows in the order of their keys.
        """

    def write_groups(self, rows: pa.RecordBatch) -> None:
        """Take ``GROUP_SCHEMA`` rows."""

    def write_rejected(self, rows: pa.RecordBatch) -> None:
        """Take ``REJECTED_SCHEMA`` rows."""

    def write_changed(self, rows: pa.RecordBatch) -> None:
        """Take ``KNOWN_SCHEMA`` rows."""

    def write_deleted(self, rows: pa.RecordBatch) -> None:
        """Take ``KNOWN_SCHEMA`` rows."""

    def finish(self, chunks: Iterable[PlannedChunk]) -> WaveFiles:
        """Take the chunks and return the files, and the chunks with their places."""


class DryRunWriter:
    """``WaveWriter`` that keeps nothing: for a plan that is not committed."""

    def write_new(self, rows: pa.RecordBatch) -> None:
        """See ``WaveWriter.write_new``."""

    def write_units(self, rows: pa.RecordBatch) -> None:
        """See ``WaveWriter.write_units``."""

    def write_groups(self, rows: pa.RecordBatch) -> None:
        """See ``WaveWriter.write_groups``."""

    def write_rejected(self, rows: pa.RecordBatch) -> None:
        """See ``WaveWriter.write_rejected``."""

    def write_changed(self, rows: pa.RecordBatch) -> None:
        """See ``WaveWriter.write_changed``."""

    def write_deleted(self, rows: pa.RecordBatch) -> None:
        """See ``WaveWriter.write_deleted``."""

    def finish(self, chunks: Iterable[PlannedChunk]) -> WaveFiles:
        """See ``WaveWriter.finish``."""
        return WaveFiles(chunks=tuple(chunks))


class StateWaveWriter:
    """``WaveWriter`` into the state, in parts; a context manager that removes its temporary files.

    Args:
        store: the state.
        source: its name.
        wave_id: the planning run.
        rows_per_part: the most rows in one part.
        farthest_rows: chunks that span more rows of the plan are found by place.
    """

    def __init__(
        self,
        store: StateStore,
        source: str,
        wave_id: str,
        *,
        rows_per_part: int = PART_ROWS,
        farthest_rows: int = FARTHEST_ROWS,
    ) -> None:
        self._stack = ExitStack()
        census = FileSet(store, census_folder(source, wave_id))

        def writer(
            files: FileSet, schema: pa.Schema, stem: str, rows_per_group: int = ROW_GROUP_ROWS
        ) -> ParquetPartWriter:
            part_writer = ParquetPartWriter(
                files, schema, stem=stem, rows_per_part=rows_per_part, rows_per_group=rows_per_group
            )
            return self._stack.enter_context(part_writer)

        plan = FileSet(store, plan_folder(source, wave_id))
        self._new = writer(plan, PLAN_SCHEMA, "part", PLAN_GROUP_ROWS)
        self._units = writer(plan, PLAN_SCHEMA, "units", PLAN_GROUP_ROWS)
        self._unit_rows = 0
        self._first_rows: dict[str, int] = {}
        self._placed = PlacedRows(self._write_side_by_side, farthest_rows=farthest_rows)
        self._groups = writer(plan, GROUP_SCHEMA, "groups")
        self._chunks = writer(census, CHUNK_SCHEMA, "chunks")
        self._rejected = writer(census, REJECTED_SCHEMA, "rejected")
        self._changed = writer(census, CHANGED_SCHEMA, "changed")
        self._deleted = writer(census, KNOWN_SCHEMA, "deleted")
        self._rows_per_part = rows_per_part
        self._new_rows = 0
        self._part_first_keys: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write_new(self, rows: pa.RecordBatch) -> None:
        """See ``WaveWriter.write_new``; remembers where parts begin, so that a chunk's part is found by its keys."""
        first = -self._new_rows % self._rows_per_part
        for row in range(first, rows.num_rows, self._rows_per_part):
            self._part_first_keys.append(rows.column("key")[row].as_py())
        self._new_rows += rows.num_rows
        self._new.write(rows)
        self._placed.add(rows)

    def write_units(self, rows: pa.RecordBatch) -> None:
        """See ``WaveWriter.write_units``; remembers where chunks begin."""
        chunk_ids = rows.column("chunk_id")
        begin = self._write_side_by_side(rows)
        for chunk_id in pc.unique(chunk_ids).to_pylist():
            if chunk_id not in self._first_rows:
                self._first_rows[chunk_id] = begin + pc.index(chunk_ids, pa.scalar(chunk_id, pa.string())).as_py()

    def write_groups(self, rows: pa.RecordBatch) -> None:
        """See ``WaveWriter.write_groups``."""
        self._groups.write(rows)

    def write_rejected(self, rows: pa.RecordBatch) -> None:
        """See ``WaveWriter.write_rejected``."""
        self._rejected.write(rows)

    def write_changed(self, rows: pa.RecordBatch) -> None:
        """See ``WaveWriter.write_changed``."""
        self._changed.write(rows)

    def write_deleted(self, rows: pa.RecordBatch) -> None:
        """See ``WaveWriter.write_deleted``."""
        self._deleted.write(rows)

    def finish(self, chunks: Iterable[PlannedChunk]) -> WaveFiles:
        """See ``WaveWriter.finish``."""
        self._placed.finish()
        first_rows = self._placed.first_rows | self._first_rows
        placed = tuple(replace(chunk, first_row=first_rows.get(chunk.chunk_id)) for chunk in chunks)
        rows = [{name: getattr(chunk, name) for name in CHUNK_SCHEMA.names} for chunk in placed]
        self._chunks.write(pa.RecordBatch.from_pylist(rows, schema=CHUNK_SCHEMA))
        return WaveFiles(
            chunks=placed,
            parts=self._new.finish(),
            part_first_keys=tuple(self._part_first_keys),
            unit_files=self._units.finish(),
            group_files=self._groups.finish(),
            chunk_files=self._chunks.finish(),
            rejected_files=self._rejected.finish(),
            changed_files=self._changed.finish(),
            deleted_files=self._deleted.finish(),
        )

    def _write_side_by_side(self, rows: pa.RecordBatch) -> int:
        """Write rows of a chunk that is found by place, and return their place."""
        begin = self._unit_rows
        self._units.write(rows)
        self._unit_rows += rows.num_rows
        return begin
