"""The key table of Encord's JSON upload format: what may stand where, and how much of it.

What does not belong here: writing it (``render.py``) and checking it (``validate.py``). A key that Encord renames is
renamed here and nowhere else. The names are those that the examples of Encord's registration pages print; where an
example and a field list differ (PDF and text metadata), the example is followed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from registration_pipeline.objects import MediaKind

if TYPE_CHECKING:
    from collections.abc import Mapping


class JsonType(StrEnum):
    """The JSON type that a key holds; the value is the word used in messages."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    OBJECT = "object"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFormat:
    """One top-level list of the upload format.

    Args:
        keys: the keys that an item may have, without the URLs.
        is_group: True if the item names its objects as ``objectUrl_0``, ``objectUrl_1``…; False for one ``objectUrl``.
        media_metadata_key: the block that tells Encord what it need not find out itself, if there is one.
        media_metadata: the fields of that block.
    """

    keys: Mapping[str, JsonType]
    is_group: bool = False
    media_metadata_key: str | None = None
    media_metadata: Mapping[str, JsonType] = field(default_factory=dict)


OBJECT_URL: Final = "objectUrl"
GROUP_URL_PREFIX: Final = "objectUrl_"
TITLE: Final = "title"
CLIENT_METADATA: Final = "clientMetadata"
CREATE_VIDEO: Final = "createVideo"
SKIP_DUPLICATE_URLS: Final = "skip_duplicate_urls"
UPSERT_METADATA: Final = "upsert_metadata"

CHUNK_METADATA_KEY: Final = "registration.chunk"
UNIT_METADATA_KEY: Final = "registration.unit"

_TITLED: Final = {TITLE: JsonType.STRING}
_DESCRIBED: Final = {**_TITLED, CLIENT_METADATA: JsonType.OBJECT}
_GROUPED: Final = {**_DESCRIBED, CREATE_VIDEO: JsonType.BOOLEAN}

ITEM_FORMATS: Final[Mapping[str, ItemFormat]] = MappingProxyType(
    {
        MediaKind.IMAGE.value: ItemFormat(
            keys=_GROUPED,
            media_metadata_key="imageMetadata",
            media_metadata={
                "mimeType": JsonType.STRING,
                "fileSize": JsonType.NUMBER,
                "width": JsonType.NUMBER,
                "height": JsonType.NUMBER,
            },
        ),
        MediaKind.VIDEO.value: ItemFormat(
            keys=_GROUPED,
            media_metadata_key="videoMetadata",
            media_metadata={
                "fps": JsonType.NUMBER,
                "duration": JsonType.NUMBER,
                "width": JsonType.NUMBER,
                "height": JsonType.NUMBER,
                "file_size": JsonType.NUMBER,
                "mime_type": JsonType.STRING,
            },
        ),
        MediaKind.AUDIO.value: ItemFormat(
            keys=_DESCRIBED,
            media_metadata_key="audioMetadata",
            media_metadata={
                "duration_seconds": JsonType.NUMBER,
                "file_size": JsonType.NUMBER,
                "mime_type": JsonType.STRING,
                "sample_rate": JsonType.NUMBER,
                "bit_depth": JsonType.NUMBER,
                "codec": JsonType.STRING,
                "num_channels": JsonType.NUMBER,
            },
        ),
        MediaKind.PDF.value: ItemFormat(
            keys=_DESCRIBED,
            media_metadata_key="pdfMetadata",
            media_metadata={"fileSize": JsonType.NUMBER, "numPages": JsonType.NUMBER},
        ),
        MediaKind.TEXT.value: ItemFormat(
            keys=_DESCRIBED,
            media_metadata_key="textMetadata",
            media_metadata={"fileSize": JsonType.NUMBER, "mime_type": JsonType.STRING},
        ),
        # The page on NIfTI prints no clientMetadata for the JSON form.
        MediaKind.NIFTI.value: ItemFormat(keys=_TITLED),
        "image_groups": ItemFormat(keys=_GROUPED, is_group=True),
        "dicom_series": ItemFormat(keys=_GROUPED, is_group=True),
    }
)
"""Top-level key -> what its items look like."""

FLAGS: Final = (SKIP_DUPLICATE_URLS, UPSERT_METADATA)
"""Top-level booleans. The first makes sending a manifest again harmless; the second needs the first."""

MAX_ITEMS: Final = 10_000
"""Entries per JSON file: Encord's best-practices page, Enterprise plan (2,500 on Team, 1,000 on Free)."""

MAX_MANIFEST_BYTES: Final = 100_000_000
"""100 MB per JSON file: the same page. Taken as decimal, the smaller reading, since it is ours to stay below."""

MAX_CLIENT_METADATA_BYTES: Final = 10_000_000
"""10 MB per item: Encord's page on client metadata; decimal for the same reason."""
