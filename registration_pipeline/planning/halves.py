"""The halves of a chunk that Encord refused as a whole, and the halves of those: ids, members, nothing else.

A part is a pure function of its chunk, so it is never written to the plan. When to split is decided by ``submission``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.planning.wave import load_chunks, load_wave, read_chunk_units

if TYPE_CHECKING:
    from registration_pipeline.planning.units import ChunkUnits
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.state.store import StateStore

_PART_ID = re.compile(r"(?P<chunk>.+-[0-9]+)-(?P<path>[ab]+)")


def halve(chunk: PlannedChunk, units: ChunkUnits) -> list[tuple[PlannedChunk, ChunkUnits]]:
    """Return the two halves of a chunk or part as chunks of their own, the first one larger if the units are odd.

    Args:
        chunk: a planned chunk ``…-00001`` gives ``…-00001-a`` and ``…-00001-b``; those give ``…-00001-aa`` and so on.
        units: its units, in order; at least two.
    """
    middle = (len(units) + 1) // 2
    base = chunk.chunk_id if _PART_ID.fullmatch(chunk.chunk_id) else f"{chunk.chunk_id}-"
    return [
        (_part(chunk, base + letter, members), members)
        for letter, members in (("a", units[:middle]), ("b", units[middle:]))
    ]


def whole_of(chunk_id: str) -> str:
    """Return the planned chunk that a chunk or part belongs to."""
    part = _PART_ID.fullmatch(chunk_id)
    return part["chunk"] if part else chunk_id


def is_within(chunk_id: str, whole_id: str) -> bool:
    """Return whether a chunk or part is ``whole_id`` itself or a part of it."""
    part = _PART_ID.fullmatch(chunk_id)
    if chunk_id == whole_id or part is None:
        return chunk_id == whole_id
    return part["chunk"] == whole_id or (_PART_ID.fullmatch(whole_id) is not None and chunk_id.startswith(whole_id))


def read_units(store: StateStore, source: str, chunk_id: str) -> ChunkUnits:
    """Return the units of a chunk or part, by its id alone.

    Raises:
        StateCorruptError: no committed wave planned it.
    """
    part = _PART_ID.fullmatch(chunk_id)
    whole_id, path = (part["chunk"], part["path"]) if part else (chunk_id, "")
    wave = load_wave(store, source, whole_id.rsplit("-", 2)[0])
    chunk = load_chunks(store, source, [wave] if wave else []).get(whole_id)
    if chunk is None:
        raise StateCorruptError(f"The state has no plan of chunk {whole_id}. Restore the plan folder from a backup.")
    units = read_chunk_units(store, source, chunk)
    for letter in path:
        (_, first), (_, second) = halve(chunk, units)
        units = first if letter == "a" else second
    return units


def _part(chunk: PlannedChunk, part_id: str, units: ChunkUnits) -> PlannedChunk:
    keys = sorted(units.values("key"))
    return replace(
        chunk,
        chunk_id=part_id,
        units=len(units),
        objects=units.objects,
        bytes=sum(units.values("size")),
        first_key=keys[0],
        last_key=keys[-1],
        first_row=None,
    )
