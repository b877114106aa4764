"""Recognises whether a manifest in the form that ``render.py`` writes is certainly valid, without building a document.

One regular expression covers every rule about single items, and a set each rule about items beside each other. A
manifest that is not of this form, or whose validity does not show at once, is for ``validate.py`` to judge; nothing is refused
here.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from registration_pipeline.limits import (
    ENVELOPE_BYTES,
    MANIFEST_LIMITS,
    MAX_TITLE_CHARACTERS,
    MAX_URL_BYTES,
    EncordPlan,
)
from registration_pipeline.manifest.client_metadata import VALUE
from registration_pipeline.manifest.format import (
    CHUNK_METADATA_KEY,
    CLIENT_METADATA,
    CREATE_VIDEO,
    GROUP_URL_PREFIX,
    ITEM_FORMATS,
    OBJECT_URL,
    OBJECTS_METADATA_KEY,
    SKIP_DUPLICATE_URLS,
    TITLE,
    UNIT_METADATA_KEY,
    JsonType,
)
from registration_pipeline.manifest.metadata_rules import certain_growth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.limits import ManifestLimits

_SKIP: Final = f'"{SKIP_DUPLICATE_URLS}":true'  # keys are sorted: it comes before some lists and after others
_WHOLE: Final = re.compile(
    rf'\{{({_SKIP},)?"(?P<kind>[a-z_]+)":\[(?P<items>.+)\](?(1)|,{_SKIP})\}}\n'.encode(), re.DOTALL
)
_NAME: Final = '"[A-Za-z0-9._-]*"'
_TEXT: Final = r'[ !#-\[\]-~]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[ !#-\[\]-~]*)*'
_PAIR: Final = f'"{_TEXT}":{VALUE}'
_SINGLE_KEYS: Final = (CHUNK_METADATA_KEY, UNIT_METADATA_KEY)
_GROUP_KEYS: Final = (CHUNK_METADATA_KEY, OBJECTS_METADATA_KEY, UNIT_METADATA_KEY)


def _metadata(keys: Sequence[str]) -> str:
    own = ",".join(rf'"{re.escape(key)}":{_NAME}' for key in keys)
    other = rf"\{{{_PAIR}(?:,{_PAIR})*+\}}"
    return rf'(?:(?P<own>"{CLIENT_METADATA}":\{{{own}\}},)|(?P<other>"{CLIENT_METADATA}":{other},))?'


_METADATA: Final = _metadata(_SINGLE_KEYS)
"""Ours alone, as in most items; or ours and the unit's own, if no value holds another one."""
_URL: Final = r"[A-Za-z][A-Za-z0-9+.-]*://[!#-\[\]-~]+"  # printable, no blank, no quote, no backslash
_TITLE: Final = f'"{TITLE}":"({_TEXT})"'
_ITEM_END: Final = r"\}(?:,(?=\{)|\Z)"
_MEDIA_VALUES: Final = {
    # Fewer digits than a double keeps and no exponent: written again, such a number is not longer.
    JsonType.NUMBER: r"(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,17})?",
    JsonType.INTEGER: "(?:0|[1-9][0-9]{0,17})",
    JsonType.STRING: r'"[ !#-\[\]-~]*"',
}
_GROUP_HEAD: Final = re.compile(
    rf'\{{{_metadata(_GROUP_KEYS)}("{CREATE_VIDEO}":(?:true|false),)?(?="{GROUP_URL_PREFIX})'.encode()
)
_GROUP_URL: Final = re.compile(rf'"{GROUP_URL_PREFIX}(0|[1-9][0-9]*)":"({_URL})",'.encode())
_GROUP_TITLE: Final = re.compile((_TITLE + _ITEM_END).encode())
_TIFF: Final = re.compile(rb'\.tiff?["?#]', re.IGNORECASE)
_OWN_BLANKS: Final = 2 * len(_SINGLE_KEYS) - 1
"""What the SDK adds to metadata of ours alone: after each colon, and each comma between."""
_OWN_BLANKS_OF_GROUP: Final = 2 * len(_GROUP_KEYS) - 1
_AFTER_KEY: Final = 2
"""What it adds to a key that another one follows: after a colon and a comma. The last key has the comma of its item."""
_TOP_BLANKS: Final = 2
"""What it adds to the document around the items: after two colons and a comma, less the line break."""
_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")


class _Items(NamedTuple):
    """What was found in the items of a manifest, all of which are well formed.

    Args:
        metadata: the texts of metadata that is not ours alone.
        titles: as they are written.
        urls: how many there are.
        blanks: what the SDK adds to all but ``metadata``.
        blocks: how many items have media metadata.
    """

    metadata: Sequence[bytes]
    titles: Sequence[bytes]
    urls: int
    blanks: int
    blocks: int = 0


def is_canonical_and_valid(
    data: bytes, limits: ManifestLimits = MANIFEST_LIMITS[EncordPlan.ENTERPRISE], *, needs_media_metadata: bool = False
) -> bool:
    """Return whether ``validate_manifest`` would certainly find nothing; False says nothing.

    Args:
        data: the manifest file's bytes.
        limits: what Encord accepts in one manifest.
        needs_media_metadata: every item must have its block.
    """
    whole = _WHOLE.fullmatch(data) if len(data) <= limits.bytes else None
    if whole is None or (kind := whole["kind"].decode()) not in ITEM_FORMATS:
        return False
    start, end = whole.span("items")
    items = (_groups if ITEM_FORMATS[kind].is_group else _singles)(data, start, end, kind)
    if items is None or len(items.titles) > limits.entries or items.urls > limits.urls:
        return False
    if needs_media_metadata and items.blocks < len(items.titles):
        return False
    room = limits.bytes - len(data) - items.blanks - ENVELOPE_BYTES
    if _metadata_growth(items.metadata, room) is None:
        return False
    return _are_titles(items.titles, has_escapes=b"\\" in data)


def _singles(data: bytes, start: int, end: int, kind: str) -> _Items | None:
    pattern = _single_pattern(kind)
    found = pattern.findall(data, start, end)
    if not found:
        return None
    columns = tuple(zip(*found, strict=True))
    own, metadata, urls, titles, blocks = (columns[pattern.groupindex[name] - 1] for name in _GROUPS_OF_SINGLES)
    # findall skips what does not match: only when the lengths add up, the items are all that is there.
    around = len(f'{{"{OBJECT_URL}":"","{TITLE}":""}},')
    if sum(sum(map(len, column)) for column in columns) + len(found) * around - 1 != end - start:
        return None
    if not _are_distinct(urls, MAX_URL_BYTES):
        return None
    with_blocks = len(blocks) - blocks.count(b"")
    blanks = _TOP_BLANKS + len(found) * 2 * _AFTER_KEY + (len(own) - own.count(b"")) * (_AFTER_KEY + _OWN_BLANKS)
    blanks += with_blocks * (_AFTER_KEY + 2 * len(ITEM_FORMATS[kind].media_metadata) - 1)
    return _Items(list(filter(None, metadata)), titles, len(urls), blanks - 1, with_blocks)


_GROUPS_OF_SINGLES: Final = ("own", "other", "url", "title", "block")


@cache
def _single_pattern(kind: str) -> re.Pattern[bytes]:
    """Return how an item of one object is recognised, its keys sorted; its groups are ``_GROUPS_OF_SINGLES``."""
    of = ITEM_FORMATS[kind]
    parts = {OBJECT_URL: f'"{OBJECT_URL}":"(?P<url>{_URL})",', TITLE: _TITLE.replace("(", "(?P<title>", 1)}
    parts[CLIENT_METADATA] = _METADATA if CLIENT_METADATA in of.keys else "(?P<own>)(?P<other>)"
    key = of.media_metadata_key or OBJECT_URL + "None"
    fields = ",".join(f'"{name}":{_MEDIA_VALUES[one]}' for name, one in sorted(of.media_metadata.items()))
    block = rf'"{key}":\{{{fields}\}}' if fields else "(?!)"
    parts[key] = rf"(?P<block>,{block})?" if key > TITLE else rf"(?P<block>{block},)?"
    return re.compile(rf"\{{{''.join(parts[key] for key in sorted(parts))}{_ITEM_END}".encode())


def _groups(data: bytes, start: int, end: int, kind: str) -> _Items | None:
    """Go from item to item and from URL to URL: a group may have a million, which must not be there all at once."""
    most, place, blanks = ITEM_FORMATS[kind].max_sequence_urls, start, _TOP_BLANKS - 1
    metadata: list[bytes] = []
    titles: list[bytes] = []
    seen: set[int] = set()
    urls = 0
    while place < end:
        head = _GROUP_HEAD.match(data, place, end)
        place, frames = (head.end(), _frames(data, head.end(), end, seen)) if head else (place, None)
        title = _GROUP_TITLE.match(data, frames[0], end) if frames else None
        if head is None or frames is None or title is None:
            return None
        own, other, video = head.groups()
        urls += frames[1]
        # Equal hashes of different URLs are possible; then validate.py says that they differ.
        if len(seen) != urls:
            return None
        if most is not None and not _is_group_or_sequence(data, head.end(), frames, video=video, most=most):
            return None
        metadata.extend(filter(None, (other,)))
        titles.append(title[1])
        blanks += _AFTER_KEY * (frames[1] + 1 + bool(video) + bool(own)) + _OWN_BLANKS_OF_GROUP * bool(own)
        place = title.end()
    return _Items(metadata, titles, urls, blanks)


def _is_group_or_sequence(data: bytes, start: int, frames: tuple[int, int], *, video: bytes | None, most: int) -> bool:
    """Return whether an item says that it is a group, or is a sequence of at most so many images without a TIFF."""
    if video is None or b"false" in video:
        return video is not None
    end, urls = frames
    return urls <= most and _TIFF.search(data, start, end) is None


def _frames(data: bytes, place: int, end: int, seen: set[int]) -> tuple[int, int] | None:
    """Return where the URLs of a group end and how many they are; None where positions have a gap, or a URL is too long.

    The hashes of the URLs are added to ``seen``.
    """
    match, position = _GROUP_URL.match, 0
    while found := match(data, place, end):
        number, url = found.groups()
        if number != b"%d" % position or len(url) > MAX_URL_BYTES:
            return None
        seen.add(hash(url))
        position += 1
        place = found.end()
    return place, position


def _metadata_growth(texts: Sequence[bytes], room: int) -> int | None:
    """Return what the SDK adds at most to metadata that is not ours alone; None if it may be invalid or too much."""
    room -= _AFTER_KEY * len(texts)
    if not texts or room < 0:
        return None if room < 0 else 0
    return certain_growth([text[len(f'"{CLIENT_METADATA}":') : -1] for text in texts], room=room)


def _are_titles(titles: Sequence[bytes], *, has_escapes: bool) -> bool:
    if not has_escapes:
        return _are_distinct(titles, MAX_TITLE_CHARACTERS)
    texts: list[str] = json.loads(b'["' + b'","'.join(titles) + b'"]')
    return _are_distinct(texts, MAX_TITLE_CHARACTERS) and not any(map(_HALF_PAIR.search, texts))


def _are_distinct(texts: Sequence[bytes] | Sequence[str], longest: int) -> bool:
    """Return whether no text comes twice, is empty or is too long."""
    return len(set(texts)) == len(texts) and min(map(len, texts)) > 0 and max(map(len, texts)) <= longest
