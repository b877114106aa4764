"""One page of Google's ``Objects: list``, from JSON to the rows of an inventory.

What does not belong here: asking for it (``requests.py``).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.tables.columns import int64s, texts

if TYPE_CHECKING:
    from collections.abc import Sequence

FIELDS = "name,size,updated,md5Hash,crc32c,etag,contentType,storageClass,generation"
"""Of an object, those that a row is made from."""

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


class NotGoogleError(ValueError):
    """What answered does not speak Google's JSON API."""


class Answer(NamedTuple):
    """What one answer holds.

    Args:
        items: its objects, as Google describes them.
        folders: common prefixes, where a delimiter was asked for.
        token: of the next page; None after the last.
    """

    items: Sequence[dict[str, Any]]
    folders: Sequence[str]
    token: str | None


def read_answer(content: bytes) -> Answer:
    """Read an answer.

    Raises:
        NotGoogleError: it is none of Google's.
    """
    try:
        page = json.loads(content)
    except ValueError:
        raise NotGoogleError from None
    if not isinstance(page, dict) or page.get("kind") != "storage#objects":
        # Any object without items would else pass for an empty bucket.
        raise NotGoogleError
    items, folders, token = page.get("items"), page.get("prefixes"), page.get("nextPageToken", "")
    if not all(part is None or isinstance(part, list) for part in (items, folders)) or not isinstance(token, str):
        raise NotGoogleError
    if not all(isinstance(folder, str) and _is_unicode(folder) for folder in folders or ()):
        raise NotGoogleError
    return Answer(items or (), folders or (), token or None)


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def rows_of(items: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    """Return the rows of objects in ``INVENTORY_SCHEMA``.

    Raises:
        KeyError: an object lacks its name, size or time.
        TypeError: one of them is not what Google sends.
        ValueError: likewise, or a name is not Unicode: a lone surrogate is a UnicodeEncodeError, which is a ValueError.
        OverflowError: a size is out of range.
    """
    time = INVENTORY_SCHEMA.field("last_modified").type
    columns = [
        texts([_text(item["name"]) for item in items]),
        int64s(_size(item["size"]) for item in items),
        _times([_text(item["updated"]) for item in items], time),
        texts([_e_tag(item) for item in items]),
        *(texts([item.get(name) for item in items]) for name in ("storageClass", "contentType", "generation")),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=INVENTORY_SCHEMA)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _size(value: object) -> int:
    """Return a number of bytes: decimal digits, as Google writes them, or the number itself, as emulators do."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value)
    if type(value) is int and value >= 0:
        return value
    raise ValueError(f"{value!r} is not a size")


def _times(written: list[str], kind: pa.DataType) -> pa.Array:
    try:
        return texts(written).cast(kind)
    except pa.ArrowInvalid:  # not to the microsecond in UTC, as Google writes it
        return int64s(((datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND for text in written), kind)


def _e_tag(item: dict[str, Any]) -> str | None:
    """Return what changes exactly when the content does; see ``INVENTORY_SCHEMA``.

    Google's own etag changes with the metadata too, and objects composed of others have no MD5.
    """
    md5, crc32c = item.get("md5Hash"), item.get("crc32c")
    return md5 or (f"crc32c:{crc32c}" if crc32c else item.get("etag"))
