"""The forms of an object URL: another one that means the same, and what duplicates are recognised by.

What does not belong here: which URLs a manifest may hold.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes, unquote_to_bytes

from registration_pipeline.sandbox.config import GroupMatching, UrlMatching
from registration_pipeline.sandbox.jobs.manifests import KINDS

if TYPE_CHECKING:
    import sqlite3

    from registration_pipeline.sandbox.jobs.manifests import SubmittedUnit

_UNESCAPED = "/!$&'()*+,;=:@~"


def normalise_url(url: str) -> str:
    """The same URL in another percent-encoding: reserved characters that a path may hold unescaped are unescaped.

    Whether Encord shows the URL exactly as submitted is not known, so the strings must not be compared.
    """
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if not separator or "?" in path or "#" in path:
        return url
    return f"{scheme}://{authority}{slash}{quote_from_bytes(unquote_to_bytes(path), safe=_UNESCAPED)}"


def match_key(unit: SubmittedUnit, matching: UrlMatching) -> str:
    """What duplicates of the unit are recognised by: its URL, or for several objects a digest of all their URLs."""
    if matching is UrlMatching.EXACT:
        return unit.identity
    urls = [normalise_url(url) for url in unit.urls]
    return "group:" + sha256("\n".join(urls).encode()).hexdigest() if KINDS[unit.kind].grouped else urls[0]


_HELD = "SELECT 1 FROM items WHERE folder_id = ? AND identity = ? LIMIT 1"
_ANY_HELD = """
SELECT 1 FROM items WHERE folder_id = :folder AND identity IN (SELECT value FROM json_each(:urls))
UNION ALL
SELECT 1 FROM items, json_each(items.frames) AS frame
WHERE folder_id = :folder AND frames IS NOT NULL AND frame.value IN (SELECT value FROM json_each(:urls))
LIMIT 1"""


def is_held(
    connection: sqlite3.Connection,
    folder_id: int,
    unit: SubmittedUnit,
    *,
    urls: UrlMatching,
    groups: GroupMatching,
) -> bool:
    """Whether the folder holds the unit already, so that it would be skipped as a duplicate."""
    if connection.execute(_HELD, (folder_id, match_key(unit, urls))).fetchone() is not None:
        return True
    if groups is GroupMatching.ALL_URLS or not KINDS[unit.kind].grouped:
        return False
    named = {"folder": folder_id, "urls": json.dumps(unit.urls)}
    return connection.execute(_ANY_HELD, named).fetchone() is not None
