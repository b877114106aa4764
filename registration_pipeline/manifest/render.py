"""From the units of a chunk to the canonical bytes of its manifest. A pure function: no state, no clock.

What does not belong here: the key table (``format.py``) and keeping the bytes (``files.py``).
"""

from __future__ import annotations

import json
from io import BytesIO
from itertools import chain, repeat
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.ids import objects_digest
from registration_pipeline.manifest.format import (
    CHUNK_METADATA_KEY,
    CLIENT_METADATA,
    CREATE_VIDEO,
    GROUP_URL_PREFIX,
    OBJECT_URL,
    OBJECTS_METADATA_KEY,
    SKIP_DUPLICATE_URLS,
    TITLE,
    UNIT_METADATA_KEY,
)
from registration_pipeline.objects import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from registration_pipeline.planning.units import ChunkUnits

_METADATA: Final = f'"{CLIENT_METADATA}":{{"{CHUNK_METADATA_KEY}":%s,"{UNIT_METADATA_KEY}":%s}},'
_GROUP_METADATA: Final = (
    f'"{CLIENT_METADATA}":{{"{CHUNK_METADATA_KEY}":%s,"{OBJECTS_METADATA_KEY}":"%s","{UNIT_METADATA_KEY}":%s}},'
)
_SPECS: Final = {kind.value: spec for kind, spec in KINDS.items()}
_GROUP_KINDS: Final = frozenset(kind for kind, spec in _SPECS.items() if spec.is_group)
_CREATE_VIDEO: Final = {
    kind: "" if spec.create_video is None else f'"{CREATE_VIDEO}":{str(spec.create_video).lower()},'
    for kind, spec in _SPECS.items()
}
_FRAMES_AT_ONCE: Final = 8_192
"""URLs of a group that are texts at the same time: a unit may have a million."""


def render_manifest(chunk_id: str, units: ChunkUnits) -> bytes:
    """Return the manifest of a chunk in Encord's JSON upload format; the same units always give the same bytes.

    Canonical: keys sorted (the URLs of a group by their position), ASCII only, no insignificant whitespace, one line break at
    the end, items in the order of ``unit_index``. Client metadata of a unit is merged with where it comes from, which wins.

    Raises:
        StateCorruptError: a unit of a single-object kind has more or fewer objects than one, or client metadata is not JSON
            text of an object.
    """
    is_plain = units.is_single and _GROUP_KINDS.isdisjoint(units.values("kind"))
    lists = (_single_items if is_plain else _any_items)(chunk_id, units)
    out, separator = BytesIO(), b"{"
    for key, texts in sorted({SKIP_DUPLICATE_URLS: iter(("true",)), **lists}.items()):
        out.write(b'%s"%s":' % (separator, key.encode("ascii")))
        out.writelines(text.encode("ascii") for text in texts)
        separator = b","
    out.write(b"}\n")
    return out.getvalue()


def _single_items(chunk_id: str, units: ChunkUnits) -> Mapping[str, Iterator[str]]:
    """Return list key -> the list, by columns: most chunks are of this sort, and have up to 10,000 units."""
    # Written down rather than built and dumped: that takes three times as long.
    chunk, encode = encode_basestring_ascii(chunk_id), encode_basestring_ascii
    lists: dict[str, list[str]] = {}
    heads: dict[str, tuple[list[str], bool]] = {}
    for kind in dict.fromkeys(units.values("kind")):
        heads[kind] = lists.setdefault(_SPECS[kind].list_key, []), _SPECS[kind].has_client_metadata
    own = units.values("client_metadata") if units.has_client_metadata else repeat(None, len(units))
    columns = map(units.values, ("kind", "unit_id", "object_url", "title"))
    for kind, unit_id, url, title, metadata in zip(*columns, own, strict=True):
        items, has_metadata = heads[kind]
        text = ""
        if has_metadata:
            text = (
                _METADATA % (chunk, encode(unit_id)) if metadata is None else _merged(chunk_id, unit_id, metadata, {})
            )
        items.append(f'{{{text}"{OBJECT_URL}":{encode(url)},"{TITLE}":{encode(title)}}}')
    return {key: iter((f"[{','.join(items)}]",)) for key, items in lists.items()}


def _any_items(chunk_id: str, units: ChunkUnits) -> Mapping[str, Iterator[str]]:
    """Return list key -> the list, in pieces that are made as they are taken."""
    kinds = units.first_values("kind")
    for row, ((first, end), kind) in enumerate(zip(units.spans(), kinds, strict=True)):
        if end - first != 1 and kind not in _GROUP_KINDS:
            raise _several_objects(chunk_id, row, kind, end - first)
    keys = dict.fromkeys(_SPECS[kind].list_key for kind in kinds)
    return {key: chain(_list_pieces(chunk_id, units, key), ("]",)) for key in keys}


def _list_pieces(chunk_id: str, units: ChunkUnits, list_key: str) -> Iterator[str]:
    chunk, separator = encode_basestring_ascii(chunk_id), "["
    columns = map(units.first_values, ("kind", "unit_id", "title", "client_metadata"))
    for (first, end), kind, unit_id, title, own in zip(units.spans(), *columns, strict=True):
        spec = _SPECS[kind]
        if spec.list_key != list_key:
            continue
        metadata = ""
        if spec.has_client_metadata:
            unit = encode_basestring_ascii(unit_id)
            objects = objects_digest(_url_texts(units, first, end)) if spec.is_group else None
            if own is not None:
                metadata = _merged(chunk_id, unit_id, own, {OBJECTS_METADATA_KEY: objects} if objects else {})
            else:
                metadata = _GROUP_METADATA % (chunk, objects, unit) if objects else _METADATA % (chunk, unit)
        yield f"{separator}{{{metadata}{_CREATE_VIDEO[kind]}"
        yield from _urls(units, first, end, is_group=spec.is_group)
        yield f'"{TITLE}":{encode_basestring_ascii(title)}}}'
        separator = ","


def _url_texts(units: ChunkUnits, first: int, end: int) -> Iterator[str]:
    column = units.column("object_url")
    for start in range(first, end, _FRAMES_AT_ONCE):
        yield from column.slice(start, min(_FRAMES_AT_ONCE, end - start)).to_pylist()


def _urls(units: ChunkUnits, first: int, end: int, *, is_group: bool) -> Iterator[str]:
    column = units.column("object_url")
    for start in range(first, end, _FRAMES_AT_ONCE):
        urls: Iterable[str] = column.slice(start, min(_FRAMES_AT_ONCE, end - start)).to_pylist()
        if is_group:
            yield "".join(
                f'"{GROUP_URL_PREFIX}{position}":{encode_basestring_ascii(url)},'
                for position, url in enumerate(urls, start - first)
            )
        else:
            yield "".join(f'"{OBJECT_URL}":{encode_basestring_ascii(url)},' for url in urls)


def _merged(chunk_id: str, unit_id: str, own: str, more: Mapping[str, str]) -> str:
    """Return the client metadata of a unit that has some of its own, as a key of its item.

    Args:
        more: what the pipeline adds besides chunk and unit.
    """
    try:
        metadata = json.loads(own) | {CHUNK_METADATA_KEY: chunk_id, UNIT_METADATA_KEY: unit_id, **more}
        text = json.dumps(metadata, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise StateCorruptError(
            f"The client metadata of unit {unit_id} of chunk {chunk_id} is not the JSON text of an object ({error}). The plan "
            "of this chunk is damaged: restore the state's plan folder from a copy"
        ) from error
    return f'"{CLIENT_METADATA}":{text},'


def _several_objects(chunk_id: str, unit_index: int, kind: str, objects: int) -> StateCorruptError:
    return StateCorruptError(
        f"Unit {unit_index} of chunk {chunk_id} has {objects} objects, but {kind} are "
        "registered one by one. The plan of this chunk is damaged: restore the state's plan folder from a copy"
    )
