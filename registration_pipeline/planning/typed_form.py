"""Where units go in Encord's typed form of a manifest, ``dataItems``: one table. All its names are those of the SDK.

What does not belong here: media metadata (``media_blocks.py``) and filling it in (``manifest/typed.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from registration_pipeline.objects import MediaKind

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedKind:
    """How units of a kind are written in the typed form. All of them have a title and client metadata, NIfTI too.

    Args:
        list_key: the list that they go to.
        file_type: the value of ``externalFileType``, which the SDK adds.
        members_key: the list of the objects of a unit of several; None: there is one ``objectUrl``.
        create_video: the value of ``createVideo``; None: the key does not exist.
    """

    list_key: str
    file_type: str
    members_key: str | None = None
    create_video: bool | None = None


TYPED_KINDS: Final[Mapping[MediaKind, TypedKind]] = MappingProxyType(
    {
        MediaKind.IMAGE: TypedKind(list_key="images", file_type="IMAGE"),
        MediaKind.VIDEO: TypedKind(list_key="videos", file_type="VIDEO"),
        MediaKind.AUDIO: TypedKind(list_key="audio", file_type="AUDIO"),
        MediaKind.PDF: TypedKind(list_key="pdf", file_type="PDF"),
        MediaKind.TEXT: TypedKind(list_key="text", file_type="PLAIN_TEXT"),
        MediaKind.NIFTI: TypedKind(list_key="nifti", file_type="NIFTI"),
        MediaKind.IMAGE_GROUP: TypedKind(
            list_key="imageGroups", file_type="IMG_GROUP", members_key="images", create_video=False
        ),
        MediaKind.IMAGE_SEQUENCE: TypedKind(
            list_key="imageGroups", file_type="IMG_GROUP", members_key="images", create_video=True
        ),
        MediaKind.DICOM_SERIES: TypedKind(list_key="dicomSeries", file_type="DICOM", members_key="dicomFiles"),
    }
)
"""Every kind."""

TYPED_LISTS: Final = (
    *("videos", "imageGroups", "dicomSeries", "images", "imageGroupsFromItems", "audio", "timeSeries", "nifti", "text"),
    *("pdf", "scenes"),
)
"""All lists, in the order in which the SDK sends them: also the empty ones."""

MEMBER_URL: Final = "url"
FILE_TYPE: Final = "externalFileType"
TYPED_SKIP_DUPLICATE_URLS: Final = "skipDuplicateUrls"
TYPED_UPSERT_METADATA: Final = "upsertMetadata"
