"""The checks of single items of a manifest: keys, types, URLs, titles, metadata, and repetition across items.

What does not belong here: the document around them (``validate.py``) and the key table (``format.py``).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.limits import (
    INTEGER_RANGE,
    MAX_CLIENT_METADATA_BYTES,
    MAX_TITLE_CHARACTERS,
    MAX_URL_BYTES,
)
from registration_pipeline.manifest.format import (
    CLIENT_METADATA,
    CREATE_VIDEO,
    GROUP_URL_PREFIX,
    OBJECT_URL,
    TIFF_URL,
    TITLE,
    ItemFormat,
    JsonType,
)
from registration_pipeline.manifest.metadata_rules import encord_problems
from registration_pipeline.manifest.violation import Violation
from registration_pipeline.planning.media_blocks import media_block, media_remedy
from registration_pipeline.settings.metadata import ENCORD_KEY, SubmitAs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from registration_pipeline.objects import MediaKind

_ABSOLUTE_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.")
_WHITESPACE_OR_CONTROL: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]")
_GROUP_URL: Final = re.compile(rf"{re.escape(GROUP_URL_PREFIX)}(0|[1-9][0-9]{{0,8}})", re.ASCII)
_PYTHON_TYPES: Final[Mapping[JsonType, tuple[type, ...]]] = {
    JsonType.STRING: (str,),
    JsonType.NUMBER: (int, float),
    JsonType.INTEGER: (int,),
    JsonType.BOOLEAN: (bool,),
    JsonType.OBJECT: (dict,),
}


class ItemChecker:
    """Checks the items of one manifest one after the other and remembers their URLs and titles.

    ``urls`` is how many URLs the items named so far.

    Args:
        needs_media_metadata: an item without its block is a violation.
    """

    def __init__(self, *, needs_media_metadata: bool = False) -> None:
        self.urls = 0
        self._needs_media_metadata = needs_media_metadata
        self._where_by_url: dict[str, str] = {}
        self._where_by_title: dict[str, str] = {}

    def check(self, where: str, item: Any, item_format: ItemFormat) -> Iterator[Violation]:
        """Yield every violation of one item.

        Args:
            where: its place, e.g. ``images[3]``.
            item: what the JSON holds there.
            item_format: the format of its list.
        """
        if not isinstance(item, dict):
            yield Violation(where, "must be an object")
            return
        url_keys = _group_url_keys(item) if item_format.is_group else [OBJECT_URL]
        yield from _check_keys(where, item, item_format, url_keys)
        yield from _check_group_urls(where, url_keys) if item_format.is_group else ()
        yield from _check_sequence(where, item, item_format, url_keys)
        self.urls += len(url_keys)
        for key in url_keys:
            yield from self._check_url(where, key, item)
        yield from self._check_title(f"{where}.{TITLE}", item)
        yield from client_metadata_violations(f"{where}.{CLIENT_METADATA}", item.get(CLIENT_METADATA))
        yield from _check_media_metadata(where, item, item_format)
        if self._needs_media_metadata and item_format.media_metadata_key not in item:
            yield lacking_block(where, item_format.kind, SubmitAs.JSON)

    def _check_url(self, where: str, key: str, item: dict[str, Any]) -> Iterator[Violation]:
        place = f"{where}.{key}"
        if key not in item:
            yield Violation(place, "is missing")
            return
        url = item[key]
        if not isinstance(url, str):
            yield Violation(place, "must be a string")
            return
        if not _ABSOLUTE_URL.match(url):
            yield Violation(place, "must be an absolute URL, e.g. s3://bucket/key")
        if _WHITESPACE_OR_CONTROL.search(url):
            yield Violation(place, "holds whitespace or control characters: percent-encode them")
        length = len(url.encode("utf-8", "surrogatepass"))
        if length > MAX_URL_BYTES:
            yield Violation(place, f"is {length:,} bytes long; Encord accepts {MAX_URL_BYTES:,}")
        first = self._where_by_url.setdefault(url, place)
        if first != place:
            yield Violation(place, f"is the same as {first}")

    def _check_title(self, place: str, item: dict[str, Any]) -> Iterator[Violation]:
        if TITLE not in item:
            yield Violation(place, "is missing")
            return
        title = item[TITLE]
        if not isinstance(title, str):
            return  # the type is reported with the other keys of the table
        if not title:
            yield Violation(place, "must not be empty")
        if len(title) > MAX_TITLE_CHARACTERS:
            yield Violation(place, f"is {len(title):,} characters long; Encord accepts {MAX_TITLE_CHARACTERS}")
        first = self._where_by_title.setdefault(title, place)
        if first != place:
            yield Violation(place, f"is the same as {first}")


def _group_url_keys(item: dict[str, Any]) -> list[str]:
    return sorted((key for key in item if _GROUP_URL.fullmatch(key)), key=lambda key: int(key[len(GROUP_URL_PREFIX) :]))


def _check_keys(where: str, item: dict[str, Any], item_format: ItemFormat, url_keys: list[str]) -> Iterator[Violation]:
    known = {*url_keys, item_format.media_metadata_key}  # a sequence has up to 32,767 URLs
    for key, value in item.items():
        if key in item_format.keys:
            if not _is_of_type(value, item_format.keys[key]):
                yield Violation(f"{where}.{key}", f"must be {_article(item_format.keys[key])}")
        elif key not in known:
            yield Violation(f"{where}.{key}", "is not a key of the upload format for this kind")


def _check_group_urls(where: str, url_keys: list[str]) -> Iterator[Violation]:
    if not url_keys:
        yield Violation(f"{where}.{GROUP_URL_PREFIX}0", "is missing")
    for position, key in enumerate(url_keys):
        if key != f"{GROUP_URL_PREFIX}{position}":
            problem = f"follows position {position - 1}: positions start at 0 and leave no gap"
            yield Violation(f"{where}.{key}", problem)
            return


def _check_sequence(
    where: str, item: dict[str, Any], item_format: ItemFormat, url_keys: list[str]
) -> Iterator[Violation]:
    limit, urls = item_format.max_sequence_urls, len(url_keys)
    if limit is None:
        return
    if CREATE_VIDEO not in item:
        problem = "is missing: without it Encord makes a sequence of the images, with it (false) a group"
        yield Violation(f"{where}.{CREATE_VIDEO}", problem)
    if item.get(CREATE_VIDEO) is False:
        return
    if urls > limit:
        problem = (
            f"lists {urls:,} images; Encord accepts {limit:,} in a sequence: split it, or set {CREATE_VIDEO} to false"
        )
        yield Violation(where, problem)
    for key in url_keys:
        if isinstance(item[key], str) and TIFF_URL.search(item[key]):
            yield Violation(f"{where}.{key}", "is a TIFF, which Encord does not accept in a sequence")
            return


def client_metadata_violations(place: str, metadata: Any) -> Iterator[Violation]:
    """Yield what is wrong with client metadata that is an object: its length, and what Encord reads in it."""
    if not isinstance(metadata, dict):
        return  # absent, or its type is reported with the other keys of the table
    # What counts is not known (PostgreSQL's text, the wire's or the file's): the wire's form is the longest.
    length = len(json.dumps(metadata))
    if length > MAX_CLIENT_METADATA_BYTES:
        yield Violation(place, f"is {length:,} bytes long; Encord accepts {MAX_CLIENT_METADATA_BYTES:,}")
    if ENCORD_KEY in metadata:
        for below, problem in encord_problems(f"{place}.{ENCORD_KEY}", metadata[ENCORD_KEY]):
            yield Violation(below, problem)


def lacking_block(where: str, kind: MediaKind, submit_as: SubmitAs) -> Violation:
    """Return what is wrong with an item or object without media metadata where nothing is sent without.

    Args:
        where: its place.
        kind: of the unit.
        submit_as: the form.
    """
    block = media_block(kind, submit_as)
    if block is None:
        problem = "has no media metadata, and strict_client_only sends nothing without"
        return Violation(where, f"{problem}: {media_remedy(kind, submit_as)}")
    return Violation(
        f"{where}.{block.key}",
        "is missing, and strict_client_only sends nothing without; it was planned without, and a plan never changes: set "
        "strict_client_only: false, then `submit SOURCE --failed`",
    )


def _check_media_metadata(where: str, item: dict[str, Any], item_format: ItemFormat) -> Iterator[Violation]:
    block = item_format.media_metadata_key
    if block is not None and block in item:
        yield from block_violations(f"{where}.{block}", item[block], item_format.media_metadata)


def block_violations(
    place: str, block: Any, fields: Mapping[str, JsonType], *, needs_all: bool = False
) -> Iterator[Violation]:
    """Yield what is wrong with the media metadata of an object.

    Args:
        place: where it is.
        block: parsed JSON.
        fields: name -> type.
        needs_all: none may be missing, as in the typed form.
    """
    if not isinstance(block, dict):
        yield Violation(place, "must be an object")
        return
    for key, value in block.items():
        if key not in fields:
            yield Violation(f"{place}.{key}", "is not a field of this block")
        elif not _is_of_type(value, fields[key]):
            yield Violation(f"{place}.{key}", f"must be {_article(fields[key])}")
    if needs_all:
        for key in fields.keys() - block.keys():
            yield Violation(f"{place}.{key}", "is missing")


def _is_of_type(value: Any, json_type: JsonType) -> bool:
    # A bool is an int to Python, but not to JSON.
    if isinstance(value, bool):
        return json_type is JsonType.BOOLEAN
    if isinstance(value, int) and value not in INTEGER_RANGE:
        return False
    return isinstance(value, _PYTHON_TYPES[json_type])


def _article(json_type: JsonType) -> str:
    if json_type is JsonType.OBJECT:
        return f"an {json_type}"
    return f"a {json_type}" + (" of at most 64 bits" if json_type is JsonType.INTEGER else "")
