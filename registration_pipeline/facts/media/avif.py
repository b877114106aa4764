"""Sides and rotation of AVIF images, from their boxes: Pillow opens one only with the whole file in memory.

What does not belong here: boxes themselves (``boxes.py``) and all other formats. The boxes are those of ISO/IEC 23008-12.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from registration_pipeline.facts.media.boxes import Box, boxes, full_box, integer
from registration_pipeline.facts.media.picture import Picture
from registration_pipeline.facts.media.trouble import NotUnderstoodError

if TYPE_CHECKING:
    from registration_pipeline.facts.media.probed_file import ProbedFile

_BRANDS: Final = (b"avif", b"avis")
_MOST_ITEMS: Final = 4_096


def avif(file: ProbedFile) -> Picture:
    """Return what the boxes of an AVIF image say.

    Raises:
        NotUnderstoodError: they do not say which picture it holds, or do not describe it.
    """
    meta = next((box for box in boxes(file, 0, file.size, most=16) if box.name == b"meta"), None)
    parts = {} if meta is None else {box.name: box for box in boxes(file, meta.begin + 4, meta.end)}
    if b"pitm" not in parts or b"iprp" not in parts:
        raise NotUnderstoodError("begins like an AVIF file, but does not say which picture it holds")
    version, _, content = full_box(file, parts[b"pitm"])
    primary = integer(content[: 4 if version else 2])
    container = {box.name: box for box in boxes(file, parts[b"iprp"].begin, parts[b"iprp"].end)}
    if not {b"ipco", b"ipma"} <= container.keys():
        raise NotUnderstoodError("begins like an AVIF file, but does not describe its picture")
    properties = list(boxes(file, container[b"ipco"].begin, container[b"ipco"].end))
    width = height = turns = 0
    for number in _associations(file, container[b"ipma"], primary):
        box = properties[number - 1] if 0 < number <= len(properties) else None
        if box is not None and box.name == b"ispe":
            width, height = struct.unpack(">II", file.read_at(box.begin + 4, 8))
        elif box is not None and box.name == b"irot":
            turns = file.read_at(box.begin, 1)[0] & 3
    return Picture("image/avif", width, height, bool(turns & 1))


def _associations(file: ProbedFile, box: Box, item: int) -> list[int]:
    """Return the numbers of the properties of an item, from 1."""
    version, flags, content = full_box(file, box)
    wide, place = flags & 1, 4
    for _ in range(min(integer(content[:4]), _MOST_ITEMS)):
        id_bytes = 4 if version else 2
        found, place = integer(content[place : place + id_bytes]), place + id_bytes
        count, place = content[place], place + 1
        step = 2 if wide else 1
        if found == item:
            numbers = [integer(content[at : at + step]) for at in range(place, place + count * step, step)]
            return [number & (0x7FFF if wide else 0x7F) for number in numbers]
        place += count * step
    return []


def is_avif(start: bytes) -> bool:
    """Return whether a file that begins so is an AVIF image."""
    return start[4:8] == b"ftyp" and any(start[at : at + 4] in _BRANDS for at in (8, 16, 20, 24, 28))
