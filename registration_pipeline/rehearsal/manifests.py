"""The manifests of a rehearsal: those that a sync would write, and some that it never would.

What does not belong here: the form itself (``manifest/``) and sending.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from registration_pipeline.ids import unit_id
from registration_pipeline.manifest.format import CHUNK_METADATA_KEY, UNIT_METADATA_KEY
from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.manifest.typed import typed_items
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.media_blocks import media_block
from registration_pipeline.planning.units import ChunkUnits, PlannedUnit
from registration_pipeline.rehearsal.observations import url_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

UNKNOWN_KEY: Final = "registrationRehearsal"
RESPELLED_TITLE: Final = "registration-pipeline rehearsal: another spelling of a URL"
_LAST_LETTER: Final = re.compile(r"[A-Za-z0-9](?=[^A-Za-z0-9]*\Z)")


KEPT_KEY: Final = "registration.rehearsal.kept"
"""Of client metadata that is sent at first, and not with the upsert."""
CHANGED_KEY: Final = "registration.rehearsal.changed"
"""Of client metadata that the upsert gives another value."""
CHANGED_VALUE: Final = "second"
_MEDIA: Final[Mapping[str, object]] = {
    "width": 1234,
    "height": 567,
    "file_size": 7_654_321,
    "fps": 12.5,
    "duration": 76.5,
    "sample_rate": 11_025,
    "bit_depth": 24,
    "codec": "flac",
    "num_channels": 3,
    "num_pages": 321,
}
"""Values in neutral names that hardly a file has, so that an item that shows one was made with it."""
_MIME_TYPES: Final[Mapping[MediaKind, tuple[str, str]]] = {
    MediaKind.IMAGE: ("image/webp", "image/png"),
    MediaKind.VIDEO: ("video/webm", "video/mp4"),
    MediaKind.AUDIO: ("audio/flac", "audio/mpeg"),
    MediaKind.TEXT: ("text/csv", "text/plain"),
}
"""Two of each kind: the first, unless the object is named as one."""


def chunk_of(step: str) -> str:
    """Return the chunk id that the manifest of a step carries."""
    return f"rehearsal-{step}"


def plain_manifest(chunk_id: str, units: Sequence[PlannedUnit], *, upsert: bool = False) -> bytes:
    """Return the manifest that a sync would write for a chunk of these units."""
    return render_manifest(chunk_id, _chunk(units), upsert=upsert)


def typed_manifest(chunk_id: str, units: Sequence[PlannedUnit]) -> dict[str, Any]:
    """Return what a sync would send with ``submit_as: data_items`` for a chunk of these units."""
    return typed_items(chunk_id, _chunk(units))


def _chunk(units: Sequence[PlannedUnit]) -> ChunkUnits:
    return ChunkUnits.of(unit._replace(unit_index=at) for at, unit in enumerate(units))


def described_unit(unit: PlannedUnit) -> PlannedUnit:
    """Return the unit with client metadata, and with media metadata that is not true where its kind has any."""
    metadata = _text({KEPT_KEY: "first", CHANGED_KEY: "first"})
    block, (entry,) = media_block(unit.kind), unit.objects
    if block is not None:
        media = {name: value for name, value in _MEDIA.items() if name in block.fields}
        if "mime_type" in block.fields:
            usual, other = _MIME_TYPES[unit.kind]
            media["mime_type"] = other if entry.key.lower().endswith(usual.rpartition("/")[2]) else usual
        entry = entry._replace(media_metadata=_text(media))
    return unit._replace(objects=(entry,), client_metadata=metadata)


def group_of(units: Sequence[PlannedUnit], name: str) -> PlannedUnit:
    """Return a group of the images of these units, with a title and id of its own."""
    return PlannedUnit(
        unit_id("rehearsal/group", MediaKind.IMAGE_GROUP, name),
        MediaKind.IMAGE_GROUP,
        f"registration-pipeline rehearsal: {name}",
        tuple(entry for unit in units for entry in unit.objects),
        0,
    )


def upserted_unit(unit: PlannedUnit, step: str) -> PlannedUnit:
    """Return the unit as an upsert would send it: with one value changed, and one key gone.

    Args:
        unit: as it was registered.
        step: that registered it.
    """
    ours = {CHUNK_METADATA_KEY: chunk_of(step), UNIT_METADATA_KEY: unit.unit_id}
    return unit._replace(client_metadata=_text(ours | {CHANGED_KEY: CHANGED_VALUE}))


def _text(value: Mapping[str, object]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def respelled_unit(unit: PlannedUnit) -> PlannedUnit:
    """Return the unit with its URL in another percent-encoding of the same key, and a title and id of its own."""
    url = _LAST_LETTER.sub(lambda letter: f"%{ord(letter[0]):02X}", url_of(unit))
    (entry,) = unit.objects
    return unit._replace(
        unit_id=unit_id("rehearsal/respelled", unit.kind, unit.title),
        title=RESPELLED_TITLE,
        objects=(entry._replace(object_url=url),),
    )


def with_unknown_key(manifest: bytes) -> bytes:
    """Return the manifest with a key in each entry that Encord's format does not have."""
    document = json.loads(manifest)
    for entries in document.values():
        for entry in entries if isinstance(entries, list) else ():
            entry[UNKNOWN_KEY] = True
    return json.dumps(document).encode()
