"""Width, height and MIME type of images, from the headers of the formats that Encord takes.

What does not belong here: where the bytes come from (``probed_file.py``), AVIF's boxes (``boxes.py``) and other formats, which
are left to Pillow (``pictures.py``).

No pixel is decoded. Width and height are those of the picture as it is shown: an image that its header says to turn by a
quarter has them swapped. Browsers turn images so (CSS Images 3: ``image-orientation: from-image`` is the initial value), and
the editor of Encord is a page in a browser, so these are the sides that labels are drawn on. See decision 040.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from registration_pipeline.facts.media.boxes import Box, boxes, full_box, integer
from registration_pipeline.facts.media.trouble import CUT, NotUnderstoodError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registration_pipeline.facts.media.probed_file import ProbedFile

_QUARTERS: Final = range(5, 9)
"""EXIF orientations that turn the picture by a quarter: 5 to 8."""

_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a frame, whatever its coding; DHT, JPG and DAC lie between them."""

_JPEG_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length."""

_MOST_SEGMENTS: Final = 10_000
_MOST_TAGS: Final = 4_096

_AVIF_BRANDS: Final = (b"avif", b"avis")
_WIDTH, _HEIGHT, _ORIENTATION = 256, 257, 274


class Picture(NamedTuple):
    """An image as its header describes it.

    Args:
        mime_type: of its format.
        width: of the stored picture, in pixels.
        height: of the stored picture.
        is_turned: whether it is shown turned by a quarter.
    """

    mime_type: str
    width: int
    height: int
    is_turned: bool = False

    def block(self, size: int) -> dict[str, Any]:
        """Return the block of media metadata, with the sides as they are shown.

        Raises:
            NotUnderstoodError: a side has no length.
        """
        if self.width < 1 or self.height < 1:
            raise NotUnderstoodError("has a header that gives it no width or height")
        sides = (self.height, self.width) if self.is_turned else (self.width, self.height)
        return {"mime_type": self.mime_type, "file_size": size, "width": sides[0], "height": sides[1]}


def picture(file: ProbedFile) -> Picture | None:
    """Return what the header of an image says; None: it is not in a format that is known here.

    Raises:
        NotUnderstoodError: the header is damaged or cut.
        ObjectReadError, HaltError: what fetching raises.
    """
    start = file.read_at(0, 32)
    for matches, parse in _FORMATS:
        if matches(start):
            try:
                return parse(file)
            except (struct.error, IndexError, EOFError):
                raise NotUnderstoodError(CUT) from None
    return None


def _jpeg(file: ProbedFile) -> Picture:
    turned = None
    for marker, place, length in _segments(file):
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", file.read_at(place + 1, 4))
            return Picture("image/jpeg", width, height, bool(turned))
        if marker == 0xE1 and turned is None and file.read_at(place, 6) == b"Exif\0\0":  # noqa: PLR2004 - APP1
            turned = _is_turned(file.read_at(place + 6, length - 6))
    raise NotUnderstoodError("is a JPEG without a picture in it")


def _segments(file: ProbedFile) -> Iterator[tuple[int, int, int]]:
    """Yield marker, place and length of the content of each segment, until the coded picture begins."""
    place = 2
    for _ in range(_MOST_SEGMENTS):
        while (byte := file.read_at(place, 1)) not in (b"\xff", b""):
            place += 1  # rubbish between segments: decoders skip it too
            if place > file.size:
                break
        while (byte := file.read_at(place, 1)) == b"\xff":
            place += 1
        if not byte:
            raise NotUnderstoodError(CUT)
        marker, place = byte[0], place + 1
        if marker in _JPEG_ALONE or not marker:
            continue
        if marker in (0xD9, 0xDA):
            return
        (length,) = struct.unpack(">H", file.read_at(place, 2))
        yield marker, place + 2, max(length - 2, 0)
        place += max(length, 2)
    raise NotUnderstoodError("is a JPEG with too many segments before its picture")


def _png(file: ProbedFile) -> Picture:
    length, name, width, height = struct.unpack(">I4sII", file.read_at(8, 16))
    if name != b"IHDR":
        raise NotUnderstoodError("begins like a PNG file, but its header is damaged")
    place, turned = 8, False
    for _ in range(_MOST_SEGMENTS):
        place += length + 12
        if place + 8 > file.size:
            break
        length, name = struct.unpack(">I4s", file.read_at(place, 8))
        if name == b"eXIf":
            turned = _is_turned(file.read_at(place + 8, min(length, 64 << 10)))
        if name in (b"eXIf", b"IDAT", b"IEND"):
            break
    return Picture("image/png", width, height, turned)


def _webp(file: ProbedFile) -> Picture:
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
            return _is_turned(exif.removeprefix(b"Exif\0\0"))
        place += 8 + length + (length & 1)
    return False


def _bmp(file: ProbedFile) -> Picture:
    header = file.read_at(0, 26)
    (length,) = struct.unpack("<I", header[14:18])
    width, height = struct.unpack("<HH", header[18:22]) if length == 12 else struct.unpack("<ii", header[18:26])  # noqa: PLR2004
    return Picture("image/bmp", width, abs(height))  # a negative height says that rows go down


def _tiff(file: ProbedFile) -> Picture:
    tags = _tags(file.read_at)
    if tags is None or not {_WIDTH, _HEIGHT} <= tags.keys():
        raise NotUnderstoodError("begins like a TIFF file, but its first directory is damaged")
    return Picture("image/tiff", tags[_WIDTH], tags[_HEIGHT], tags.get(_ORIENTATION) in _QUARTERS)


def _is_turned(exif: bytes) -> bool:
    """Return whether EXIF says so; damaged EXIF says nothing, as in browsers."""
    try:
        tags = _tags(lambda start, length: exif[start : start + length])
    except (struct.error, IndexError):
        return False
    return tags is not None and tags.get(_ORIENTATION) in _QUARTERS


def _tags(read_at: Callable[[int, int], bytes]) -> dict[int, int] | None:
    """Return width, height and orientation of the first directory of TIFF, BigTIFF or EXIF; None: there is none."""
    order = {b"II": "<", b"MM": ">"}.get(read_at(0, 2))
    if order is None:
        return None
    kind = struct.unpack(order + "H", read_at(2, 2))[0]
    is_big = kind == 43  # noqa: PLR2004 - BigTIFF's number, as 42 is TIFF's
    where, count_form, entry = ((8, "Q"), "Q", 20) if is_big else ((4, "I"), "H", 12)
    (place,) = struct.unpack(order + where[1], read_at(where[0], struct.calcsize(where[1])))
    begin = struct.calcsize("<" + count_form)
    (count,) = struct.unpack(order + count_form, read_at(place, begin))
    found: dict[int, int] = {}
    entries = read_at(place + begin, min(count, _MOST_TAGS) * entry)
    for at in range(0, len(entries) - entry + 1, entry):
        tag, form = struct.unpack_from(order + "HH", entries, at)
        if tag in (_WIDTH, _HEIGHT, _ORIENTATION) and form in _FORMS:
            value = at + entry - (8 if is_big else 4)
            found.setdefault(tag, struct.unpack_from(order + _FORMS[form], entries, value)[0])
    return found


_FORMS: Final = {1: "B", 3: "H", 4: "I"}
"""TIFF's BYTE, SHORT and LONG; nothing else is a width or an orientation."""


def _avif(file: ProbedFile) -> Picture:
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
    for _ in range(min(integer(content[:4]), _MOST_TAGS)):
        id_bytes = 4 if version else 2
        found, place = integer(content[place : place + id_bytes]), place + id_bytes
        count, place = content[place], place + 1
        step = 2 if wide else 1
        if found == item:
            numbers = [integer(content[at : at + step]) for at in range(place, place + count * step, step)]
            return [number & (0x7FFF if wide else 0x7F) for number in numbers]
        place += count * step
    return []


def _is_avif(start: bytes) -> bool:
    return start[4:8] == b"ftyp" and any(start[at : at + 4] in _AVIF_BRANDS for at in (8, 16, 20, 24, 28))


_FORMATS: Final[tuple[tuple[Callable[[bytes], bool], Callable[[ProbedFile], Picture]], ...]] = (
    (lambda start: start.startswith(b"\xff\xd8\xff"), _jpeg),
    (lambda start: start.startswith(b"\x89PNG\r\n\x1a\n"), _png),
    (lambda start: start.startswith(b"RIFF") and start[8:12] == b"WEBP", _webp),
    (_is_avif, _avif),
    (lambda start: start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")), _tiff),
    (lambda start: start.startswith(b"BM"), _bmp),
)
