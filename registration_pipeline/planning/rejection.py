"""Which objects Encord would not take, found before anything is sent, with the way out for each.

What does not belong here: the user's own rules (``globs.py``: those objects are excluded, not rejected) and what
Encord says after it has looked (``submission``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from registration_pipeline.objects import MediaKind, RejectionReason
from registration_pipeline.planning.kinds import suffix_of, unplanned_note

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What Encord takes. Where a page says "GB" or "KB" the binary unit is meant here.

    Reading them as binary can at worst send an object that Encord then refuses by name, while the decimal reading
    would hold back objects that it takes.

    Args:
        object_bytes: largest object per kind. Encord's best-practices page: 1 GB for images and for videos; it
            publishes no limit for the other kinds, so none is applied.
        url_bytes: Encord's page on registering cloud data: 16 KB per URL.
        title_characters: Encord's page on registering GCP data: file names of up to 300 characters.
        archived_storage_classes: classes that must be restored before anyone can read the object: S3's (user guide,
            "Archived objects"; GLACIER_IR is readable at once and is not among them) and Azure's access tier Archive
            ("Access tiers for blob data"). Google's ARCHIVE, in capitals, is readable at once.
    """

    object_bytes: Mapping[MediaKind, int]
    url_bytes: int
    title_characters: int
    archived_storage_classes: frozenset[str]


LIMITS: Final = Limits(
    object_bytes={MediaKind.IMAGE: 1024**3, MediaKind.VIDEO: 1024**3},
    url_bytes=16 * 1024,
    title_characters=300,
    archived_storage_classes=frozenset({"GLACIER", "DEEP_ARCHIVE", "Archive"}),
)


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
    title: str,
    url: str,
    storage_class: str | None = None,
    content_type: str | None = None,
) -> Rejection | None:
    """Return the first reason why Encord would not take the object, or None.

    Args:
        key: the whole key.
        size: bytes.
        kind: as ``kinds.media_kind`` told it; None if it is none that can be planned.
        title: the title that Encord would show.
        url: the ``objectUrl`` that would be sent.
        storage_class: the store's word; None where it has none.
        content_type: as the listing gave it; only for the message.
    """
    if kind is None or size <= 0 or key.endswith("/"):
        return _not_media(key, size, content_type)
    limit = LIMITS.object_bytes.get(kind)
    if limit is not None and size > limit:
        return _too_large(key, size, kind, limit)
    if storage_class in LIMITS.archived_storage_classes:
        return _archived(key, storage_class)
    url_bytes = len(url) if url.isascii() else len(url.encode())
    if url_bytes > LIMITS.url_bytes:
        return _url_too_long(key, url_bytes)
    if len(title) > LIMITS.title_characters:
        return _title_too_long(key, title)
    return None


def _not_media(key: str, size: int, content_type: str | None) -> Rejection:
    if key.endswith("/"):
        return Rejection(
            RejectionReason.DIRECTORY_MARKER,
            f"{key!r} ends with '/': consoles create such objects to show a folder. Nothing to mend; exclude '*/' to "
            "have it counted as excluded",
        )
    if size <= 0:
        return Rejection(
            RejectionReason.EMPTY, f"{key!r} is 0 bytes long: Encord can't read it. Write it again with content"
        )
    suffix = suffix_of(key)
    named = f"the suffix {suffix!r}" if suffix else "no suffix"
    said = f" and the content type {content_type!r}" if content_type else ""
    note = unplanned_note(key, content_type) or "no format that Encord takes"
    return Rejection(
        RejectionReason.UNSUPPORTED_TYPE,
        f"{key!r} has {named}{said}: {note}. Convert or rename it, or exclude it by a rule",
    )


def _too_large(key: str, size: int, kind: MediaKind, limit: int) -> Rejection:
    return Rejection(
        RejectionReason.TOO_LARGE,
        f"{key!r} is {size:,} bytes long: Encord takes {kind.value} up to {limit:,} bytes. Split it or write it "
        "smaller under a new key",
    )


def _archived(key: str, storage_class: str | None) -> Rejection:
    return Rejection(
        RejectionReason.ARCHIVED,
        f"{key!r} is archived (storage class {storage_class}): Encord can't read it. Restore it by copying it to a "
        "readable storage class; the next sync plans it",
    )


def _url_too_long(key: str, url_bytes: int) -> Rejection:
    return Rejection(
        RejectionReason.URL_TOO_LONG,
        f"{key!r} gives a URL of {url_bytes:,} bytes: Encord takes {LIMITS.url_bytes:,}. Copy it to a shorter key",
    )


def _title_too_long(key: str, title: str) -> Rejection:
    return Rejection(
        RejectionReason.TITLE_TOO_LONG,
        f"{key!r} gives a title of {len(title):,} characters: Encord takes {LIMITS.title_characters}. Copy it to a "
        "shorter key",
    )
