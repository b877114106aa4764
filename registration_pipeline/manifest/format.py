"""The key table of Encord's JSON upload format: what may be where.

What does not belong here: writing it (``render.py``), checking it (``validate.py``) and how much of it there may be
(``limits.py``). A key that Encord renames is renamed here and nowhere else, but the names of media metadata, which are in
``planning/media_blocks.py``. The names are those that the examples of Encord's registration pages print. Types are those of
the SDK's typed form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from registration_pipeline.limits import MAX_SEQUENCE_IMAGES
from registration_pipeline.objects import KINDS, MediaKind
from registration_pipeline.planning.media_blocks import JsonType, media_block
from registration_pipeline.settings.metadata import SubmitAs

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["JsonType"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFormat:
    """One top-level list of the upload format.

    Args:
        kind: of its units; of groups and sequences, which share a list, the first.
        keys: the keys that an item may have, without the URLs.
        is_group: True if the item names its objects as ``objectUrl_0``, ``objectUrl_1``…; False for one ``objectUrl``.
        media_metadata_key: the block with what Encord then need not find out itself, if there is one.
        media_metadata: the fields of that block.
        max_sequence_urls: the most URLs of an item that becomes a sequence, which it does unless ``createVideo`` is false.
    """

    kind: MediaKind
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


def _with_block(kind: MediaKind, keys: Mapping[str, JsonType]) -> ItemFormat:
    block = media_block(kind)
    assert block is not None
    names = block.names(SubmitAs.JSON)
    fields = {names[neutral]: one.of for neutral, one in block.fields.items()}
    return ItemFormat(kind=kind, keys=keys, media_metadata_key=block.key, media_metadata=fields)


ITEM_FORMATS: Final[Mapping[str, ItemFormat]] = MappingProxyType(
    {
        KINDS[MediaKind.IMAGE].list_key: _with_block(MediaKind.IMAGE, _GROUPED),
        KINDS[MediaKind.VIDEO].list_key: _with_block(MediaKind.VIDEO, _GROUPED),
        KINDS[MediaKind.AUDIO].list_key: _with_block(MediaKind.AUDIO, _DESCRIBED),
        KINDS[MediaKind.PDF].list_key: _with_block(MediaKind.PDF, _DESCRIBED),
        KINDS[MediaKind.TEXT].list_key: _with_block(MediaKind.TEXT, _DESCRIBED),
        # Its page prints no clientMetadata for the JSON form.
        KINDS[MediaKind.NIFTI].list_key: ItemFormat(kind=MediaKind.NIFTI, keys=_TITLED),
        # Image sequences go to the same list.
        KINDS[MediaKind.IMAGE_GROUP].list_key: ItemFormat(
            kind=MediaKind.IMAGE_GROUP, keys=_GROUPED, is_group=True, max_sequence_urls=MAX_SEQUENCE_IMAGES
        ),
        KINDS[MediaKind.DICOM_SERIES].list_key: ItemFormat(kind=MediaKind.DICOM_SERIES, keys=_GROUPED, is_group=True),
    }
)
"""Top-level key -> the form of its items."""

FLAGS: Final = (SKIP_DUPLICATE_URLS, UPSERT_METADATA)
"""Top-level booleans. The first makes sending a manifest again harmless; the second needs the first."""
