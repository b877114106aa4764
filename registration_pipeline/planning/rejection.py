"""Which objects Encord would not take, found before anything is sent, with the way out for each.

What does not belong here: the user's own rules (``globs.py``: those objects are excluded, not rejected), the limits themselves
(``limits.py``) and what Encord says after it has read the object (``submission``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registration_pipeline.inventory.schema import NAME_NOT_UTF8
from registration_pipeline.limits import (
    ARCHIVED_STORAGE_CLASSES,
    MAX_OBJECT_BYTES,
    MAX_URL_BYTES,
)
from registration_pipeline.objects import RejectionReason
from registration_pipeline.planning.kinds import suffix_of, unplanned_note

if TYPE_CHECKING:
    from registration_pipeline.objects import MediaKind


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one object is not sent; the message names the object and says what to do."""

    reason: RejectionReason
    message: str


def find_rejection(
    *,
    key: str,
    size: int,
    kind: MediaKind | None,
    url: str,
    storage_class: str | None = None,
    content_type: str | None = None,
) -> Rejection | None:
    """Return the first reason why Encord would not take the object, or None.

    Args:
        key: the whole key.
        size: bytes.
        kind: as ``kinds.media_kind`` found it; None if it is not one that can be planned.
        url: the ``objectUrl`` that would be sent.
        storage_class: the store's word; None where it has none.
        content_type: as the listing gave it; only for the message.
    """
    if kind is None or size <= 0 or key.endswith("/") or storage_class == NAME_NOT_UTF8:
        return _name_not_utf8(key) if storage_class == NAME_NOT_UTF8 else _not_media(key, size, content_type)
    limit = MAX_OBJECT_BYTES.get(kind)
    if limit is not None and size > limit:
        return _too_large(key, size, kind, limit)
    if storage_class in ARCHIVED_STORAGE_CLASSES:
        return _archived(key, storage_class)
    url_bytes = len(url) if url.isascii() else len(url.encode())
    if url_bytes > MAX_URL_BYTES:
        return _url_too_long(key, url_bytes)
    return None


def _name_not_utf8(key: str) -> Rejection:
    return Rejection(
        RejectionReason.NAME_NOT_UTF8,
        f"the name of {key!r} is not UTF-8 (bytes that are not are shown as \\xNN): no URL can name it. Rename it, e.g. "
        "`convmv -f latin1 -t utf8 --notest`, or exclude it by a rule",
    )


def _not_media(key: str, size: int, content_type: str | None) -> Rejection:
    if key.endswith("/"):
        return Rejection(
            RejectionReason.DIRECTORY_MARKER,
            f"{key!r} ends with '/': consoles create such objects to show a folder. Nothing to fix; exclude '*/' to "
            "have it counted as excluded",
        )
    if size <= 0:
        return Rejection(
            RejectionReason.EMPTY, f"{key!r} is 0 bytes long: Encord can't read it. Write it again with content"
        )
    suffix = suffix_of(key)
    named = f"the suffix {suffix!r}" if suffix else "no suffix"
    said = f" and the content type {content_type!r}" if content_type else ""
    note = unplanned_note(key, content_type) or "no format that Encord accepts"
    return Rejection(
        RejectionReason.UNSUPPORTED_TYPE,
        f"{key!r} has {named}{said}: {note}. Convert or rename it, say under `kinds` what it is, or exclude it by a rule",
    )


def _too_large(key: str, size: int, kind: MediaKind, limit: int) -> Rejection:
    return Rejection(
        RejectionReason.TOO_LARGE,
        f"{key!r} is {size:,} bytes long: Encord accepts {kind.value} up to {limit:,} bytes. Split it or write it "
        "smaller under a new key",
    )


def _archived(key: str, storage_class: str | None) -> Rejection:
    return Rejection(
        RejectionReason.ARCHIVED,
        f"{key!r} is archived (storage class {storage_class}): Encord can't read it. Restore it by copying it to a "
        "readable storage class; the next sync plans it, unless its unit was planned without it",
    )


def _url_too_long(key: str, url_bytes: int) -> Rejection:
    return Rejection(
        RejectionReason.URL_TOO_LONG,
        f"{key!r} gives a URL of {url_bytes:,} bytes: Encord accepts {MAX_URL_BYTES:,}. Copy it to a shorter key",
    )
