"""Deterministic ids: the same inputs give the same id on every machine, for ever.

What does not belong here: random names of parts, and names of files in the state (``state/layout.py``).
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from xxhash import xxh3_64_intdigest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from registration_pipeline.objects import MediaKind

_INVENTORY_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_INVENTORY_TIME = "%Y%m%dT%H%M%SZ"
_ID_CHARACTERS = re.compile(r"[A-Za-z0-9_-]+")
_ID_LENGTH = 16
"""Hex digits, 64 bits: among 1 billion units the chance of one collision is about 3 %, and an id only has to be unique
together with its chunk."""


def unit_id(source: str, kind: MediaKind, name: str) -> str:
    """Return the id of a unit: 16 hex digits from the source's name, the kind and what names the unit in both.

    Args:
        source: its name.
        kind: of the unit. A kind has either single objects or groups (``KINDS``), so that a key and a group's key that are
            the same text give different ids.
        name: the key of a single object; the group's key of a unit of several. A group keeps its id when members come or go.
    """
    # Neither a source's name nor a kind can hold a zero byte, so the three parts can't run into each other.
    return _digest(f"{source}\0{kind}\0{name}")


def objects_digest(urls: Iterable[str]) -> str:
    """Return 16 hex digits of the URLs of a unit's objects, decoded, in whatever order they come; one that comes twice counts.

    The sum of their hashes, so that a million URLs need not be there at once. The id of a group does not say what it consists
    of, this does.
    """
    total = sum(xxh3_64_intdigest(unquote_to_bytes(url)) for url in urls)
    return f"{total % (1 << 4 * _ID_LENGTH):0{_ID_LENGTH}x}"


def chunk_id(wave_id: str, kind: MediaKind, index: int) -> str:
    """Return e.g. ``20261121T020000Z-images-000001``; sorts in planning order up to 999,999 chunks per wave and kind.

    Args:
        wave_id: the wave that planned the chunk.
        kind: what the chunk holds.
        index: counts from 1.

    Raises:
        ValueError: the id would not match ``[A-Za-z0-9_-]+``, which partition keys must.
    """
    if index < 1 or not _ID_CHARACTERS.fullmatch(wave_id):
        raise ValueError(f"no chunk id can be made of wave {wave_id!r} and index {index}")
    return f"{wave_id}-{kind}-{index:06d}"


def inventory_id(at: datetime) -> str:
    """Return the id of an inventory begun at a time, to the second, in UTC: ``20261121T020000Z``.

    Raises:
        ValueError: the time has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError("an inventory's time needs a time zone")
    utc = at.astimezone(UTC)
    # Not strftime: %Y drops leading zeros on some systems.
    return f"{utc.year:04d}{utc.month:02d}{utc.day:02d}T{utc.hour:02d}{utc.minute:02d}{utc.second:02d}Z"


def is_inventory_id(text: str) -> bool:
    """Return whether a text has the form of an inventory's id."""
    return _INVENTORY_ID.fullmatch(text) is not None


def parse_inventory_id(text: str) -> datetime:
    """Return the UTC time of an inventory id.

    Raises:
        ValueError: it is not one.
    """
    if not is_inventory_id(text):
        raise ValueError(f"{text!r} is not an inventory id; expected e.g. 20261121T020000Z")
    return datetime.strptime(text, _INVENTORY_TIME).replace(tzinfo=UTC)


def rules_digest(rules: Mapping[str, Any]) -> str:
    """Return 16 hex digits of the rules' canonical JSON; the order of keys does not matter, that of lists does.

    Raises:
        TypeError: a value has no JSON form.
        ValueError: a number is NaN or infinite.
    """
    return _digest(json.dumps(rules, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_LENGTH]
