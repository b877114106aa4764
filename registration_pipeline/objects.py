"""The words of the domain as types: kinds with their table, and the closed sets of reasons.

What does not belong here: how an object is listed, classified, rendered or stored, and Encord's limits (``limits.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class MediaKind(StrEnum):
    """What a unit is. The value is a key of ``chunk_size`` and part of chunk ids; everything else is in ``KINDS``."""

    IMAGE = "images"
    VIDEO = "videos"
    AUDIO = "audio"
    PDF = "pdfs"
    TEXT = "text"
    NIFTI = "nifti"
    IMAGE_GROUP = "image_groups"
    IMAGE_SEQUENCE = "image_sequences"
    DICOM_SERIES = "dicom_series"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindSpec:
    """What there is to know of a kind.

    Args:
        kind: which one.
        list_key: the list of Encord's JSON upload format that its units go to; groups and sequences share one.
        chunk_units: units per chunk, unless the source's ``chunk_size`` says otherwise.
        is_group: whether a unit has several objects, named ``objectUrl_0``, ``objectUrl_1``…
        create_video: the value of ``createVideo``, which makes a sequence of an image group; None: the key is not written.
        has_client_metadata: whether Encord's page prints ``clientMetadata`` for the list.
    """

    kind: MediaKind
    list_key: str
    chunk_units: int
    is_group: bool = False
    create_video: bool | None = None
    has_client_metadata: bool = True


KINDS: Mapping[MediaKind, KindSpec] = MappingProxyType(
    {
        spec.kind: spec
        for spec in (
            # Encord's upload page: "limit uploads to 100 videos and up to 1000 images at a time".
            KindSpec(kind=MediaKind.IMAGE, list_key="images", chunk_units=1000),
            KindSpec(kind=MediaKind.VIDEO, list_key="videos", chunk_units=100),
            KindSpec(kind=MediaKind.AUDIO, list_key="audio", chunk_units=1000),
            KindSpec(kind=MediaKind.PDF, list_key="pdfs", chunk_units=1000),
            KindSpec(kind=MediaKind.TEXT, list_key="text", chunk_units=1000),
            KindSpec(kind=MediaKind.NIFTI, list_key="nifti", chunk_units=1000, has_client_metadata=False),
            KindSpec(
                kind=MediaKind.IMAGE_GROUP,
                list_key="image_groups",
                chunk_units=100,
                is_group=True,
                create_video=False,
            ),
            KindSpec(
                kind=MediaKind.IMAGE_SEQUENCE,
                list_key="image_groups",
                chunk_units=100,
                is_group=True,
                create_video=True,
            ),
            # Encord's pages list createVideo among the keys of a series and say that it defaults to true; whatever is not
            # a sequence says false.
            KindSpec(
                kind=MediaKind.DICOM_SERIES,
                list_key="dicom_series",
                chunk_units=100,
                is_group=True,
                create_video=False,
            ),
        )
    }
)
"""Every kind."""


class RejectionReason(StrEnum):
    """Why an object will not be sent: Encord would not take it. Found before submission."""

    DIRECTORY_MARKER = "directory_marker"
    EMPTY = "empty"
    UNSUPPORTED_TYPE = "unsupported_type"
    TOO_LARGE = "too_large"
    ARCHIVED = "archived"
    URL_TOO_LONG = "url_too_long"
    TITLE_TOO_LONG = "title_too_long"
    """Only in states of earlier versions: titles are shortened now."""
    NAME_NOT_UTF8 = "name_not_utf8"
    UNIT_INCOMPLETE = "unit_incomplete"
    """Another object of its unit would not be taken, or the unit has more objects than expected."""
    LATE_MEMBER = "late_member"
    """Its unit is planned already, without it."""
    UNIT_TOO_LARGE = "unit_too_large"
    """Its unit alone is beyond one of Encord's limits."""
    INVALID_HEADER = "invalid_header"
    """It is not DICOM, or its header lacks what Encord requires."""
    HEADER_UNREADABLE = "header_unreadable"
    """Its header could not be read, e.g. for lack of permission; the next sync tries again."""
    INVALID_METADATA = "invalid_metadata"
    """Its client metadata breaks a rule of Encord or of ``metadata_schema``, or two rows of a table are about it."""
    METADATA_UNREADABLE = "metadata_unreadable"
    """Its sidecar or object metadata could not be read, e.g. for lack of permission; the next sync tries again."""
    NO_MEDIA_METADATA = "no_media_metadata"
    """``strict_client_only`` needs its media metadata, and there is none."""


class LinkReason(StrEnum):
    """Why a registered unit is not linked to the dataset."""

    ITEM_MISSING = "item_missing"
    """Its item does not exist in Encord any more, or may not be seen."""
    ITEM_UNKNOWN = "item_unknown"
    """The state does not know which item it is."""
    LINK_REFUSED = "link_refused"
    """Encord refused to link it, also alone; the message says what it said."""


class Remedy(StrEnum):
    """Who has to act on a failure, and how."""

    RETRY_LATER = "retry later"
    FIX_PERMISSION = "fix the bucket permission"
    FIX_FILE = "fix the file"
    ASK_ENCORD = "ask Encord"
    AS_IT_SAYS = "do what the message says, or ask Encord"
    RESTORE_ITEM = "move the item back or register its chunk again, then `submit SOURCE --failed`"


class FailureReason(StrEnum):
    """Why Encord said no to an object that was sent."""

    UNREADABLE = "unreadable"
    """Encord's integration may not read the object: fix the bucket policy or the integration."""
    NOT_FOUND = "not_found"
    """The object was gone when Encord read it."""
    INVALID_FILE = "invalid_file"
    """Encord read the object and could not decode it: fix the file."""
    SERVICE_ERROR = "service_error"
    """Encord's own trouble: retry later."""
    MANIFEST_REFUSED = "manifest_refused"
    """Encord refused the unit's entry in the manifest, also alone."""
    CANCELLED = "cancelled"
    """The upload job was cancelled."""
    UNACCOUNTED = "unaccounted"
    """The job ended and named the object neither as item nor as error: retry is safe."""
    NOT_IN_ENCORD = "not_in_encord"
    """Of an upsert: the unit's item is not in its folder any more, so nothing was sent."""
    METADATA_NOT_SHOWN = "metadata_not_shown"
    """Of an upsert: the job ended and the item does not show what was sent."""
    PLANNED_AGAIN = "planned_again"
    """Of an upsert: its chunk was not sent, because another unit of it is not in Encord; it is planned again at once."""
    OTHER = "other"
    """A message that no rule recognises; it is quoted in full."""

    @property
    def remedy(self) -> Remedy:
        """Who has to act, and how."""
        return _REMEDIES[self]

    @property
    def is_transient(self) -> bool:
        """Return whether the failure may pass by itself, so that later runs try again."""
        return self.remedy is Remedy.RETRY_LATER


_REMEDIES = {
    FailureReason.UNREADABLE: Remedy.FIX_PERMISSION,
    FailureReason.NOT_FOUND: Remedy.FIX_FILE,
    FailureReason.INVALID_FILE: Remedy.FIX_FILE,
    FailureReason.SERVICE_ERROR: Remedy.RETRY_LATER,
    FailureReason.MANIFEST_REFUSED: Remedy.AS_IT_SAYS,
    FailureReason.CANCELLED: Remedy.RETRY_LATER,
    FailureReason.UNACCOUNTED: Remedy.RETRY_LATER,
    FailureReason.NOT_IN_ENCORD: Remedy.RESTORE_ITEM,
    FailureReason.METADATA_NOT_SHOWN: Remedy.RETRY_LATER,
    FailureReason.PLANNED_AGAIN: Remedy.RETRY_LATER,
    FailureReason.OTHER: Remedy.ASK_ENCORD,
}


_REJECTION_REMEDIES = {
    RejectionReason.DIRECTORY_MARKER: 'nothing to fix; `exclude: ["*/"]` counts such objects as excluded',
    RejectionReason.UNIT_INCOMPLETE: "fix or exclude the object that the message names, or correct the rule; all others need "
    "no change",
    RejectionReason.LATE_MEMBER: "exclude it, or register the whole unit under another name, as the message says",
    RejectionReason.UNIT_TOO_LARGE: "change the rule so that it makes smaller units",
    RejectionReason.INVALID_HEADER: "write the file with a complete DICOM header, or exclude it",
    RejectionReason.HEADER_UNREADABLE: "let the pipeline read the object, or write it again; the next sync reads it",
    RejectionReason.INVALID_METADATA: "correct the values that the message names, in the table, sidecar or object metadata",
    RejectionReason.METADATA_UNREADABLE: "let the pipeline read the sidecar or the object's metadata; the next sync reads it",
    RejectionReason.NO_MEDIA_METADATA: "correct the file or the setting that the message names, or remove strict_client_only",
}


_LINK_REMEDIES = {
    LinkReason.ITEM_MISSING: "restore access to the item, or register its chunk again with `submit --chunk ID --force`",
    LinkReason.ITEM_UNKNOWN: "`submit --chunk ID --force` finds the item and links it",
    LinkReason.LINK_REFUSED: "fix what Encord says, then `submit --failed`",
}


def remedy_of(reason: str) -> str:
    """Return who has to act on an object that is not registered, or not linked, for a reason."""
    if reason in set(LinkReason):
        return _LINK_REMEDIES[LinkReason(reason)]
    if reason in set(FailureReason):
        return _REMEDIES[FailureReason(reason)].value
    default = "change the object, or exclude it"
    return _REJECTION_REMEDIES.get(RejectionReason(reason), default) if reason in set(RejectionReason) else default
