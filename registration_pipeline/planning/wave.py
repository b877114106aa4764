"""What one planning run added, as values, and how it is read back: waves, chunks, units.

What does not belong here: deciding what is new (``plan.py``) and committing it (``lineage.py``).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.counts import PlanCounts
from registration_pipeline.planning.schema import CHUNK_SCHEMA, PLAN_SCHEMA
from registration_pipeline.planning.units import UNIT_COLUMNS, ChunkUnits
from registration_pipeline.planning.warnings import PlanWarnings
from registration_pipeline.state.ahead import each
from registration_pipeline.state.damage import damaged
from registration_pipeline.state.layout import COMMIT_MARKER, lineage_folder, plan_folder
from registration_pipeline.state.markers import read_marker
from registration_pipeline.state.owned import own_names
from registration_pipeline.state.parquet import Part, read_parts
from registration_pipeline.state.sealed import read_sealed
from registration_pipeline.tables.part_reader import GroupReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from registration_pipeline.state.store import StateStore

Census = Literal["rejected", "changed", "deleted"]

_UNIT_ROWS: Final = GroupReader(("chunk_id", *UNIT_COLUMNS))
_UNIT_INDEXES: Final = GroupReader(("chunk_id", "key", "unit_index"))
_WAVE_ID: Final = re.compile(r"(?P<inventory_id>[0-9]{8}T[0-9]{6}Z)(?:-(?P<number>[1-9][0-9]*))?(?:-upsert)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChunk:
    """Units that are submitted together; never changes once its wave is committed.

    Args:
        chunk_id: also the Dagster partition key.
        kind: of all its units.
        wave_id: the planning run that made it.
        units: what Encord will register.
        objects: bucket objects in those units.
        bytes: sum of their sizes.
        first_key: smallest key in it.
        last_key: largest key in it.
        first_row: where its rows begin in the unit files of its wave; None: they lie between its keys in the plan.
    """

    chunk_id: str
    kind: MediaKind
    wave_id: str
    units: int
    objects: int
    bytes: int
    first_key: str
    last_key: str
    first_row: int | None = None


@dataclass(frozen=True, slots=True)
class FactsUsed:
    """A set of facts that a wave was planned with.

    Args:
        name: what was read: ``headers``, a table…
        facts_id: which reading of it.
        digest: of its content.
    """

    name: str
    facts_id: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """What one planning run added, and what else it found.

    Args:
        wave_id: the inventory's id; ``-2``, ``-3``… follow when it was planned again under other rules.
        source: its source.
        inventory_id: what was planned.
        rules_digest: of everything that decides about an object.
        listing_digest: of what was planned.
        counts: where every object went.
        parts: the new objects, sorted by key.
        part_first_keys: the first key of each part.
        unit_files: the rows of chunks that are found by their place, once more.
        group_files: ``GROUP_SCHEMA``; the units of several objects.
        chunk_files: the chunks.
        rejected_files: every rejected object of the inventory, whether or not an earlier wave rejected it too.
        changed_files: known objects that changed.
        deleted_files: known objects that are gone.
        facts: what was known about objects beyond the listing.
        uri: of the source when it was planned; None in waves of earlier versions.
        groupings: digests of the rules of grouping that planned the source up to this wave; none in waves of earlier versions.
        grouped_by: digests of the group rules that took any object of the source up to this wave; likewise.
        warnings: what a person should know.
        planned_at: UTC.
        sent_files: of a wave of upserts: ``SENT_SCHEMA`` of ``planning/upserts``, what it sends of each unit, by key.
        kept_files: of a wave of upserts: ``KEPT_SCHEMA``, what failed and is not sent.
        upserts: of a wave of upserts: its counts, and what it compared, in JSON's types.
    """

    wave_id: str
    source: str
    inventory_id: str
    rules_digest: str
    listing_digest: str
    counts: PlanCounts
    parts: tuple[Part, ...] = ()
    part_first_keys: tuple[str, ...] = ()
    unit_files: tuple[Part, ...] = ()
    group_files: tuple[Part, ...] = ()
    chunk_files: tuple[Part, ...] = ()
    rejected_files: tuple[Part, ...] = ()
    changed_files: tuple[Part, ...] = ()
    deleted_files: tuple[Part, ...] = ()
    facts: tuple[FactsUsed, ...] = ()
    groupings: tuple[str, ...] = ()
    grouped_by: tuple[str, ...] = ()
    uri: str | None = None
    warnings: PlanWarnings = field(default_factory=PlanWarnings)
    planned_at: datetime
    sent_files: tuple[Part, ...] = ()
    kept_files: tuple[Part, ...] = ()
    upserts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the form it has in the commit marker."""
        return {
            "wave_id": self.wave_id,
            "source": self.source,
            "inventory_id": self.inventory_id,
            "rules_digest": self.rules_digest,
            "listing_digest": self.listing_digest,
            "counts": asdict(self.counts),
            "parts": [part.to_json() for part in self.parts],
            "part_first_keys": list(self.part_first_keys),
            "unit_files": [part.to_json() for part in self.unit_files],
            "group_files": [part.to_json() for part in self.group_files],
            "chunk_files": [part.to_json() for part in self.chunk_files],
            "rejected_files": [part.to_json() for part in self.rejected_files],
            "changed_files": [part.to_json() for part in self.changed_files],
            "deleted_files": [part.to_json() for part in self.deleted_files],
            "facts": [asdict(facts) for facts in self.facts],
            "groupings": list(self.groupings),
            "grouped_by": list(self.grouped_by),
            "uri": self.uri,
            "warnings": self.warnings.to_json(),
            "planned_at": self.planned_at.isoformat(),
            **({"sent_files": [part.to_json() for part in self.sent_files]} if self.sent_files else {}),
            **({"kept_files": [part.to_json() for part in self.kept_files]} if self.kept_files else {}),
            **({"upserts": dict(self.upserts)} if self.upserts else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Wave:
        """Read the form it has in the commit marker.

        Raises:
            KeyError, TypeError, ValueError: it is not the form that ``to_json`` writes.
        """

        def files(key: str) -> tuple[Part, ...]:
            return tuple(Part.from_json(part) for part in value[key])

        return cls(
            wave_id=str(value["wave_id"]),
            source=str(value["source"]),
            inventory_id=str(value["inventory_id"]),
            rules_digest=str(value["rules_digest"]),
            listing_digest=str(value["listing_digest"]),
            counts=PlanCounts(**value["counts"]),
            parts=files("parts"),
            part_first_keys=tuple(value["part_first_keys"]),
            unit_files=files("unit_files"),
            group_files=files("group_files"),
            chunk_files=files("chunk_files"),
            rejected_files=files("rejected_files"),
            changed_files=files("changed_files"),
            deleted_files=files("deleted_files"),
            facts=tuple(FactsUsed(**facts) for facts in value["facts"]),
            groupings=tuple(map(str, value.get("groupings", ()))),
            grouped_by=tuple(map(str, value.get("grouped_by", ()))),
            uri=value.get("uri"),
            warnings=PlanWarnings.from_json(value.get("warnings")),
            planned_at=datetime.fromisoformat(value["planned_at"]),
            sent_files=tuple(Part.from_json(part) for part in value.get("sent_files", ())),
            kept_files=tuple(Part.from_json(part) for part in value.get("kept_files", ())),
            upserts=dict(value.get("upserts", {})),
        )


def wave_order(wave_id: str) -> tuple[str, int]:
    """Return the sort key of a wave id; waves are planned in this order.

    Raises:
        ValueError: not a wave id.
    """
    match = _WAVE_ID.fullmatch(wave_id)
    if match is None:
        raise ValueError(f"{wave_id!r} is not a wave id; expected e.g. 20261121T020000Z or 20261121T020000Z-2")
    return match["inventory_id"], int(match["number"] or 1)


def is_wave_id(name: str) -> bool:
    """Return whether a folder of the plan is named like a wave."""
    return _WAVE_ID.fullmatch(name) is not None


def load_wave(store: StateStore, source: str, wave_id: str) -> Wave | None:
    """Return a committed wave, or None. One whose commit marker is missing is found in the lineage.

    Raises:
        StateCorruptError: its commit marker, or an entry of the lineage, is damaged.
    """
    marker = read_marker(store, plan_folder(source, wave_id))
    if marker is not None:
        return _wave_of(store, plan_folder(source, wave_id) + COMMIT_MARKER, marker)
    entries = reversed(list(own_names(store, lineage_folder(source))))
    return next((wave for wave in (read_entry(store, name) for name in entries) if wave.wave_id == wave_id), None)


def load_waves(store: StateStore, source: str) -> list[Wave]:
    """Return the committed waves of a source in the order they were planned: those of the lineage and of commit markers.

    Raises:
        StateCorruptError: a commit marker or an entry is damaged, or two that belong together differ.
    """
    waves = read_lineage(store, own_names(store, lineage_folder(source)))
    waves |= marked_waves(store, source, filter(is_wave_id, store.folders(plan_folder(source))), waves)
    return [waves[wave_id] for wave_id in sorted(waves, key=wave_order)]


def marked_waves(
    store: StateStore, source: str, wave_ids: Iterable[str], recorded: Mapping[str, Wave]
) -> dict[str, Wave]:
    """Return those of some waves that have a commit marker, by id.

    Args:
        store: the state.
        source: its name.
        wave_ids: which.
        recorded: what the lineage says of waves, by id.

    Raises:
        StateCorruptError: a commit marker is damaged, or is not what the lineage says.
    """
    found: dict[str, Wave] = {}
    wanted = list(wave_ids)
    markers = each(store, lambda wave_id: read_marker(store, plan_folder(source, wave_id)), wanted)
    for wave_id, marker in zip(wanted, markers, strict=True):
        if marker is None:
            continue
        name = plan_folder(source, wave_id) + COMMIT_MARKER
        found[wave_id] = _wave_of(store, name, marker)
        if recorded.get(wave_id, found[wave_id]) != found[wave_id]:
            raise damaged(store, name, "is not what the lineage says of its wave")
    return found


def read_lineage(store: StateStore, names: Iterable[str], *, after: str | None = None) -> dict[str, Wave]:
    """Return the waves of entries of the lineage, by id, in their order.

    Args:
        store: the state.
        names: of the entries, in the order of their numbers.
        after: the wave before the first of them, if it is known.

    Raises:
        StateCorruptError: an entry is damaged, or the waves are not in the order in which they were planned.
    """
    waves: dict[str, Wave] = {}
    before = "the compacted ledger"
    wanted = list(names)
    for name, wave in zip(wanted, each(store, partial(read_entry, store), wanted), strict=True):
        if after is not None and wave_order(wave.wave_id) <= wave_order(after):
            problem = (
                f"it has wave {wave.wave_id}, and {before} has {after}: one of them is a copy, or they were exchanged"
            )
            raise damaged(store, name, f"is out of order: {problem}")
        waves[wave.wave_id], after, before = wave, wave.wave_id, name
    return waves


def read_entry(store: StateStore, name: str) -> Wave:
    """Return the wave that an entry of the lineage commits.

    Raises:
        StateCorruptError: it is not one.
    """
    return _wave_of(store, name, read_sealed(store, name))


def _wave_of(store: StateStore, name: str, document: Mapping[str, Any]) -> Wave:
    try:
        return Wave.from_json(document)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(store, name, f"is not the commit of a wave ({error!r})") from error


def load_chunks(store: StateStore, source: str, waves: Sequence[Wave] | None = None) -> dict[str, PlannedChunk]:
    """Return the chunks of a source by id, in planning order.

    Args:
        store: the state.
        source: its name.
        waves: only the chunks of these; all committed waves by default.
    """
    waves = load_waves(store, source) if waves is None else waves
    return {chunk.chunk_id: chunk for wave in waves for chunk in read_chunks(store, wave.chunk_files)}


def read_chunks(store: StateStore, files: Iterable[Part]) -> Iterator[PlannedChunk]:
    """Yield the chunks in ``CHUNK_SCHEMA`` files, which may be of several waves."""
    for batch in read_parts(store, files, CHUNK_SCHEMA.names):
        for row in batch.to_pylist():
            kind = MediaKind(row.pop("kind"))
            yield PlannedChunk(wave_id=row["chunk_id"].rpartition(f"-{kind}-")[0], kind=kind, **row)


def read_chunk_units(store: StateStore, source: str, chunk: PlannedChunk, wave: Wave | None = None) -> ChunkUnits:
    """Return the units of a chunk in the order of ``unit_index``, reading only the row groups that hold or can hold them.

    ``wave`` is the one that planned the chunk, if its marker was read already.

    Raises:
        StateCorruptError: the wave is not committed, or its parts hold another number of units than the chunk has.
    """
    wave = wave or wave_of(store, source, chunk)
    tables = [_rows_of(table, chunk.chunk_id) for table in _groups_of(store, wave, chunk, _UNIT_ROWS)]
    units = ChunkUnits(pa.concat_tables(tables) if tables else PLAN_SCHEMA.empty_table())
    if len(units) != chunk.units or units.objects != chunk.objects:
        raise damaged(
            store,
            plan_folder(source, chunk.wave_id) + COMMIT_MARKER,
            f"belongs to a plan that holds {len(units)} units and {units.objects} objects of chunk {chunk.chunk_id}, but "
            f"{chunk.units} and {chunk.objects} were planned",
        )
    return units


def read_unit_indexes(store: StateStore, wave: Wave, chunk: PlannedChunk) -> pa.Table:
    """Return ``key`` and ``unit_index`` of every object of a chunk, which that wave planned, in any order.

    Raises:
        StateCorruptError: a file of the wave is missing or unreadable.
    """
    tables = [_rows_of(table, chunk.chunk_id) for table in _groups_of(store, wave, chunk, _UNIT_INDEXES)]
    return pa.concat_tables(tables) if tables else PLAN_SCHEMA.empty_table().select(["key", "unit_index"])


def wave_of(store: StateStore, source: str, chunk: PlannedChunk) -> Wave:
    """Return the wave that planned a chunk.

    Raises:
        StateCorruptError: it is not committed.
    """
    wave = load_wave(store, source, chunk.wave_id)
    if wave is None:
        missing = plan_folder(source, chunk.wave_id) + COMMIT_MARKER
        raise damaged(store, missing, f"is missing, so chunk {chunk.chunk_id} has no plan")
    return wave


def wave_files(wave: Wave) -> list[Part]:
    """Return every file that the commit marker of a wave names."""
    return [
        *wave.parts,
        *wave.unit_files,
        *wave.group_files,
        *wave.chunk_files,
        *wave.rejected_files,
        *wave.changed_files,
        *wave.deleted_files,
        *wave.sent_files,
        *wave.kept_files,
    ]


def read_census(store: StateStore, wave: Wave, which: Census) -> Iterator[pa.RecordBatch]:
    """Stream what else a planning run found: ``rejected``, ``changed`` or ``deleted`` objects, sorted by key."""
    files = {"rejected": wave.rejected_files, "changed": wave.changed_files, "deleted": wave.deleted_files}
    return read_parts(store, files[which])


def _groups_of(store: StateStore, wave: Wave, chunk: PlannedChunk, reader: GroupReader) -> Iterator[pa.Table]:
    if chunk.first_row is not None:
        yield from reader.rows(store, wave.unit_files, first_row=chunk.first_row, rows=chunk.objects)
        return
    for part in _parts_between(wave, chunk.first_key, chunk.last_key):
        yield from reader.groups(store, part, first_key=chunk.first_key, last_key=chunk.last_key)


def _parts_between(wave: Wave, first_key: str, last_key: str) -> tuple[Part, ...]:
    # Strings compare by code point, which is the order of their UTF-8 bytes.
    start = max(bisect_right(wave.part_first_keys, first_key) - 1, 0)
    return wave.parts[start : bisect_right(wave.part_first_keys, last_key)]


def _rows_of(table: pa.Table, chunk_id: str) -> pa.Table:
    """Return the rows of one chunk; they mostly lie side by side, and then nothing is copied."""
    mine = pc.equal(table.column("chunk_id"), pa.scalar(chunk_id, pa.string()))
    places = pc.indices_nonzero(mine)
    if len(places) == 0:
        return table.slice(0, 0)
    first, last = places[0].as_py(), places[-1].as_py()
    return table.slice(first, len(places)) if last - first + 1 == len(places) else table.filter(mine)
