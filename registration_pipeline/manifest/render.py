"""From the units of a chunk to the canonical bytes of its manifest. A pure function: no state, no clock.

What does not belong here: the key table (``format.py``) and keeping the bytes (``files.py``).
"""

from __future__ import annotations

from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.manifest.format import (
    CHUNK_METADATA_KEY,
    CLIENT_METADATA,
    ITEM_FORMATS,
    OBJECT_URL,
    SKIP_DUPLICATE_URLS,
    TITLE,
    UNIT_METADATA_KEY,
)

if TYPE_CHECKING:
    from registration_pipeline.planning.units import ChunkUnits

_METADATA = f'"{CLIENT_METADATA}":{{"{CHUNK_METADATA_KEY}":%s,"{UNIT_METADATA_KEY}":%s}},'


def render_manifest(chunk_id: str, units: ChunkUnits) -> bytes:
    """Return the manifest of a chunk in Encord's JSON upload format; the same units always give the same bytes.

    Canonical: keys sorted, ASCII only, no insignificant whitespace, one line break at the end, items in the order of
    ``unit_index``.

    Raises:
        StateCorruptError: a unit of a single-object kind has more or fewer objects than one.
    """
    if not units.is_single:
        raise _several_objects(chunk_id, units)
    lists: dict[str, list[str]] = {}
    chunk = encode_basestring_ascii(chunk_id)
    # Written down rather than built and dumped: that takes three times as long.
    for kind, *texts in zip(*map(units.values, ("kind", "unit_id", "object_url", "title")), strict=True):
        unit_id, url, title = map(encode_basestring_ascii, texts)
        metadata = _METADATA % (chunk, unit_id) if CLIENT_METADATA in ITEM_FORMATS[kind].keys else ""
        lists.setdefault(kind, []).append(f'{{{metadata}"{OBJECT_URL}":{url},"{TITLE}":{title}}}')
    members = {SKIP_DUPLICATE_URLS: "true"} | {kind: f"[{','.join(items)}]" for kind, items in lists.items()}
    text = ",".join(f'"{key}":{value}' for key, value in sorted(members.items()))
    return f"{{{text}}}\n".encode("ascii")


def _several_objects(chunk_id: str, units: ChunkUnits) -> StateCorruptError:
    unit = next(unit for unit in units if len(unit.objects) != 1)
    return StateCorruptError(
        f"Unit {unit.unit_index} of chunk {chunk_id} has {len(unit.objects)} objects, but {unit.kind.value} are "
        "registered one by one. The plan of this chunk is damaged: restore the state's plan folder from a copy"
    )
