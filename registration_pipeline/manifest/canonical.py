"""Recognises whether a manifest in the form that ``render.py`` writes is certainly valid, without building a document.

One regular expression covers every rule about single items, and a set each rule about items beside each other. A
manifest that is not of this form, or whose validity does not show at once, is for ``validate.py`` to judge; nothing is refused
here.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Final

from registration_pipeline.limits import (
    ENVELOPE_BYTES,
    MAX_CLIENT_METADATA_BYTES,
    MAX_ITEMS,
    MAX_MANIFEST_BYTES,
    MAX_TITLE_CHARACTERS,
    MAX_URL_BYTES,
    MAX_URLS,
)
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.manifest.format import ItemFormat

_SKIP: Final = f'"{SKIP_DUPLICATE_URLS}":true'  # keys are sorted: it comes before some lists and after others
_WHOLE: Final = re.compile(
    rf'\{{({_SKIP},)?"(?P<kind>[a-z_]+)":\[(?P<items>.+)\](?(1)|,{_SKIP})\}}\n'.encode(), re.DOTALL
)
_NAME: Final = '"[A-Za-z0-9._-]*"'
_METADATA: Final = (
    rf'("{CLIENT_METADATA}":\{{"{re.escape(CHUNK_METADATA_KEY)}":{_NAME},"{re.escape(UNIT_METADATA_KEY)}":{_NAME}\}},)'
)
_URL: Final = r"[A-Za-z][A-Za-z0-9+.-]*://[!#-\[\]-~]+"  # printable, no blank, no quote, no backslash
_TITLE: Final = r'([ !#-\[\]-~]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[ !#-\[\]-~]*)*)'
_VIDEO: Final = f'("{CREATE_VIDEO}":(?:true|false),)?'
_GROUP_URL: Final = re.compile(rf'"{GROUP_URL_PREFIX}(0|[1-9][0-9]*)":"({_URL})",'.encode())
_KEYS_PER_ITEM: Final = 5
"""Keys of an item besides its URLs, at most. Each key has one colon and at most one comma, which the SDK spaces out."""
_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")


def is_canonical_and_valid(data: bytes) -> bool:
    """Return whether ``validate_manifest`` would certainly find nothing; False says nothing.

    Args:
        data: the manifest file's bytes.
    """
    whole = _WHOLE.fullmatch(data) if len(data) <= MAX_MANIFEST_BYTES else None
    if whole is None or (kind := whole["kind"].decode()) not in ITEM_FORMATS:
        return False
    start, end = whole.span("items")
    found = _item_pattern(kind).findall(data, start, end)
    if not 0 < len(found) <= MAX_ITEMS:
        return False
    metadata, videos, named, titles = zip(*found, strict=True)
    item_format = ITEM_FORMATS[kind]
    # findall skips what does not match: only when the lengths add up, the items are all that is there.
    if sum(map(len, metadata + videos + named + titles)) + len(found) * (_around(item_format) + 1) - 1 != end - start:
        return False
    urls = _group_urls(named, videos, item_format) if item_format.is_group else named
    if urls is None or not _is_small_enough(len(data), metadata, len(urls)):
        return False
    return _are_distinct(urls, MAX_URL_BYTES) and _are_titles(titles, has_escapes=b"\\" in data)


@cache
def _item_pattern(kind: str) -> re.Pattern[bytes]:
    item_format = ITEM_FORMATS[kind]
    metadata = f"{_METADATA}?" if CLIENT_METADATA in item_format.keys else "()"
    named = (
        rf'{_VIDEO}((?:"{GROUP_URL_PREFIX}[0-9]+":"{_URL}",)+)'
        if item_format.is_group
        else rf'()"{OBJECT_URL}":"({_URL})",'
    )
    return re.compile(rf'\{{{metadata}{named}"{TITLE}":"{_TITLE}"\}}(?:,(?=\{{)|\Z)'.encode())


def _around(item_format: ItemFormat) -> int:
    """Return how many bytes of an item the pattern does not capture."""
    return len(f'{{"{TITLE}":""}}' if item_format.is_group else f'{{"{OBJECT_URL}":"","{TITLE}":""}}')


def _group_urls(named: Sequence[bytes], videos: Sequence[bytes], item_format: ItemFormat) -> Sequence[bytes] | None:
    """Return the URLs of all groups; None where positions have a gap, or a sequence is too long."""
    most = item_format.max_sequence_urls
    urls: list[bytes] = []
    for text, video in zip(named, videos, strict=True):
        positions, own = zip(*_GROUP_URL.findall(text), strict=True)
        if positions != tuple(b"%d" % position for position in range(len(own))):
            return None
        if most is not None and len(own) > most and b"false" not in video:
            return None
        urls.extend(own)
    return urls


def _is_small_enough(length: int, metadata: Sequence[bytes], urls: int) -> bool:
    """Return whether what the SDK makes of the manifest is below Encord's limits: it adds nothing but blanks."""
    blanks = 2 * (urls + _KEYS_PER_ITEM * len(metadata) + 2)
    longest = max(map(len, metadata)) + 2 * _KEYS_PER_ITEM
    return (
        urls <= MAX_URLS
        and longest <= MAX_CLIENT_METADATA_BYTES
        and length + blanks + ENVELOPE_BYTES <= MAX_MANIFEST_BYTES
    )


def _are_titles(titles: Sequence[bytes], *, has_escapes: bool) -> bool:
    if not has_escapes:
        return _are_distinct(titles, MAX_TITLE_CHARACTERS)
    texts: list[str] = json.loads(b'["' + b'","'.join(titles) + b'"]')
    return _are_distinct(texts, MAX_TITLE_CHARACTERS) and not any(map(_HALF_PAIR.search, texts))


def _are_distinct(texts: Sequence[bytes] | Sequence[str], longest: int) -> bool:
    """Return whether no text comes twice, is empty or is too long."""
    return len(set(texts)) == len(texts) and min(map(len, texts)) > 0 and max(map(len, texts)) <= longest
