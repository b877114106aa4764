"""Reads the header of a DICOM file as Encord would: which series it belongs to, and whether the required tags are there.

A reading of its own on purpose: the pipeline's headers (``facts``) are not used here, so that a mistake there is noticed.
Without pydicom (the extra ``media``) nothing but the file's signature is checked.

What does not belong here: fetching the file (``readers.py``).
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

REQUIRED = ("Rows", "Columns", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID")
"""Tags that a file must carry (Encord's page on data files)."""
_PIXELS = 0x7FE0_0008
"""The first tag of the group that holds pixels, in all its forms."""


class HeaderRefusedError(Exception):
    """The file is not DICOM, lacks a required tag or belongs to another series; the text is the unit error."""


def series_of(head: bytes, *, whole: bool) -> str | None:
    """The SeriesInstanceUID of a file; None: it can't be told from what was read.

    Args:
        head: the beginning of the file.
        whole: whether that is all of it.

    Raises:
        HeaderRefusedError: the header can't be read, or lacks a tag.
    """
    header = _header(head)
    if header is None:
        return None
    dataset, is_complete = header
    if dataset is None:
        if whole:
            raise HeaderRefusedError("Invalid DICOM: the header can't be read")
        return None
    missing = [name for name in REQUIRED if not _has(dataset, name)]
    if missing and (whole or is_complete):
        raise HeaderRefusedError(f"Invalid DICOM: {', '.join(missing)} missing")
    return None if missing else str(dataset.SeriesInstanceUID)


def same_series(earlier: str | None, own: str | None) -> str | None:
    """The series of a unit after one more file.

    Raises:
        HeaderRefusedError: it belongs to another series than those before it.
    """
    if earlier is not None and own is not None and earlier != own:
        raise HeaderRefusedError(f"Invalid DICOM series: the file belongs to series {own}, the first one to {earlier}")
    return earlier or own


def _header(head: bytes) -> tuple[Any, bool] | None:
    """The tags before the pixels (None: unreadable), and whether the pixels were reached; None: nothing to read with."""
    try:
        from pydicom.filereader import read_partial
    except ImportError:
        return None
    reached = False

    def at_pixels(tag: Any, _vr: object, _length: object) -> bool:
        nonlocal reached
        reached = reached or int(tag) >= _PIXELS
        return reached

    try:
        return read_partial(BytesIO(head), stop_when=at_pixels), reached
    except Exception:  # noqa: BLE001 - a broken file may break the library in any way
        return None, reached


def _has(dataset: Any, name: str) -> bool:
    """Whether the tag is there; one that identifies something must have a value, too."""
    try:
        return name in dataset and (not name.endswith("UID") or str(getattr(dataset, name)).strip() != "")
    except Exception:  # noqa: BLE001 - values are decoded when they are asked for
        return False
