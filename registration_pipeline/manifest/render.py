"""From the units of a chunk to the canonical bytes of its manifest. A pure function: no state, no clock.

What does not belong here: the key table (``format.py``) and keeping the bytes (``files.py``).
"""

from __future__ import annotations

from io import BytesIO
from itertools import chain, repeat
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.ids import objects_digest
from registration_pipeline.manifest.client_metadata import merged_metadata, upserted_metadata
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
    UPSERT_METADATA,
)
from registration_pipeline.objects import KINDS
from registration_pipeline.planning.media_blocks import media_block, written_block

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from registration_pipeline.objects import KindSpec, MediaKind
    from registration_pipeline.planning.units import ChunkUnits

_OURS: Final = f'"{CHUNK_METADATA_KEY}":%s,"{UNIT_METADATA_KEY}":%s'
_OURS_OF_GROUP: Final = f'"{CHUNK_METADATA_KEY}":%s,"{OBJECTS_METADATA_KEY}":"%s","{UNIT_METADATA_KEY}":%s'
_SPECS: Final = {kind.value: spec for kind, spec in KINDS.items()}
_GROUP_KINDS: Final = frozenset(kind for kind, spec in _SPECS.items() if spec.is_group)
_CREATE_VIDEO: Final = {
    kind: "" if spec.create_video is None else f'"{CREATE_VIDEO}":{str(spec.create_video).lower()},'
    for kind, spec in _SPECS.items()
}
_BLOCK_KEYS: Final = {kind: block.key for kind in KINDS if (block := media_block(kind)) is not None}


def _form(spec: KindSpec) -> str:
    """Return what an item of one object consists of, its keys sorted: 0 its metadata, 1 URL, 2 title, 3 its block."""
    parts = {TITLE: f'"{TITLE}":{{2}}', OBJECT_URL: f'"{OBJECT_URL}":{{1}},', CLIENT_METADATA: "{0}"}
    if spec.kind in _BLOCK_KEYS:
        parts[_BLOCK_KEYS[spec.kind]] = "{3}"
    return f"{{{{{''.join(parts[key] for key in sorted(parts))}}}}}"


_FORMS: Final = {kind: _form(spec) for kind, spec in _SPECS.items()}
_FRAMES_AT_ONCE: Final = 8_192
"""URLs of a group that are texts at the same time: a unit may have a million."""


def render_manifest(chunk_id: str, units: ChunkUnits, *, upsert: bool = False) -> bytes:
    """Return the manifest of a chunk in Encord's JSON upload format; the same units always give the same bytes.

    Canonical: keys sorted (the URLs of a group by their position), ASCII only, no insignificant whitespace, one line break at
    the end, items in the order of ``unit_index``. Client metadata of a unit is merged with where it comes from, which wins.
    Media metadata is written where this form has a place for it: for units of one object.

    Args:
        chunk_id: the chunk.
        units: its units.
        upsert: Encord is to change the metadata of items that it has; client metadata of each unit then is its own as it is,
            and must hold where the unit comes from: the chunk in it is the one that it was registered with.

    Raises:
        StateCorruptError: a unit of a single-object kind has more or fewer objects than one, or client metadata is not JSON
            text of an object.
    """
    is_plain = units.is_single and _GROUP_KINDS.isdisjoint(units.values("kind"))
    lists = (_single_items if is_plain else _any_items)(_Chunk(chunk_id, is_upsert=upsert), units)
    flags = (SKIP_DUPLICATE_URLS, UPSERT_METADATA) if upsert else (SKIP_DUPLICATE_URLS,)
    out, separator = BytesIO(), b"{"
    for key, texts in sorted({**{flag: iter(("true",)) for flag in flags}, **lists}.items()):
        out.write(b'%s"%s":' % (separator, key.encode("ascii")))
        out.writelines(text.encode("ascii") for text in texts)
        separator = b","
    out.write(b"}\n")
    return out.getvalue()


class _Chunk:
    """What all items of a manifest have in common."""

    def __init__(self, chunk_id: str, *, is_upsert: bool) -> None:
        self._chunk_id, self._text, self._is_upsert = chunk_id, encode_basestring_ascii(chunk_id), is_upsert

    def metadata(self, unit_id: str, own: str | None, objects: str | None = None) -> str:
        """Return the client metadata of a unit, as a key of its item."""
        if self._is_upsert:
            return f'"{CLIENT_METADATA}":{upserted_metadata(self._chunk_id, unit_id, own)},'
        unit = encode_basestring_ascii(unit_id)
        ours = _OURS_OF_GROUP % (self._text, objects, unit) if objects else _OURS % (self._text, unit)
        if own is None:
            return f'"{CLIENT_METADATA}":{{{ours}}},'
        return f'"{CLIENT_METADATA}":{merged_metadata(self._chunk_id, unit_id, own, ours, objects)},'

    def several_objects(self, unit_index: int, kind: str, objects: int) -> StateCorruptError:
        """Return what to raise for a unit of a kind of one object that has another number of them."""
        return StateCorruptError(
            f"Unit {unit_index} of chunk {self._chunk_id} has {objects} objects, but {kind} are "
            "registered one by one. The plan of this chunk is damaged: restore the state's plan folder from a copy"
        )


def _single_items(chunk: _Chunk, units: ChunkUnits) -> Mapping[str, Iterator[str]]:
    """Return list key -> the list, by columns: most chunks are of this sort, and have up to 10,000 units."""
    # Written down rather than built and dumped: that takes three times as long.
    encode = encode_basestring_ascii
    lists: dict[str, list[str]] = {}
    forms: dict[str, tuple[list[str], MediaKind, str, bool]] = {}
    for kind in dict.fromkeys(units.values("kind")):
        spec = _SPECS[kind]
        forms[kind] = lists.setdefault(spec.list_key, []), spec.kind, _FORMS[kind], spec.has_client_metadata
    own = units.values("client_metadata") if units.has_client_metadata else repeat(None, len(units))
    media = units.values("media_metadata") if units.has_media_metadata else repeat(None, len(units))
    columns = map(units.values, ("kind", "unit_id", "object_url", "title"))
    for kind, unit_id, url, title, metadata, facts in zip(*columns, own, media, strict=True):
        items, known_kind, form, has_metadata = forms[kind]
        text = chunk.metadata(unit_id, metadata) if has_metadata else ""
        block = _block(known_kind, facts) if facts is not None else ""
        items.append(form.format(text, encode(url), encode(title), block))
    return {key: iter((f"[{','.join(items)}]",)) for key, items in lists.items()}


def _block(kind: MediaKind, facts: str) -> str:
    """Return the media metadata of an object as a key of its item, with the comma on the side where another key is."""
    text = written_block(kind, facts)
    if text is None:
        return ""
    key = _BLOCK_KEYS[kind]
    return f',"{key}":{text}' if key > TITLE else f'"{key}":{text},'


def _any_items(chunk: _Chunk, units: ChunkUnits) -> Mapping[str, Iterator[str]]:
    """Return list key -> the list, in pieces that are made as they are taken."""
    kinds = units.first_values("kind")
    for row, ((first, end), kind) in enumerate(zip(units.spans(), kinds, strict=True)):
        if end - first != 1 and kind not in _GROUP_KINDS:
            raise chunk.several_objects(row, kind, end - first)
    keys = dict.fromkeys(_SPECS[kind].list_key for kind in kinds)
    return {key: chain(_list_pieces(chunk, units, key), ("]",)) for key in keys}


def _list_pieces(chunk: _Chunk, units: ChunkUnits, list_key: str) -> Iterator[str]:
    separator = "["
    columns = map(units.first_values, ("kind", "unit_id", "title", "client_metadata", "media_metadata"))
    for (first, end), kind, unit_id, title, own, facts in zip(units.spans(), *columns, strict=True):
        spec = _SPECS[kind]
        if spec.list_key != list_key:
            continue
        objects = objects_digest(_url_texts(units, first, end)) if spec.is_group else None
        metadata = chunk.metadata(unit_id, own, objects) if spec.has_client_metadata else ""
        if spec.is_group:
            yield f"{separator}{{{metadata}{_CREATE_VIDEO[kind]}"
            yield from _urls(units, first, end)
            yield f'"{TITLE}":{encode_basestring_ascii(title)}}}'
        else:
            block = _block(spec.kind, facts) if facts is not None else ""
            url = encode_basestring_ascii(units.column("object_url")[first].as_py())
            yield separator + _FORMS[kind].format(metadata, url, encode_basestring_ascii(title), block)
        separator = ","


def _url_texts(units: ChunkUnits, first: int, end: int) -> Iterator[str]:
    column = units.column("object_url")
    for start in range(first, end, _FRAMES_AT_ONCE):
        yield from column.slice(start, min(_FRAMES_AT_ONCE, end - start)).to_pylist()


def _urls(units: ChunkUnits, first: int, end: int) -> Iterator[str]:
    column = units.column("object_url")
    for start in range(first, end, _FRAMES_AT_ONCE):
        urls: Iterable[str] = column.slice(start, min(_FRAMES_AT_ONCE, end - start)).to_pylist()
        yield "".join(
            f'"{GROUP_URL_PREFIX}{position}":{encode_basestring_ascii(url)},'
            for position, url in enumerate(urls, start - first)
        )
