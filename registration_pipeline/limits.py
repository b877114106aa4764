"""Encord's limits, one table: what it takes of an object, of a unit and of a manifest, each with its source.

What does not belong here: applying them (``planning/rejection.py``, ``planning/chunking.py``, ``manifest/``, ``settings/``)
and sizes that are ours to choose. The sandbox keeps a copy of its own on purpose: a wrong number here must not be wrong there
too.

Where a page says "GB" or "KB" of an object or URL, the binary unit is meant here: that can at worst send an object that Encord
then refuses by name, while the decimal reading would hold back objects that it accepts. Sizes of manifests and metadata are
read as decimal, the smaller reading, since it is ours to stay below.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from registration_pipeline.objects import MediaKind

if TYPE_CHECKING:
    from collections.abc import Mapping

# Objects.

MAX_OBJECT_BYTES: Final[Mapping[MediaKind, int]] = MappingProxyType(
    {MediaKind.IMAGE: 1024**3, MediaKind.VIDEO: 1024**3, MediaKind.DICOM_SERIES: 25 * 1024**2}
)
"""Largest object by what the object is, whether it is a unit of its own or one of many. Encord's best-practices page: 1 GB
for images and for videos, 25 MB for DICOM; it publishes no limit for the other kinds, so none is applied."""

MAX_URL_BYTES: Final = 16 * 1024
"""Encord's page on registering cloud data: 16 KB per URL."""

ARCHIVED_STORAGE_CLASSES: Final = frozenset({"GLACIER", "DEEP_ARCHIVE", "Archive"})
"""Classes that must be restored before an object can be read: S3's (user guide, "Archived objects"; GLACIER_IR is readable at
once and is not among them) and Azure's access tier Archive ("Access tiers for blob data"). Google's ARCHIVE, in capitals, is
readable at once."""

# Units.

MAX_TITLE_CHARACTERS: Final = 300
"""Encord's page on registering GCP data: file names of up to 300 characters."""

MAX_CLIENT_METADATA_BYTES: Final = 10_000_000
"""10 MB per item as it is sent: Encord's page on client metadata."""

MAX_SEQUENCE_IMAGES: Final = 32_767
"""Images of a sequence, which is a group with ``createVideo``: Encord's page on registering cloud data."""

MAX_ENUM_VALUES: Final = 255
"""Options of an enum of the metadata schema: the SDK refuses 256."""

EMBEDDING_SIZES: Final = range(1, 4096 + 1)
"""Numbers of an embedding: Encord's page on custom metadata."""

MAX_VARCHAR_CHARACTERS: Final = 8_192
"""Characters of a value of type varchar: the SDK's ``max_length``."""

INTEGER_RANGE: Final = range(-(2**63), 2**63)
"""Whole numbers beyond 64 bits fit no database's column."""

# Manifests.

MAX_URLS: Final = 1_000_000
"""URLs per JSON file: Encord's page on registering cloud data."""

MAX_DEPTH: Final = 255
"""Objects and lists within each other: more than that the SDK (pydantic, in fact) can't send."""

MAX_GROWTH: Final = 6
"""The SDK reads the file and writes it again, escaped and spaced out: one byte (U+007F) becomes at most six."""

ENVELOPE_BYTES: Final = 512
"""The most that is sent around the manifest: integration, flag and a file name of 255 bytes."""


class EncordPlan(StrEnum):
    """What was bought from Encord: ``encord.plan`` in registration.yaml."""

    ENTERPRISE = "enterprise"
    TEAM = "team"
    FREE = "free"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestLimits:
    """How large a JSON file may be.

    Args:
        entries: units.
        bytes: as it is sent.
        urls: of all its units; the same in every plan.
    """

    entries: int
    bytes: int
    urls: int = MAX_URLS


MANIFEST_LIMITS: Final[Mapping[EncordPlan, ManifestLimits]] = MappingProxyType(
    {
        EncordPlan.ENTERPRISE: ManifestLimits(entries=10_000, bytes=100_000_000),
        EncordPlan.TEAM: ManifestLimits(entries=2_500, bytes=100_000_000),
        EncordPlan.FREE: ManifestLimits(entries=1_000, bytes=10_000_000),
    }
)
"""Encord's best-practices page: "100 MB or 10,000 entries", "100 MB or 2,500 entries", "10 MB" and 1,000 data units at one
time. Its page on registering cloud data allows 500,000 items; the smaller number counts."""

MAX_ITEMS: Final = MANIFEST_LIMITS[EncordPlan.ENTERPRISE].entries
"""Entries per JSON file, whatever the plan."""

MAX_MANIFEST_BYTES: Final = MANIFEST_LIMITS[EncordPlan.ENTERPRISE].bytes
"""Bytes per JSON file, whatever the plan."""
