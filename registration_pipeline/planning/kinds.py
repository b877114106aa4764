"""Which of Encord's media kinds an object is: by the user's patterns, else from its suffix, else from its content type.

What does not belong here: whether Encord would take this particular object (``rejection.py``) and which unit it is a part of
(``grouping``).

The suffixes are those of Encord's page on supported data. ``.jpg`` is not spelled out there and is treated as
``.jpeg``; of the "many more" text formats only ``.htm`` and ``.md`` are accepted. The suffix is read without
regard to case. The content type is asked only where the suffix is not in these tables; few listings give one. Of NIfTI and
of what is compressed with gzip no content type says enough: IANA has registered none for NIfTI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registration_pipeline.globs import matcher
from registration_pipeline.objects import MediaKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registration_pipeline.settings.units import KindRule

_SUFFIXES_BY_KIND: Final = {
    MediaKind.IMAGE: (".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".tiff", ".tif"),
    MediaKind.VIDEO: (".mp4", ".mov", ".webm", ".mkv"),
    MediaKind.AUDIO: (".mp3", ".wav", ".flac"),
    MediaKind.PDF: (".pdf",),
    MediaKind.TEXT: (".txt", ".html", ".htm", ".json", ".xml", ".md"),
    MediaKind.NIFTI: (".nii", ".nii.gz"),
    MediaKind.DICOM_SERIES: (".dcm", ".dicom"),
}

_CONTENT_TYPES_BY_KIND: Final = {
    MediaKind.IMAGE: ("image/jpeg", "image/png", "image/webp", "image/avif", "image/bmp", "image/tiff"),
    MediaKind.VIDEO: ("video/mp4", "video/quicktime", "video/webm", "video/x-matroska", "video/matroska"),
    MediaKind.AUDIO: ("audio/mpeg", "audio/x-wav", "audio/wav", "audio/flac", "audio/x-flac"),
    MediaKind.PDF: ("application/pdf",),
    MediaKind.TEXT: (
        "text/plain",
        "text/html",
        "application/json",
        "application/xml",
        "text/xml",
        "text/markdown",
    ),
    MediaKind.DICOM_SERIES: ("application/dicom",),
}

KIND_BY_SUFFIX: Final = {suffix: kind for kind, suffixes in _SUFFIXES_BY_KIND.items() for suffix in suffixes}
KIND_BY_CONTENT_TYPE: Final = {name: kind for kind, names in _CONTENT_TYPES_BY_KIND.items() for name in names}

_SCENE: Final = "point clouds and scenes are not planned by this version"
_TIME_SERIES: Final = "Encord reads CSV as a time series, which is not planned by this version"

UNPLANNED_SUFFIXES: Final = {
    ".csv": _TIME_SERIES,
    ".pcd": _SCENE,
    ".ply": _SCENE,
    ".las": _SCENE,
    ".laz": _SCENE,
    ".mcap": _SCENE,
}
"""What Encord knows and this package does not plan. The suffix decides here too: no content type overrides it."""

UNPLANNED_CONTENT_TYPES: Final = {"text/csv": _TIME_SERIES}

_GZIP: Final = ".gz"
_NIFTI_GZIP: Final = ".nii.gz"


def suffix_of(key: str) -> str:
    """Return the suffix that decides the kind, in lower case: ``.jpg``, ``.nii.gz``, or ``""`` where there is none."""
    dot = key.rfind(".")
    if dot <= key.rfind("/"):
        return ""
    suffix = key[dot:].lower()
    return _NIFTI_GZIP if suffix == _GZIP and key[-len(_NIFTI_GZIP) :].lower() == _NIFTI_GZIP else suffix


def is_unplanned(key: str) -> bool:
    """Return whether the suffix is that of a format that Encord knows and this package does not plan."""
    return suffix_of(key) in UNPLANNED_SUFFIXES


def media_kind(key: str, content_type: str | None = None) -> MediaKind | None:
    """Return the kind of an object, or None if it is none that can be planned.

    Args:
        key: any part of the key that ends with the file name.
        content_type: as the listing gave it, parameters included.
    """
    suffix = suffix_of(key)
    kind = KIND_BY_SUFFIX.get(suffix)
    if kind is not None or suffix in UNPLANNED_SUFFIXES or not content_type:
        return kind
    return KIND_BY_CONTENT_TYPE.get(_bare(content_type))


def media_kinds(keys: Sequence[str], content_types: Sequence[str | None] | None = None) -> list[MediaKind | None]:
    """Return ``media_kind`` of every key. One dictionary look-up decides for a plain lower-case suffix.

    Args:
        keys: the keys of a batch.
        content_types: their content types in the same order; None where the listing has none at all.
    """
    # A key without a dot gives its last character and "a.b/c" gives ".b/c": neither is in the table.
    kinds = [KIND_BY_SUFFIX.get(key[key.rfind(".") :]) for key in keys]
    for index, kind in enumerate(kinds):
        if kind is None:
            kinds[index] = media_kind(keys[index], content_types[index] if content_types is not None else None)
    return kinds


class KindFinder:
    """Finds the kinds of a source's objects: the first pattern of ``kinds`` that matches decides, then the tables do.

    Args:
        rules: ``kinds`` of the source.
        below_prefix: makes of a whole key what patterns are matched against.

    Raises:
        ValueError: a pattern is not a glob.
    """

    def __init__(self, rules: Sequence[KindRule], below_prefix: Callable[[str], str]) -> None:
        self._below_prefix = below_prefix
        self._rules = [(matcher((rule.match,)), rule.kind.media_kind) for rule in rules]

    def kinds(self, keys: Sequence[str], content_types: Sequence[str | None] | None = None) -> list[MediaKind | None]:
        """Return the kind of every object, None where it is none that can be planned.

        Args:
            keys: whole keys.
            content_types: in the same order; None where the listing has none at all.
        """
        kinds = media_kinds(keys, content_types)
        if self._rules:
            for index, key in enumerate(map(self._below_prefix, keys)):
                for matches, kind in self._rules:
                    if matches(key):
                        kinds[index] = kind
                        break
        return kinds


def unplanned_note(key: str, content_type: str | None = None) -> str | None:
    """Return why an object of a known format is not planned; None for a format that Encord does not list either."""
    note = UNPLANNED_SUFFIXES.get(suffix_of(key))
    return note if note or not content_type else UNPLANNED_CONTENT_TYPES.get(_bare(content_type))


def _bare(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
