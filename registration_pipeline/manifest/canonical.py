"""Tells of a manifest in the form that ``render.py`` writes whether it is certainly valid, without building a document.

One regular expression stands for every rule about single items, and a set for each rule about items beside each other. A
manifest that is not of this form, or whose validity does not show at once, is for ``validate.py`` to judge; nothing is refused
here.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Final

from registration_pipeline.manifest.format import (
    CHUNK_METADATA_KEY,
    CLIENT_METADATA,
    ENVELOPE_BYTES,
    ITEM_FORMATS,
    MAX_CLIENT_METADATA_BYTES,
    MAX_GROWTH,
    MAX_ITEMS,
    MAX_MANIFEST_BYTES,
    OBJECT_URL,
    SKIP_DUPLICATE_URLS,
    TITLE,
    UNIT_METADATA_KEY,
)
from registration_pipeline.planning.rejection import LIMITS

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_BYTES: Final = min(MAX_MANIFEST_BYTES - ENVELOPE_BYTES, MAX_CLIENT_METADATA_BYTES) // MAX_GROWTH
"""Above this, what the SDK makes of the manifest, or of one item's metadata, has to be measured."""

_SKIP: Final = f'"{SKIP_DUPLICATE_URLS}":true'  # keys are sorted: it stands before some kinds and after others
_WHOLE: Final = re.compile(
    rf'\{{({_SKIP},)?"(?P<kind>[a-z_]+)":\[(?P<items>.+)\](?(1)|,{_SKIP})\}}\n'.encode(), re.DOTALL
)
_NAME: Final = '"[A-Za-z0-9._-]*"'
_METADATA: Final = (
    rf'("{CLIENT_METADATA}":\{{"{re.escape(CHUNK_METADATA_KEY)}":{_NAME},"{re.escape(UNIT_METADATA_KEY)}":{_NAME}\}},)'
)
_URL: Final = r'"([A-Za-z][A-Za-z0-9+.-]*://[!#-\[\]-~]+)"'  # printable, no blank, no quote, no backslash
_TITLE: Final = r'"([ !#-\[\]-~]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[ !#-\[\]-~]*)*)"'
_AROUND: Final = len(f'{{"{OBJECT_URL}":"","{TITLE}":""}}')
_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")


def is_canonical_and_valid(data: bytes) -> bool:
    """Tell whether ``validate_manifest`` would certainly find nothing; False says nothing.

    Args:
        data: the manifest file's bytes.
    """
    whole = _WHOLE.fullmatch(data) if len(data) <= _MOST_BYTES else None
    if whole is None or (kind := whole["kind"].decode()) not in ITEM_FORMATS or ITEM_FORMATS[kind].is_group:
        return False
    start, end = whole.span("items")
    found = _item_pattern(kind).findall(data, start, end)
    if not 0 < len(found) <= MAX_ITEMS:
        return False
    metadata, urls, titles = zip(*found, strict=True)
    # findall skips what does not match: only when the lengths add up, the items are all that is there.
    if sum(map(len, metadata + urls + titles)) + len(found) * (_AROUND + 1) - 1 != end - start:
        return False
    return _are_distinct(urls, LIMITS.url_bytes) and _are_titles(titles, has_escapes=b"\\" in data)


@cache
def _item_pattern(kind: str) -> re.Pattern[bytes]:
    metadata = f"{_METADATA}?" if CLIENT_METADATA in ITEM_FORMATS[kind].keys else "()"
    return re.compile(rf'\{{{metadata}"{OBJECT_URL}":{_URL},"{TITLE}":{_TITLE}\}}(?:,(?=\{{)|\Z)'.encode())


def _are_titles(titles: Sequence[bytes], *, has_escapes: bool) -> bool:
    if not has_escapes:
        return _are_distinct(titles, LIMITS.title_characters)
    texts: list[str] = json.loads(b'["' + b'","'.join(titles) + b'"]')
    return _are_distinct(texts, LIMITS.title_characters) and not any(map(_HALF_PAIR.search, texts))


def _are_distinct(texts: Sequence[bytes] | Sequence[str], longest: int) -> bool:
    """Tell whether no text comes twice, is empty or is too long."""
    return len(set(texts)) == len(texts) and min(map(len, texts)) > 0 and max(map(len, texts)) <= longest
