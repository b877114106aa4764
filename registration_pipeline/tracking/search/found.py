"""What is known of one object, as a value: its place, why it is there, and what happened to it.

What does not belong here: finding it (``find.py``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Place(StrEnum):
    """Where an object is. The first five are the places that ``status`` counts."""

    EXCLUDED = "excluded"
    """A rule of the source leaves it out."""
    REJECTED = "rejected"
    """Encord would not take it; found before anything was sent."""
    REGISTERED = "registered"
    PENDING = "pending"
    """It waits: for its chunk's turn, for its age, for its unit, or for what has to be read of it first."""
    FAILED = "failed"
    """Encord did not register it."""
    NOT_PLANNED = "not_planned"
    """It is in an inventory that no plan has seen yet."""
    DELETED = "deleted"
    """It was planned once, and the latest inventory does not have it."""
    UNKNOWN = "unknown"
    """Neither the latest inventory nor any plan has such a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What an attempt to send the object's chunk came to.

    Args:
        number: from 1.
        at: when it began, UTC.
        event: ``verdict``, ``not_sent``, ``lost``, or the last event of an attempt that is open.
        job_id: Encord's upload job; None: there was none.
        is_registered: of the object's unit; None: the attempt has no verdict.
        reason: why its unit failed; a word of the closed set. None: it did not.
        message: what was said of its unit, or of the attempt.
    """

    number: int
    at: datetime
    event: str
    job_id: str | None = None
    is_registered: bool | None = None
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The object's row of the latest inventory.

    Args:
        inventory_id: which.
        size: bytes.
        last_modified: UTC.
    """

    inventory_id: str
    size: int
    last_modified: datetime
    e_tag: str | None
    storage_class: str | None
    content_type: str | None
    version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundObject:
    """Where an object is, and why.

    Args:
        asked: what was asked for.
        key: the whole key; of an unknown one, as asked.
        place: where it is.
        explanation: a sentence that says why, and what to do where there is something to do.
        listing: its row of the latest inventory; None: it is not in it.
        object_url: as Encord was or will be told; None: it is not in the bucket.
        unit_id: what Encord registers it as; None: it is in no chunk.
        unit_title: of that unit.
        unit_position: of the object in its unit, from 0.
        unit_key: what names a unit of several objects; None for a unit of one, and where it is not known.
        chunk_id: that it is planned in; None: in none.
        chunk_state: as ``chunks`` shows it.
        item_uuid: Encord's storage item; None: it is not registered, or Encord did not name it.
        is_changed: it is registered, and the bucket has another object under its key now.
        reason: why it is rejected or failed; a word of the closed set.
        message: what the store or Encord said.
        subtask_uuid: what Encord's support asks for.
        history: the attempts of its chunk, the oldest first.
        nearest: keys that the inventory does have and that may be meant; only of unknown ones. Of a prefix, its
            first keys.
    """

    asked: str
    key: str
    place: Place
    explanation: str
    listing: Listing | None = None
    object_url: str | None = None
    unit_id: str | None = None
    unit_title: str | None = None
    unit_position: int | None = None
    unit_key: str | None = None
    chunk_id: str | None = None
    chunk_state: str | None = None
    item_uuid: str | None = None
    is_changed: bool = False
    reason: str | None = None
    message: str | None = None
    subtask_uuid: str | None = None
    history: tuple[Attempt, ...] = ()
    nearest: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the object's part of ``find --json``."""
        shown: dict[str, Any] = _with_texts(asdict(self))
        return shown


def _with_texts(value: Any) -> Any:
    """Return the value with times as ISO 8601 texts, all the way down."""
    match value:
        case dict():
            return {name: _with_texts(one) for name, one in value.items()}
        case list() | tuple():
            return [_with_texts(one) for one in value]
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case Place():
            return value.value
    return value
