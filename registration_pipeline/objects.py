"""The words of the domain as types: object, kind, and the closed sets of reasons.

What does not belong here: how an object is listed, classified, rendered or stored.
"""

from __future__ import annotations

from enum import StrEnum


class MediaKind(StrEnum):
    """What Encord registers. The value is the top-level key of the JSON upload format and of ``chunk_size``."""

    IMAGE = "images"
    VIDEO = "videos"
    AUDIO = "audio"
    PDF = "pdfs"
    TEXT = "text"
    NIFTI = "nifti"


class RejectionReason(StrEnum):
    """Why an object will not be sent: Encord would not take it. Found before submission."""

    DIRECTORY_MARKER = "directory_marker"
    EMPTY = "empty"
    UNSUPPORTED_TYPE = "unsupported_type"
    TOO_LARGE = "too_large"
    ARCHIVED = "archived"
    URL_TOO_LONG = "url_too_long"
    TITLE_TOO_LONG = "title_too_long"


class Remedy(StrEnum):
    """Who has to act on a failure, and how."""

    RETRY_LATER = "retry later"
    FIX_PERMISSION = "fix the bucket permission"
    FIX_FILE = "fix the file"
    ASK_ENCORD = "ask Encord"


class FailureReason(StrEnum):
    """Why Encord said no to an object that was sent."""

    UNREADABLE = "unreadable"
    """Encord's integration may not read the object: mend the bucket policy or the integration."""
    NOT_FOUND = "not_found"
    """The object was gone when Encord looked."""
    INVALID_FILE = "invalid_file"
    """Encord read the object and could not decode it: mend the file."""
    SERVICE_ERROR = "service_error"
    """Encord's own trouble: retry later."""
    MANIFEST_REFUSED = "manifest_refused"
    """Encord refused the unit's entry in the manifest, also alone."""
    CANCELLED = "cancelled"
    """The upload job was cancelled."""
    UNACCOUNTED = "unaccounted"
    """The job ended and named the object neither as item nor as error: retry is safe."""
    OTHER = "other"
    """A message that no rule recognises; it is quoted in full."""

    @property
    def remedy(self) -> Remedy:
        """Who has to act, and how."""
        return _REMEDIES[self]

    @property
    def is_transient(self) -> bool:
        """Tell whether the failure may pass by itself, so that later runs try again."""
        return self.remedy is Remedy.RETRY_LATER


_REMEDIES = {
    FailureReason.UNREADABLE: Remedy.FIX_PERMISSION,
    FailureReason.NOT_FOUND: Remedy.FIX_FILE,
    FailureReason.INVALID_FILE: Remedy.FIX_FILE,
    FailureReason.SERVICE_ERROR: Remedy.RETRY_LATER,
    FailureReason.MANIFEST_REFUSED: Remedy.ASK_ENCORD,
    FailureReason.CANCELLED: Remedy.RETRY_LATER,
    FailureReason.UNACCOUNTED: Remedy.RETRY_LATER,
    FailureReason.OTHER: Remedy.ASK_ENCORD,
}


def remedy_of(reason: str) -> str:
    """Return who has to act on an object that is not registered for a reason, rejected or failed."""
    return (
        _REMEDIES[FailureReason(reason)].value if reason in set(FailureReason) else "change the object, or exclude it"
    )
