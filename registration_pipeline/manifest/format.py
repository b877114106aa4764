"""The key table of Encord's JSON upload format: what may be where.

What does not belong here: writing it (``render.py``), checking it (``validate.py``) and how much of it there may be
(``limits.py``). A key that Encord renames is
renamed here and nowhere else. The names are those that the examples of Encord's registration pages print; where an
example and a field list differ (PDF and text metadata), the example is followed. Types are those of the SDK's typed form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from registration_pipeline.limits import MAX_SEQUENCE_IMAGES
from registration_pipeline.objects import KINDS, MediaKind

if TYPE_CHECKING:
    from collections.abc import Mapping


class JsonType(StrEnum):
    """The JSON type that a key holds; the value is the word used in messages."""

    STRING = "string"
    NUMBER = "number"
    INTEGER = "whole number"
    BOOLEAN = "boolean"
    OBJECT = "object"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFormat:
    """One top-level list of the upload format.

    Args:
        keys: the keys that an item may have, without the URLs.
        is_group: True if the item names its objects as ``objectUrl_0``, ``objectUrl_1``…; False for one ``objectUrl``.
        media_metadata_key: the block with what Encord then need not find out itself, if there is one.
        media_metadata: the fields of that block.
        max_sequence_urls: the most URLs of an item that becomes a sequence, which it does unless ``createVideo`` is false.
    """

    keys: Mapping[str, JsonType]
    is_group: bool = False
    media_metadata_key: str | None = None
    media_metadata: Mapping[str, JsonType] = field(default_factory=dict)
    max_sequence_urls: int | None = None


TIFF_URL: Final = re.compile(r"\.tiff?(?:[?#].*)?\Z", re.IGNORECASE | re.DOTALL)
"""Recognises the URL of a TIFF, which can be in an image group and not in a sequence: Encord's page on supported data."""

OBJECT_URL: Final = "objectUrl"
GROUP_URL_PREFIX: Final = "objectUrl_"
TITLE: Final = "title"
CLIENT_METADATA: Final = "clientMetadata"
CREATE_VIDEO: Final = "createVideo"
SKIP_DUPLICATE_URLS: Final = "skip_duplicate_urls"
UPSERT_METADATA: Final = "upsert_metadata"

CHUNK_METADATA_KEY: Final = "registration.chunk"
UNIT_METADATA_KEY: Final = "registration.unit"
OBJECTS_METADATA_KEY: Final = "registration.objects"
"""Of kinds of several objects only: a digest of the URLs of which a listing of the folder shows none."""

_TITLED: Final = {TITLE: JsonType.STRING}
_DESCRIBED: Final = {**_TITLED, CLIENT_METADATA: JsonType.OBJECT}
_GROUPED: Final = {**_DESCRIBED, CREATE_VIDEO: JsonType.BOOLEAN}

ITEM_FORMATS: Final[Mapping[str, ItemFormat]] = MappingProxyType(
    {
        KINDS[MediaKind.IMAGE].list_key: ItemFormat(
            keys=_GROUPED,
            media_metadata_key="imageMetadata",
            media_metadata={
                "mimeType": JsonType.STRING,
                "fileSize": JsonType.INTEGER,
                "width": JsonType.INTEGER,
                "height": JsonType.INTEGER,
            },
        ),
        KINDS[MediaKind.VIDEO].list_key: ItemFormat(
            keys=_GROUPED,
            media_metadata_key="videoMetadata",
            media_metadata={
                "fps": JsonType.NUMBER,
                "duration": JsonType.NUMBER,
                "width": JsonType.INTEGER,
                "height": JsonType.INTEGER,
                "file_size": JsonType.INTEGER,
                "mime_type": JsonType.STRING,
            },
        ),
        KINDS[MediaKind.AUDIO].list_key: ItemFormat(
            keys=_DESCRIBED,
            media_metadata_key="audioMetadata",
            media_metadata={
                "duration_seconds": JsonType.NUMBER,
                "file_size": JsonType.INTEGER,
                "mime_type": JsonType.STRING,
                "sample_rate": JsonType.INTEGER,
                "bit_depth": JsonType.INTEGER,
                "codec": JsonType.STRING,
                "num_channels": JsonType.INTEGER,
            },
        ),
        KINDS[MediaKind.PDF].list_key: ItemFormat(
            keys=_DESCRIBED,
            media_metadata_key="pdfMetadata",
            media_metadata={"fileSize": JsonType.INTEGER, "numPages": JsonType.INTEGER},
        ),
        KINDS[MediaKind.TEXT].list_key: ItemFormat(
            keys=_DESCRIBED,
            media_metadata_key="textMetadata",
            media_metadata={"fileSize": JsonType.INTEGER, "mime_type": JsonType.STRING},
        ),
        # Its page prints no clientMetadata for the JSON form.
        KINDS[MediaKind.NIFTI].list_key: ItemFormat(keys=_TITLED),
        # Image sequences go to the same list.
        KINDS[MediaKind.IMAGE_GROUP].list_key: ItemFormat(
            keys=_GROUPED, is_group=True, max_sequence_urls=MAX_SEQUENCE_IMAGES
        ),
        KINDS[MediaKind.DICOM_SERIES].list_key: ItemFormat(keys=_GROUPED, is_group=True),
    }
)
"""Top-level key -> the form of its items."""

FLAGS: Final = (SKIP_DUPLICATE_URLS, UPSERT_METADATA)
"""Top-level booleans. The first makes sending a manifest again harmless; the second needs the first."""
