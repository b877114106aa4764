"""From the units of a chunk to the canonical bytes of its manifest. A pure function: no state, no clock.

What does not belong here: the key table (``format.py``) and keeping the bytes (``files.py``).
"""

from __future__ import annotations

from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.manifest.format import (
    CHUNK_METADATA_KEY,
    CLIENT_METADATA,
    CREATE_VIDEO,
    GROUP_URL_PREFIX,
    ITEM_FORMATS,
    OBJECT_URL,
    SKIP_DUPLICATE_URLS,
    TITLE,
    UNIT_METADATA_KEY,
)
from registration_pipeline.objects import KINDS

if TYPE_CHECKING:
    from registration_pipeline.planning.units import ChunkUnits, PlannedUnit

_METADATA: Final = f'"{CLIENT_METADATA}":{{"{CHUNK_METADATA_KEY}":%s,"{UNIT_METADATA_KEY}":%s}},'
_LIST_KEYS: Final = {kind.value: spec.list_key for kind, spec in KINDS.items()}
_GROUP_KINDS: Final = frozenset(kind.value for kind, spec in KINDS.items() if spec.is_group)


def render_manifest(chunk_id: str, units: ChunkUnits) -> bytes:
    """Return the manifest of a chunk in Encord's JSON upload format; the same units always give the same bytes.

    Canonical: keys sorted (the URLs of a group by their position), ASCII only, no insignificant whitespace, one line break at
    the end, items in the order of ``unit_index``.

    Raises:
        StateCorruptError: a unit of a single-object kind has more or fewer objects than one.
    """
    is_plain = units.is_single and _GROUP_KINDS.isdisjoint(units.values("kind"))
    lists = (_single_items if is_plain else _any_items)(chunk_id, units)
    members = {SKIP_DUPLICATE_URLS: "true"} | {key: f"[{','.join(items)}]" for key, items in lists.items()}
    text = ",".join(f'"{key}":{value}' for key, value in sorted(members.items()))
    return f"{{{text}}}\n".encode("ascii")


def _single_items(chunk_id: str, units: ChunkUnits) -> dict[str, list[str]]:
    """Return list key -> the text of every unit, by columns: most chunks are of this sort, and have up to 10,000 units."""
    # Written down rather than built and dumped: that takes three times as long.
    chunk, encode = encode_basestring_ascii(chunk_id), encode_basestring_ascii
    lists: dict[str, list[str]] = {}
    heads: dict[str, tuple[list[str], bool]] = {}
    for kind, list_key in ((kind, _LIST_KEYS[kind]) for kind in dict.fromkeys(units.values("kind"))):
        heads[kind] = lists.setdefault(list_key, []), CLIENT_METADATA in ITEM_FORMATS[list_key].keys
    for kind, unit_id, url, title in zip(*map(units.values, ("kind", "unit_id", "object_url", "title")), strict=True):
        items, has_metadata = heads[kind]
        metadata = _METADATA % (chunk, encode(unit_id)) if has_metadata else ""
        items.append(f'{{{metadata}"{OBJECT_URL}":{encode(url)},"{TITLE}":{encode(title)}}}')
    return lists


def _any_items(chunk_id: str, units: ChunkUnits) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    chunk = encode_basestring_ascii(chunk_id)
    for unit in units:
        spec = KINDS[unit.kind]
        if not spec.is_group and len(unit.objects) != 1:
            raise _several_objects(chunk_id, unit)
        has_metadata = CLIENT_METADATA in ITEM_FORMATS[spec.list_key].keys
        metadata = _METADATA % (chunk, encode_basestring_ascii(unit.unit_id)) if has_metadata else ""
        video = "" if spec.create_video is None else f'"{CREATE_VIDEO}":{str(spec.create_video).lower()},'
        urls = (encode_basestring_ascii(entry.object_url) for entry in unit.objects)
        named = (
            "".join(f'"{GROUP_URL_PREFIX}{position}":{url},' for position, url in enumerate(urls))
            if spec.is_group
            else f'"{OBJECT_URL}":{next(urls)},'
        )
        text = f'{{{metadata}{video}{named}"{TITLE}":{encode_basestring_ascii(unit.title)}}}'
        lists.setdefault(spec.list_key, []).append(text)
    return lists


def _several_objects(chunk_id: str, unit: PlannedUnit) -> StateCorruptError:
    return StateCorruptError(
        f"Unit {unit.unit_index} of chunk {chunk_id} has {len(unit.objects)} objects, but {unit.kind.value} are "
        "registered one by one. The plan of this chunk is damaged: restore the state's plan folder from a copy"
    )
