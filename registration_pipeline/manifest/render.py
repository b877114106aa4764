"""From the units of a chunk to the canonical bytes of its manifest. A pure function: no state, no clock.

What does not belong here: the key table (``format.py``) and keeping the bytes (``manifest.py``).
"""

from __future__ import annotations

import json
from operator import attrgetter
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
    from collections.abc import Sequence

    from registration_pipeline.planning.wave import PlannedUnit


_by_index = attrgetter("unit_index")


def render_manifest(chunk_id: str, units: Sequence[PlannedUnit]) -> bytes:
    """Return the manifest of a chunk in Encord's JSON upload format; the same units always give the same bytes.

    Canonical: keys sorted, ASCII only, no insignificant whitespace, one line break at the end, items in the order of
    ``unit_index``.

    Raises:
        StateCorruptError: a unit of a single-object kind has more or fewer objects than one.
    """
    items: dict[str, list[dict[str, object]]] = {}
    for unit in sorted(units, key=_by_index):
        items.setdefault(unit.kind.value, []).append(_item(chunk_id, unit))
    # Every level is built with its keys in order: sorting each item again would be a third of the whole.
    document = dict(sorted({SKIP_DUPLICATE_URLS: True, **items}.items()))
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii") + b"\n"


def _item(chunk_id: str, unit: PlannedUnit) -> dict[str, object]:
    if len(unit.objects) != 1:
        message = (
            f"Unit {unit.unit_index} of chunk {chunk_id} has {len(unit.objects)} objects, but {unit.kind.value} are "
            "registered one by one. The plan of this chunk is damaged: restore the state's plan folder from a copy"
        )
        raise StateCorruptError(message)
    item: dict[str, object] = {}
    if CLIENT_METADATA in ITEM_FORMATS[unit.kind.value].keys:
        item[CLIENT_METADATA] = {CHUNK_METADATA_KEY: chunk_id, UNIT_METADATA_KEY: unit.unit_id}
    item[OBJECT_URL] = unit.objects[0].object_url
    item[TITLE] = unit.title
    return item
