"""The objects of a group, sequence or series as items of their own: children, which no listing shows and no count counts.

They are not stored: a group's row holds its URLs, and a child's UUID is made of the group's UUID and its position, so that it
is the same at every request and leads back to the group.

What does not belong here: what the wire shows of an item (``items.py``).
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any, TypeAlias
from urllib.parse import unquote
from uuid import UUID

ItemRow: TypeAlias = sqlite3.Row | dict[str, Any]
"""A row of the table of items, or a child in the same form."""

_NODE_BITS = 48
"""A UUID's last twelve digits; what is before them is random enough to find its group by."""
_NODE = (1 << _NODE_BITS) - 1
_TYPES = {"imageGroup": "image", "imageSequence": "image", "dicomSeries": "dicomFile"}


def child_uuid(group_uuid: str, position: int) -> str:
    """The UUID of the object at a position, from 0, of a group."""
    return str(UUID(int=UUID(group_uuid).int ^ (position + 1)))


def child_rows(row: ItemRow) -> list[dict[str, Any]]:
    """The objects of an item in their order; none, if it is a single object."""
    urls: list[str] = json.loads(row["frames"]) if row["frames"] else []
    return [_child(row, url, position) for position, url in enumerate(urls)]


def find_child(connection: sqlite3.Connection, uuid: str) -> dict[str, Any] | None:
    """The object of a group that has this UUID; None, if there is none."""
    head = uuid.rpartition("-")[0]
    query = "SELECT * FROM items WHERE uuid >= ? AND uuid <= ? AND frames IS NOT NULL"
    for row in connection.execute(query, (f"{head}-", f"{head}-ffffffffffff")):
        position = ((UUID(row["uuid"]).int ^ UUID(uuid).int) & _NODE) - 1
        urls = json.loads(row["frames"])
        if 0 <= position < len(urls):
            return _child(row, urls[position], position)
    return None


def _child(row: ItemRow, url: str, position: int) -> dict[str, Any]:
    media = dict((json.loads(row["media"])[position] or {}) if row["media"] else {})
    return {
        **dict(row),
        "frames": None,
        "file_size": media.pop("fileSize", None),
        "mime_type": media.pop("mimeType", None),
        "media": json.dumps(media) if media else None,
        "uuid": child_uuid(row["uuid"], position),
        "group_uuid": row["uuid"],
        "item_type": _TYPES[row["item_type"]],
        "name": unquote(url.rstrip("/").rsplit("/", 1)[-1]),
        "identity": url,
        "submitted_url": url,
        "client_metadata": "{}",
    }
