"""Media metadata for tests: drawn texts in neutral names, as facts keep them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from registration_pipeline.manifest.typed import DICOM_TAGS
from registration_pipeline.objects import MediaKind

if TYPE_CHECKING:
    from collections.abc import Mapping

_SIZES: Final = st.integers(1, 2**63 - 1)
_SMALL: Final = st.integers(1, 100_000)
_LENGTHS: Final = st.one_of(
    st.floats(0, 1e9, allow_subnormal=False), st.integers(0, 10_000), st.sampled_from([25, 29.97, 30000 / 1001, 1e-05])
)
_NAMES: Final = st.one_of(
    st.sampled_from(["image/jpeg", "video/mp4", "text/plain", "pcm_s16le"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20),
)
_IMAGES: Final = {"mime_type": _NAMES, "file_size": _SIZES, "width": _SMALL, "height": _SMALL}
_TAG: Final = st.one_of(st.none(), st.fixed_dictionaries({"vr": st.just("UI"), "Value": st.lists(_NAMES, max_size=2)}))
_TAGS: Final = st.lists(_TAG, min_size=len(DICOM_TAGS), max_size=len(DICOM_TAGS)).map(
    lambda values: dict(zip(DICOM_TAGS, values, strict=True))
)

FIELDS: Final[Mapping[MediaKind, Mapping[str, st.SearchStrategy[Any]]]] = {
    MediaKind.IMAGE: _IMAGES,
    MediaKind.IMAGE_GROUP: _IMAGES,
    MediaKind.IMAGE_SEQUENCE: _IMAGES,
    MediaKind.VIDEO: {**_IMAGES, "fps": _LENGTHS, "duration": _LENGTHS},
    MediaKind.AUDIO: {
        "duration": _LENGTHS,
        "file_size": _SIZES,
        "mime_type": _NAMES,
        "codec": _NAMES,
        "sample_rate": _SMALL,
        "bit_depth": _SMALL,
        "num_channels": _SMALL,
    },
    MediaKind.PDF: {"file_size": _SIZES, "num_pages": _SMALL},
    MediaKind.TEXT: {"file_size": _SIZES, "mime_type": _NAMES},
    MediaKind.DICOM_SERIES: {"tags": _TAGS},
}
"""Kind -> the values of the fields that its objects have; NIfTI has none."""


def canonical(value: Any) -> str:
    """Return canonical JSON text, as facts hold it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def media_texts(kind: MediaKind) -> st.SearchStrategy[str | None]:
    """Return a strategy of what the plan may hold of one object of a kind."""
    if kind not in FIELDS:
        return st.none()
    return st.one_of(st.none(), st.fixed_dictionaries(dict(FIELDS[kind])).map(canonical))
