"""Cuts units into chunks, per kind and in the order of their keys.

What does not belong here: which units there are (``decision.py``). An open chunk is a few counters, since every planned row
names its chunk itself; so memory does not depend on chunk size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from registration_pipeline.ids import chunk_id as make_chunk_id
from registration_pipeline.limits import MANIFEST_LIMITS, MAX_URLS, EncordPlan
from registration_pipeline.planning.wave import PlannedChunk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.objects import MediaKind

MOST_OBJECTS: Final = 10_000
"""A chunk is closed before it would hold more objects; a larger unit has a chunk of its own. The memory that verdicts take
grows with the objects of a chunk."""

MOST_BYTES_BESIDE_URLS: Final = 4_096
"""The most that one unit adds to a manifest as it is sent, besides its URLs and the metadata that is counted: a title of 300
characters is at most 3,600 bytes when escaped; keys, ids, ``createVideo`` and punctuation stay below 350."""

BYTES_BESIDE_URL: Final = len('"objectUrl_999999": "", ')
"""The most that one URL adds besides itself: there are at most 1,000,000 in a manifest."""

MARGIN_BYTES: Final = 4_096
"""What is sent around the units: the other keys of the manifest, integration and file name."""


def manifest_bytes(*, url_bytes: int, objects: int, metadata_bytes: int = 0) -> int:
    """Return the most that a unit adds to a manifest as the SDK sends it.

    Args:
        url_bytes: length of all its URLs; URLs are ASCII, with nothing that JSON escapes.
        objects: how many URLs that are.
        metadata_bytes: length of its client and media metadata as JSON, with a blank after every comma and colon.
    """
    return url_bytes + objects * BYTES_BESIDE_URL + metadata_bytes + MOST_BYTES_BESIDE_URLS


_MOST_URLS: Final = min(MOST_OBJECTS, MAX_URLS)  # every object is one URL


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
        limits: what Encord accepts in one manifest. A unit that is too large alone has a chunk of its own.
    """

    def __init__(
        self,
        wave_id: str,
        sizes: Mapping[MediaKind, int],
        limits: ManifestLimits = MANIFEST_LIMITS[EncordPlan.ENTERPRISE],
    ) -> None:
        self._wave_id = wave_id
        self._sizes = {kind: min(size, limits.entries) for kind, size in sizes.items()}
        self._most_bytes = limits.bytes - MARGIN_BYTES
        self._open: dict[MediaKind, _OpenChunk] = {}
        self._started: dict[MediaKind, int] = {}
        self._closed: list[PlannedChunk] = []

    def place(
        self,
        kind: MediaKind,
        first_key: str,
        last_key: str,
        *,
        size: int,
        url_bytes: int,
        objects: int = 1,
        metadata_bytes: int = 0,
    ) -> tuple[str, int]:
        """Return the chunk id and the position in the chunk of the next unit.

        Args:
            kind: its kind.
            first_key: smallest key of its objects.
            last_key: largest key of its objects.
            size: bytes of all its objects.
            url_bytes: length of all its URLs.
            objects: how many objects it has.
            metadata_bytes: length of its metadata, as in ``manifest_bytes``.
        """
        added = manifest_bytes(url_bytes=url_bytes, objects=objects, metadata_bytes=metadata_bytes)
        chunk = self._open.get(kind)
        if (
            chunk is None
            or chunk.units >= self._sizes[kind]
            or chunk.objects + objects > _MOST_URLS
            or chunk.manifest_bytes + added > self._most_bytes
        ):
            chunk = self._start(kind, first_key)
        unit_index = chunk.units
        chunk.units += 1
        chunk.objects += objects
        chunk.bytes += size
        chunk.manifest_bytes += added
        # Units of several objects do not come in the order of their keys.
        chunk.first_key = min(chunk.first_key, first_key)
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
