"""Where planned units go, and the rows that say so.

What does not belong here: which units are planned (``judge.py``) and cutting chunks (``chunking.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.facts.metadata.values import merged
from registration_pipeline.ids import unit_id
from registration_pipeline.planning.grouping.unit_facts import NO_FACTS
from registration_pipeline.planning.schema import GROUP_SCHEMA, PLAN_SCHEMA
from registration_pipeline.planning.titles import Title, TitleWriter, kept_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registration_pipeline.objects import MediaKind
    from registration_pipeline.planning.chunking import ChunkCutter
    from registration_pipeline.planning.grouping.summary import UnitSummary
    from registration_pipeline.planning.grouping.unit_facts import UnitFacts
    from registration_pipeline.settings import SourceSettings

_ROWS_AT_ONCE: Final = 65_536


class UnitLabel(NamedTuple):
    """What names a unit, and what Encord shows.

    Args:
        unit_id: 16 hexadecimal digits.
        title: of the unit.
        metadata: client metadata, as canonical JSON; None: there is none.
        media_bytes: what media metadata add to a manifest as it is sent.
    """

    unit_id: str
    title: Title
    metadata: str | None
    media_bytes: int = 0


class PlacedUnit(NamedTuple):
    """A unit with its place.

    Args:
        number: which one of the units that were added up together.
        unit: it.
        label: its id, title and metadata.
        chunk_id: its chunk.
        unit_index: its position there.
    """

    number: int
    unit: UnitSummary
    label: UnitLabel
    chunk_id: str
    unit_index: int


class UnitPlacer:
    """Gives planned units their titles and places; they come by kind and group key.

    Args:
        source: its templates.
        cutter: of the wave.
    """

    def __init__(self, source: SourceSettings, cutter: ChunkCutter) -> None:
        self._source, self._cutter = source.name, cutter
        self._titles = TitleWriter(source)
        self._chunk_id = ""
        self._titles_of_chunk: set[str] = set()

    def label(self, kind: MediaKind, unit: UnitSummary, facts: UnitFacts = NO_FACTS) -> UnitLabel:
        """Return the id and the title of a unit, and what else is sent of it."""
        name = unit_id(self._source, kind, unit.group_key)
        header = {"study": unit.study or "", "modality": unit.modality or ""}
        title = self._titles.of_group(unit.rule, unit.group_key, unit.first_key, name, header)
        if title.text in self._titles_of_chunk:
            title = self._titles.distinguished(title, name)
        kept = kept_key(unit.first_key) if title.is_shortened else None
        return UnitLabel(name, title, merged((facts.client_metadata, kept)), facts.media_bytes)

    def place(self, kind: MediaKind, number: int, unit: UnitSummary, label: UnitLabel) -> PlacedUnit:
        """Return the unit with its place; ``label`` was asked for after the unit before was placed."""
        chunk_id, unit_index = self._cutter.place(
            kind,
            unit.smallest_key,
            unit.largest_key,
            size=unit.size,
            url_bytes=unit.url_bytes,
            objects=unit.objects,
            title=label.title.text,
            client_metadata=label.metadata,
            metadata_bytes=label.media_bytes,
        )
        if chunk_id != self._chunk_id:
            self._chunk_id, self._titles_of_chunk = chunk_id, set()
        self._titles_of_chunk.add(label.title.text)
        return PlacedUnit(number, unit, label, chunk_id, unit_index)


def group_rows(placed: Sequence[PlacedUnit]) -> pa.RecordBatch:
    """Return, as ``GROUP_SCHEMA``, one row for each unit."""
    columns = [
        [one.unit.group_key for one in placed],
        [one.chunk_id for one in placed],
        [one.unit_index for one in placed],
        [one.label.unit_id for one in placed],
        [one.unit.objects for one in placed],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, GROUP_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=GROUP_SCHEMA)


def plan_rows(
    kind: MediaKind, rows: pa.Table, unit_of_row: pa.Int64Array, placed: Sequence[PlacedUnit]
) -> Iterator[pa.RecordBatch]:
    """Yield, as ``PLAN_SCHEMA``, the rows of planned units in the order of their places.

    Args:
        kind: of all units.
        rows: ``MEMBER_SCHEMA``, of all units that were added up together.
        unit_of_row: which unit a row belongs to.
        placed: those of the units that are planned, in their order.
    """
    # Where a unit is not among the planned ones, its rows give null here.
    which = pc.index_in(unit_of_row, value_set=pa.array([one.number for one in placed], pa.int64()))
    units = pa.table(
        {
            "chunk_id": pa.array([one.chunk_id for one in placed], pa.string()),
            "unit_index": pa.array([one.unit_index for one in placed], pa.int32()),
            "unit_id": pa.array([one.label.unit_id for one in placed], pa.string()),
            "title": pa.array([one.label.title.text for one in placed], pa.string()),
            "client_metadata": pa.array([one.label.metadata for one in placed], pa.string()),
            "first_row": pa.array([one.unit.first_row for one in placed], pa.int64()),
        }
    )
    for begin in range(0, rows.num_rows, _ROWS_AT_ONCE):
        of_unit = which.slice(begin, _ROWS_AT_ONCE)
        is_planned = pc.is_valid(of_unit)
        piece = rows.slice(begin, _ROWS_AT_ONCE)
        places = _counted(begin, piece.num_rows)
        if of_unit.null_count:
            piece, places, of_unit = piece.filter(is_planned), places.filter(is_planned), of_unit.filter(is_planned)
        if piece.num_rows:
            yield _plan_rows(kind, piece, places, units.take(of_unit))


def _plan_rows(kind: MediaKind, rows: pa.Table, places: pa.Int64Array, units: pa.Table) -> pa.RecordBatch:
    position = pc.subtract(places, units.column("first_row")).cast(pa.int32())
    columns = {name: rows.column(name) for name in PLAN_SCHEMA.names if name in rows.schema.names}
    columns |= {name: units.column(name) for name in ("chunk_id", "unit_index", "unit_id", "title")}
    columns |= {
        "kind": pa.repeat(pa.scalar(kind.value, pa.string()), rows.num_rows),
        "position": position,
        "client_metadata": pc.if_else(
            pc.equal(position, pa.scalar(0, pa.int32())), units.column("client_metadata"), pa.scalar(None, pa.string())
        ),
    }
    columns.setdefault("media_metadata", pa.nulls(rows.num_rows, pa.string()))
    table = pa.Table.from_arrays([columns[name] for name in PLAN_SCHEMA.names], schema=PLAN_SCHEMA)
    (batch,) = table.combine_chunks().to_batches()
    return batch


def _counted(begin: int, count: int) -> pa.Int64Array:
    """Return the whole numbers from ``begin`` on."""
    return pc.add(pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), count)), pa.scalar(begin - 1, pa.int64()))
