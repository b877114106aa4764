"""A chunk as rows of the CSV file that Encord's upload dialog reads.

The form says less than JSON: titles and URLs, no metadata, and only the kinds that Encord's page has headings for. What does
not belong here: writing files (``cli/export.py``) and the JSON form (``render.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registration_pipeline.objects import KINDS, MediaKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.planning.units import ChunkUnits

MOST_ENTRIES: Final = 10_000
"""Rows of one file below its headings, by Encord's page on uploading with CSV."""

_URL: Final = "ObjectURL"
_TITLES: Final = {
    MediaKind.VIDEO: "Video title",
    MediaKind.IMAGE: "Image title",
    MediaKind.IMAGE_GROUP: "Image group title",
    MediaKind.IMAGE_SEQUENCE: "Image group title",
    MediaKind.DICOM_SERIES: "Dicom title",
}
CSV_KINDS: Final = frozenset(_TITLES)
"""The kinds that the page has headings for."""


def csv_rows(kind: MediaKind, units: ChunkUnits) -> Iterator[tuple[str, ...]]:
    """Yield the headings of a chunk's kind and a row for each object; those of a unit have its title.

    Args:
        kind: of all units; one of ``CSV_KINDS``.
        units: of the chunk.
    """
    makes_group = KINDS[kind].is_group and kind is not MediaKind.DICOM_SERIES
    # Where the column is left out Encord makes a video of the images.
    flag = (str(kind is MediaKind.IMAGE_SEQUENCE).lower(),) if makes_group else ()
    yield (_URL, _TITLES[kind], *(("Create video",) if makes_group else ()))
    for unit in units:
        for entry in unit.objects:
            yield (entry.object_url, unit.title, *flag)
