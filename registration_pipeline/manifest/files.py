"""Keeps the manifest of each chunk as a file of the state: made once, verified ever after.

What does not belong here: its bytes (``render.py``), its rules (``validate.py``) and sending it (``submission``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.errors import StateConflictError, StateCorruptError, StateNotFoundError
from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.manifest.validate import validate_manifest
from registration_pipeline.planning.wave import read_chunk_units
from registration_pipeline.state.layout import manifest_name

if TYPE_CHECKING:
    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.manifest.violation import Violation
    from registration_pipeline.planning.units import ChunkUnits
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.state.store import StateStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The manifest of a chunk as it lies in the state.

    Args:
        chunk_id: its chunk.
        name: its name in the state.
        sha256: digest of its bytes, hexadecimal.
        bytes: its length.
        violations: what Encord would refuse; a manifest with any must not be sent.
    """

    chunk_id: str
    name: str
    sha256: str
    bytes: int
    violations: tuple[Violation, ...]


def ensure_manifest(
    store: StateStore,
    source: str,
    chunk: PlannedChunk,
    units: ChunkUnits | None = None,
    *,
    limits: ManifestLimits | None = None,
    needs_media_metadata: bool = False,
    upsert: bool = False,
    is_new: bool = False,
) -> Manifest:
    """Make the manifest of a chunk if it is missing, else verify that it is what making it again would give.

    A manifest with violations is written all the same, so that it can be inspected.

    Args:
        store: the state.
        source: the name of the chunk's source.
        chunk: a chunk of a committed wave, or a part of one.
        units: its units, if they have been read already; needed for a part.
        limits: what Encord accepts in one manifest, by the plan that was bought; None: the widest plan's.
        needs_media_metadata: as in ``validate_manifest``.
        upsert: the chunk sends metadata to items that are there.
        is_new: it is probably missing; only what is asked first depends on it.

    Raises:
        StateCorruptError: the file is there with other bytes, or the plan of the chunk is damaged.
    """
    data = render_manifest(chunk.chunk_id, units or read_chunk_units(store, source, chunk), upsert=upsert)
    name = manifest_name(source, chunk.chunk_id)
    if (_created if is_new else _stored)(store, name, data) != data:
        raise StateCorruptError(
            f"{store.location(name)} is not what chunk {chunk.chunk_id} was planned as: the manifest or the "
            "plan was changed. If this version should write manifests differently, the chunk may have been submitted "
            "in the old form; otherwise delete the manifest to have it made again"
        )
    return Manifest(
        chunk_id=chunk.chunk_id,
        name=name,
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        violations=tuple(validate_manifest(data, limits, needs_media_metadata=needs_media_metadata)),
    )


def check_sent_before(manifest: Manifest, sent: str | None) -> None:
    """See that a chunk is sent with the same bytes ever after: Encord skips only what it knows.

    Args:
        manifest: what would be sent.
        sent: the digest of what was sent before; None: nothing was.

    Raises:
        StateCorruptError: it is something else.
    """
    if sent and sent != manifest.sha256:
        raise StateCorruptError(
            f"{manifest.name} is not the manifest that was sent before (sha256 {manifest.sha256}, sent {sent}). Restore the "
            "plan and the manifest of this chunk from a backup; nothing was sent."
        )


def _stored(store: StateStore, name: str, data: bytes) -> bytes:
    """Return what is under the name, after putting ``data`` there if it was free.

    It is read first, because every manifest is made once and verified at each submission: a ``create`` that finds that
    the name exists has written and flushed the whole file, or uploaded it, for nothing.
    """
    try:
        return store.read(name)
    except StateNotFoundError:
        return _created(store, name, data)


def _created(store: StateStore, name: str, data: bytes) -> bytes:
    """Put ``data`` under the name if it is free, and return what is there then."""
    try:
        store.create(name, data)
    except StateConflictError:
        return store.read(name)
    return data
