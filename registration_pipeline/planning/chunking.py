"""Cuts units into chunks, per kind and in the order in which they come.

What does not belong here: which units there are (``decision.py``). An open chunk is a few counters, since every planned row
names its chunk itself; so memory does not depend on chunk size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from registration_pipeline.ids import chunk_id as make_chunk_id
from registration_pipeline.limits import MANIFEST_LIMITS, MAX_URLS, EncordPlan
from registration_pipeline.objects import KINDS
from registration_pipeline.planning.unit_size import bytes_around_units, extra_bytes, fixed_bytes, title_bytes
from registration_pipeline.planning.wave import PlannedChunk
from registration_pipeline.settings.metadata import SubmitAs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.objects import MediaKind

MOST_OBJECTS: Final = 10_000
"""A chunk is closed before it would hold more objects; a larger unit has a chunk of its own. The memory that verdicts take
grows with the objects of a chunk."""

_MOST_URLS: Final = min(MOST_OBJECTS, MAX_URLS)  # every object is one URL


@dataclass(slots=True)
class _OpenChunk:
    chunk_id: str
    first_key: str
    last_key: str
    is_group: bool
    fixed_bytes: int
    """What each of its units adds at least."""
    manifest_bytes: int
    """What there is of its manifest as it is sent."""
    units: int = 0
    objects: int = 0
    bytes: int = 0


class ChunkCutter:
    """Gives every unit its place in a chunk; single objects come in the order of their keys, other units by what names them.

    Args:
        wave_id: the planning run.
        sizes: the most units in a chunk, per kind.
        limits: what Encord accepts in one manifest. A unit that is too large alone has a chunk of its own.
        submit_as: the form in which manifests are sent, whose bytes are counted.
    """

    def __init__(
        self,
        wave_id: str,
        sizes: Mapping[MediaKind, int],
        limits: ManifestLimits = MANIFEST_LIMITS[EncordPlan.ENTERPRISE],
        *,
        submit_as: SubmitAs = SubmitAs.JSON,
    ) -> None:
        self._submit_as = submit_as
        self._wave_id = wave_id
        self._sizes = {kind: min(size, limits.entries) for kind, size in sizes.items()}
        self._most_bytes = limits.bytes
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
        title: str | None = None,
        client_metadata: str | None = None,
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
            title: its title; None: it is the first key.
            client_metadata: its own, as in ``unit_size.unit_bytes``.
            metadata_bytes: what its media metadata adds to a manifest as it is sent: the sum of ``media_blocks.media_bytes``
                over its objects.
        """
        chunk = self._open.get(kind) or self._start(kind, first_key)
        added = metadata_bytes + url_bytes + title_bytes(first_key if title is None else title)
        if objects > 1 or chunk.is_group or client_metadata is not None:
            added += extra_bytes(kind, objects=objects, client_metadata=client_metadata, submit_as=self._submit_as)
        if chunk.units and (
            chunk.units >= self._sizes[kind]
            or chunk.objects + objects > _MOST_URLS
            or chunk.manifest_bytes + chunk.fixed_bytes + added > self._most_bytes
        ):
            chunk = self._start(kind, first_key)
        unit_index = chunk.units
        chunk.units += 1
        chunk.objects += objects
        chunk.bytes += size
        chunk.manifest_bytes += chunk.fixed_bytes + added
        # Units of several objects do not come in the order of their keys.
        chunk.first_key = min(chunk.first_key, first_key)
        chunk.last_key = max(chunk.last_key, last_key)
        return chunk.chunk_id, unit_index

    def end_chunks(self) -> None:
        """Close all chunks: the next unit begins a new one."""
        for kind in list(self._open):
            self._close(kind)

    def finish(self) -> tuple[PlannedChunk, ...]:
        """Close all chunks and return them in the order of their first keys."""
        self.end_chunks()
        return tuple(sorted(self._closed, key=lambda chunk: (chunk.first_key, chunk.chunk_id)))

    def _start(self, kind: MediaKind, first_key: str) -> _OpenChunk:
        self._close(kind)
        number = self._started.get(kind, 0) + 1
        self._started[kind] = number
        chunk_id = make_chunk_id(self._wave_id, kind, number)
        chunk = _OpenChunk(
            chunk_id,
            first_key,
            first_key,
            is_group=KINDS[kind].is_group,
            fixed_bytes=fixed_bytes(kind, len(chunk_id), self._submit_as),
            manifest_bytes=bytes_around_units(kind, self._submit_as),
        )
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
