"""Cuts units into chunks, per kind and in the order of their keys.

What does not belong here: which units there are (``decision.py``). An open chunk is a few counters, since every planned row
names its chunk itself; so memory does not depend on chunk size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from registration_pipeline.ids import chunk_id as make_chunk_id
from registration_pipeline.planning.wave import PlannedChunk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.objects import MediaKind

MOST_MANIFEST_BYTES: Final = 95_000_000
"""A chunk is closed before its manifest can reach 100 MB, Encord's limit per JSON file (best-practices page)."""

MOST_BYTES_BESIDE_URLS: Final = 4_096
"""The most that one unit adds to a manifest besides its URLs: a title of 300 characters is at most 3,600 bytes when
escaped; keys, ids and punctuation stay below 350."""


@dataclass(slots=True)
class _OpenChunk:
    chunk_id: str
    first_key: str
    last_key: str
    units: int = 0
    objects: int = 0
    bytes: int = 0
    manifest_bytes: int = 0


class ChunkCutter:
    """Gives every unit its place in a chunk; units come in the order of their first keys.

    Args:
        wave_id: the planning run.
        sizes: the most units in a chunk, per kind.
    """

    def __init__(self, wave_id: str, sizes: Mapping[MediaKind, int]) -> None:
        self._wave_id, self._sizes = wave_id, sizes
        self._open: dict[MediaKind, _OpenChunk] = {}
        self._started: dict[MediaKind, int] = {}
        self._closed: list[PlannedChunk] = []

    def place(
        self, kind: MediaKind, first_key: str, last_key: str, *, size: int, url_bytes: int, objects: int = 1
    ) -> tuple[str, int]:
        """Return the chunk id and the position in the chunk of the next unit.

        Args:
            kind: its kind.
            first_key: smallest key of its objects.
            last_key: largest key of its objects.
            size: bytes of all its objects.
            url_bytes: length of all its URLs.
            objects: how many objects it has.
        """
        manifest_bytes = url_bytes + MOST_BYTES_BESIDE_URLS
        chunk = self._open.get(kind)
        if (
            chunk is None
            or chunk.units >= self._sizes[kind]
            or chunk.manifest_bytes + manifest_bytes > MOST_MANIFEST_BYTES
        ):
            chunk = self._start(kind, first_key)
        unit_index = chunk.units
        chunk.units += 1
        chunk.objects += objects
        chunk.bytes += size
        chunk.manifest_bytes += manifest_bytes
        chunk.last_key = max(chunk.last_key, last_key)
        return chunk.chunk_id, unit_index

    def finish(self) -> tuple[PlannedChunk, ...]:
        """Close all chunks and return them in the order of their first keys."""
        for kind in list(self._open):
            self._close(kind)
        return tuple(sorted(self._closed, key=lambda chunk: (chunk.first_key, chunk.chunk_id)))

    def _start(self, kind: MediaKind, first_key: str) -> _OpenChunk:
        self._close(kind)
        number = self._started.get(kind, 0) + 1
        self._started[kind] = number
        chunk = _OpenChunk(make_chunk_id(self._wave_id, kind, number), first_key, first_key)
        self._open[kind] = chunk
        return chunk

    def _close(self, kind: MediaKind) -> None:
        chunk = self._open.pop(kind, None)
        if chunk is not None:
            self._closed.append(
                PlannedChunk(
                    chunk_id=chunk.chunk_id,
                    kind=kind,
                    wave_id=self._wave_id,
                    units=chunk.units,
                    objects=chunk.objects,
                    bytes=chunk.bytes,
                    first_key=chunk.first_key,
                    last_key=chunk.last_key,
                )
            )
