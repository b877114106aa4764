"""Sides and orientation of WebP images, from their first chunks: Pillow opens one only with the whole file in memory.

What does not belong here: all other formats (``images.py``, ``avif.py``). The chunks are those of RFC 9649.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from registration_pipeline.facts.media.exif import is_turned
from registration_pipeline.facts.media.picture import Picture
from registration_pipeline.facts.media.trouble import NotUnderstoodError

if TYPE_CHECKING:
    from registration_pipeline.facts.media.probed_file import ProbedFile


def webp(file: ProbedFile) -> Picture:
    """Return what the header of a WebP image says.

    Raises:
        NotUnderstoodError: the header is damaged.
    """
    start = file.read_at(12, 18)
    name, body = start[:4], start[8:]
    if name == b"VP8 ":
        if body[3:6] != b"\x9d\x01\x2a":
            raise NotUnderstoodError("begins like a WebP file, but its header is damaged")
        width, height = struct.unpack("<HH", body[6:10])
        return Picture("image/webp", width & 0x3FFF, height & 0x3FFF)
    if name == b"VP8L":
        bits = struct.unpack("<I", body[1:5])[0]
        return Picture("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if name != b"VP8X":
        raise NotUnderstoodError("begins like a WebP file, but its header is damaged")
    flags = body[0]
    width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7))
    # The frames of an animation are many chunks to jump over, and an orientation of one is unheard of.
    has_exif, is_animated = flags & 0x08, flags & 0x02
    turned = bool(has_exif) and not is_animated and _webp_is_turned(file)
    return Picture("image/webp", width, height, turned)


def _webp_is_turned(file: ProbedFile) -> bool:
    place = 12
    for _ in range(32):
        if place + 8 > file.size:
            return False
        name, length = struct.unpack("<4sI", file.read_at(place, 8))
        if name == b"EXIF":
            exif = file.read_at(place + 8, min(length, 64 << 10))
            return is_turned(exif.removeprefix(b"Exif\0\0"))
        place += 8 + length + (length & 1)
    return False
