"""Writes the files of a wave of upserts: its units side by side, what it sends of each by key, and its chunks.

What does not belong here: which units there are (``plan.py``), and committing (``planning/lineage.py``).
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.planning.schema import CHUNK_SCHEMA
from registration_pipeline.planning.upserts.schema import KEPT_SCHEMA, SENT_SCHEMA, UPSERT_UNIT_SCHEMA
from registration_pipeline.planning.wave import wave_of
from registration_pipeline.planning.wave_writer import PLAN_GROUP_ROWS
from registration_pipeline.state.layout import census_folder, plan_folder
from registration_pipeline.state.markers import FileSet
from registration_pipeline.state.parquet import ParquetPartWriter
from registration_pipeline.state.temporary import temporary_space
from registration_pipeline.tables.external_sort import ExternalSort
from registration_pipeline.tables.part_reader import GroupReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from registration_pipeline.planning.wave import PlannedChunk, Wave
    from registration_pipeline.state.store import StateStore

_SENT_AT_ONCE = 4_096
_UNIT_ITEMS = GroupReader(("chunk_id", "unit_id", "item_uuid", "folder_uuid"))


class UpsertWriter(Protocol):
    """Takes what a wave of upserts sends."""

    def write_units(self, rows: pa.Table, sent: Sequence[Mapping[str, object]]) -> None:
        """Take units: their ``UPSERT_UNIT_SCHEMA`` rows, chunk after chunk, and their ``SENT_SCHEMA`` rows."""

    def write_kept(self, row: Mapping[str, object]) -> None:
        """Take a unit that failed and is not sent: its ``KEPT_SCHEMA`` row, which may leave out what it has not."""


class DryUpsertWriter:
    """``UpsertWriter`` that keeps nothing."""

    def write_units(self, rows: pa.Table, sent: Sequence[Mapping[str, object]]) -> None:
        """See ``UpsertWriter.write_units``."""

    def write_kept(self, row: Mapping[str, object]) -> None:
        """See ``UpsertWriter.write_kept``."""


class StateUpsertWriter:
    """``UpsertWriter`` into the state; a context manager that removes its temporary files.

    Args:
        store: the state.
        source: what stands for the source.
        wave_id: the wave.
    """

    def __init__(self, store: StateStore, source: str, wave_id: str) -> None:
        self._stack = ExitStack()
        self._folder = Path(
            self._stack.enter_context(
                tempfile.TemporaryDirectory(prefix="registration-pipeline-", ignore_cleanup_errors=True)
            )
        )
        plan, census = FileSet(store, plan_folder(source, wave_id)), FileSet(store, census_folder(source, wave_id))
        self._units = self._stack.enter_context(
            ParquetPartWriter(plan, UPSERT_UNIT_SCHEMA, stem="units", rows_per_group=PLAN_GROUP_ROWS)
        )
        self._sent = self._stack.enter_context(ParquetPartWriter(plan, SENT_SCHEMA, stem="sent", distinct=("key",)))
        self._chunks = self._stack.enter_context(ParquetPartWriter(census, CHUNK_SCHEMA, stem="chunks"))
        self._kept = self._stack.enter_context(ParquetPartWriter(census, KEPT_SCHEMA, stem="kept", distinct=("key",)))
        self._kept_rows: list[Mapping[str, object]] = []
        self._by_key = ExternalSort(self._folder, SENT_SCHEMA)
        self._pending: list[Mapping[str, object]] = []
        self._first_rows: dict[str, int] = {}
        self._rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write_units(self, rows: pa.Table, sent: Sequence[Mapping[str, object]]) -> None:
        """See ``UpsertWriter.write_units``; remembers where chunks begin."""
        chunk_ids = rows.column("chunk_id").combine_chunks()
        for chunk_id in pc.unique(chunk_ids).to_pylist():
            if chunk_id not in self._first_rows:
                place = pc.index(chunk_ids, pa.scalar(chunk_id, pa.string())).as_py()
                self._first_rows[chunk_id] = self._rows + place
        self._rows += rows.num_rows
        for batch in rows.to_batches():
            self._units.write(batch)
        self._pending += sent
        if len(self._pending) >= _SENT_AT_ONCE:
            self._sort_pending()

    def write_kept(self, row: Mapping[str, object]) -> None:
        """See ``UpsertWriter.write_kept``."""
        self._kept_rows.append(row)
        if len(self._kept_rows) == _SENT_AT_ONCE:
            self._write_kept()

    def finish(self, wave: Wave, chunks: Iterable[PlannedChunk]) -> tuple[Wave, tuple[PlannedChunk, ...]]:
        """Take the wave and its chunks; return the wave with its files, and the chunks with their places."""
        self._sort_pending()
        self._write_kept()
        with temporary_space("The upserts", self._folder):
            for table in self._by_key.tables():
                for batch in table.to_batches():
                    self._sent.write(batch)
        placed = tuple(replace(chunk, first_row=self._first_rows[chunk.chunk_id]) for chunk in chunks)
        rows = [{name: getattr(chunk, name) for name in CHUNK_SCHEMA.names} for chunk in placed]
        if rows:
            self._chunks.write(pa.RecordBatch.from_pylist(rows, schema=CHUNK_SCHEMA))
        wave = replace(
            wave,
            unit_files=self._units.finish(),
            chunk_files=self._chunks.finish(),
            sent_files=self._sent.finish(),
            kept_files=self._kept.finish(),
        )
        return wave, placed

    def _write_kept(self) -> None:
        self._kept.write(pa.RecordBatch.from_pylist(self._kept_rows, schema=KEPT_SCHEMA))
        self._kept_rows = []

    def _sort_pending(self) -> None:
        with temporary_space("The upserts", self._folder):
            self._by_key.add(pa.RecordBatch.from_pylist(self._pending, schema=SENT_SCHEMA))
        self._pending = []


def read_items(store: StateStore, source: str, chunk: PlannedChunk) -> tuple[dict[str, str], str]:
    """Return the item of each unit of a whole chunk of upserts by unit id, and the folder of all of them.

    Args:
        store: the state.
        source: what stands for the source.
        chunk: not a part of one.

    Raises:
        StateCorruptError: the wave is not committed, or a file of it is missing or unreadable.
    """
    wave = wave_of(store, source, chunk)
    tables: Sequence[pa.Table] = [
        table.filter(pc.equal(table.column("chunk_id"), pa.scalar(chunk.chunk_id)))
        for table in _UNIT_ITEMS.rows(store, wave.unit_files, first_row=chunk.first_row or 0, rows=chunk.objects)
    ]
    rows = pa.concat_tables(tables).group_by(["unit_id", "item_uuid", "folder_uuid"]).aggregate([]).to_pylist()
    return {row["unit_id"]: row["item_uuid"] for row in rows}, rows[0]["folder_uuid"]
