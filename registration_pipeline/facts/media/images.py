"""Width, height and MIME type of images: Pillow's readers of headers, and our own where these would read the whole file.

What does not belong here: where the bytes come from (``probed_file.py``), WebP (``webp.py``), AVIF (``avif.py``), and formats
that Encord's page does not name (``pictures.py``).

No pixel is decoded. Width and height are those of the picture as it is shown: an image that its header says to turn by a
quarter has them swapped. Browsers turn images so (CSS Images 3: ``image-orientation: from-image`` is the initial value), and
the editor of Encord is a page in a browser, so these are the sides that labels are drawn on. See decision 040.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, cast

from registration_pipeline.errors import RegistrationPipelineError
from registration_pipeline.facts.media.avif import avif, is_avif
from registration_pipeline.facts.media.exif import QUARTERS, is_turned
from registration_pipeline.facts.media.picture import Picture
from registration_pipeline.facts.media.trouble import CUT, NotUnderstoodError
from registration_pipeline.facts.media.webp import webp

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from registration_pipeline.facts.media.probed_file import ProbedFile

_WIDTH, _HEIGHT, _ORIENTATION = 256, 257, 274
_BIG_TIFF: Final = 43


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
    from PIL.JpegImagePlugin import JpegImageFile

    return _opened(file, JpegImageFile, "image/jpeg")


def _png(file: ProbedFile) -> Picture:
    from PIL.PngImagePlugin import PngImageFile

    return _opened(file, PngImageFile, "image/png")


def _bmp(file: ProbedFile) -> Picture:
    from PIL.BmpImagePlugin import BmpImageFile

    return _opened(file, BmpImageFile, "image/bmp")


def _opened(file: ProbedFile, reader: type[Any], mime_type: str) -> Picture:
    """Return what a reader of Pillow's finds before the pixels.

    Not ``Image.open``: it refuses pictures of many pixels, which only matter to those who decode them.
    """
    file.seek(0)
    try:
        image = reader(cast("BinaryIO", file))
    except Exception as error:  # noqa: BLE001 - Pillow raises about anything for malformed bytes
        raise _reason(file, error) from None
    width, height = image.size
    exif = image.info.get("exif")
    return Picture(mime_type, width, height, bool(exif) and is_turned(exif))


def _tiff(file: ProbedFile) -> Picture:
    """Return what the first directory says; what kind of pixels it describes makes no difference."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    header = file.read_at(0, 16)
    try:
        tags = ImageFileDirectory_v2(header if _BIG_TIFF in header[2:4] else header[:8])
        file.seek(tags.next)
        tags.load(cast("BinaryIO", file))
        width, height, turned = tags.get(_WIDTH), tags.get(_HEIGHT), tags.get(_ORIENTATION) in QUARTERS
    except Exception as error:  # noqa: BLE001 - Pillow raises about anything for malformed bytes
        raise _reason(file, error) from None
    if not isinstance(width, int) or not isinstance(height, int):
        raise NotUnderstoodError("begins like a TIFF file, but its first directory is damaged")
    return Picture("image/tiff", width, height, turned)


def _reason(file: ProbedFile, error: Exception) -> Exception:
    """Return what to raise for an error of Pillow's, which raises about anything for malformed bytes."""
    if file.trouble is not None:
        return file.trouble
    if isinstance(error, (MemoryError, RegistrationPipelineError)):
        return error
    if isinstance(error, (EOFError, IndexError, struct.error)) or "truncated" in str(error).lower():
        return NotUnderstoodError(CUT)
    return NotUnderstoodError("has a header that can't be read: it is damaged, or of a form that Pillow does not know")


_FORMATS: Final[tuple[tuple[Callable[[bytes], bool], Callable[[ProbedFile], Picture]], ...]] = (
    (lambda start: start.startswith(b"\xff\xd8\xff"), _jpeg),
    (lambda start: start.startswith(b"\x89PNG\r\n\x1a\n"), _png),
    (lambda start: start.startswith(b"RIFF") and start[8:12] == b"WEBP", webp),
    (is_avif, avif),
    (lambda start: start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")), _tiff),
    (lambda start: start.startswith(b"BM"), _bmp),
)
