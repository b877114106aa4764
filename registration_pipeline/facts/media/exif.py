"""Whether EXIF data turns a picture by a quarter. Finding them in a file does not belong here."""

from __future__ import annotations

from typing import Final

QUARTERS: Final = range(5, 9)
"""EXIF orientations that turn the picture by a quarter: 5 to 8."""

_ORIENTATION: Final = 274


def is_turned(exif: bytes) -> bool:
    """Return whether EXIF says so; damaged EXIF says nothing, as in browsers.

    Args:
        exif: a TIFF directory, with or without ``Exif`` before it.
    """
    from PIL import Image

    found = Image.Exif()
    try:
        found.load(exif)
        return found.get(_ORIENTATION) in QUARTERS
    except Exception as error:
        # Pillow raises about anything for malformed bytes.
        if isinstance(error, MemoryError):
            raise
        return False
