"""Sample images, written with Pillow and FFmpeg.

What does not belong here: what is expected of them.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from registration_pipeline.objects import MediaKind
from registration_pipeline_tests.media_samples.sample import Sample, ffmpeg

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_ORIENTATION: Final = 0x0112


def picture(mode: str = "RGB", size: tuple[int, int] = (123, 77)) -> Image.Image:
    """Return a picture with something in it."""
    gradient = Image.linear_gradient("L").resize(size)
    return gradient.convert(mode) if mode not in ("I;16", "CMYK") else gradient.convert("RGB").convert("CMYK")


def exif(orientation: int) -> bytes:
    """Return EXIF that says how the picture is to be turned."""
    values = Image.Exif()
    values[_ORIENTATION] = orientation
    values[0x010F] = "Maker of cameras"
    return values.tobytes()


def _saved(name: str, image: Callable[[], Image.Image] = picture, *, is_odd: bool = False, **options: Any) -> Sample:
    return Sample(name, MediaKind.IMAGE, lambda path: image().save(path, **options), is_odd)


def _written(name: str, content: Callable[[], bytes], *, is_odd: bool = False) -> Sample:
    return Sample(name, MediaKind.IMAGE, lambda path: path.write_bytes(content()), is_odd)


def _png_16_bits() -> bytes:
    rows = b"".join(b"\0" + bytes(range(100)) * 2 for _ in range(50))
    header = struct.pack(">IIBBBBB", 100, 50, 16, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _long_exif() -> bytes:
    """Return a JPEG with a large thumbnail and a colour profile before its sides, as telephones write them."""
    content = io.BytesIO()
    picture(size=(640, 480)).save(content, "JPEG", exif=exif(6), icc_profile=bytes(60_000))
    whole = content.getvalue()
    segment = b"\xff\xe2" + struct.pack(">H", 65_000) + bytes(64_998)
    return whole[:2] + segment * 3 + whole[2:]


def _frames() -> list[Image.Image]:
    return [picture(size=(64, 48)).rotate(turn) for turn in (0, 90, 180)]


def _animated(path: Path) -> None:
    first, *others = _frames()
    first.save(path, save_all=True, append_images=others, duration=40)


def _pages(path: Path) -> None:
    first, *others = _frames()
    first.save(path, save_all=True, append_images=[*others, picture(size=(300, 200))])


def _large() -> Image.Image:
    """Return a picture of more pixels than Pillow opens without a warning; it is all black, and so its file is small."""
    return Image.new("1", (15_000, 12_500))


SAMPLES: Final = (
    _saved("plain.jpg", quality=90),
    _saved("grey.jpeg", lambda: picture("L")),
    _saved("progressive.jpg", is_odd=True, progressive=True),
    *(_saved(f"exif-{number}.jpg", is_odd=number > 4, exif=exif(number)) for number in (1, 3, 6, 8)),
    _saved("cmyk.jpg", lambda: picture("CMYK"), is_odd=True),
    _written("long-header.jpg", _long_exif, is_odd=True),
    _saved("plain.png"),
    _saved("palette.png", lambda: picture("P")),
    _written("16-bits.png", _png_16_bits, is_odd=True),
    _saved("exif.png", is_odd=True, exif=exif(6)),
    _saved("large.png", _large, is_odd=True),
    Sample("animated.png", MediaKind.IMAGE, _animated),
    _saved("lossy.webp"),
    _saved("lossless.webp", lossless=True),
    _saved("alpha.webp", lambda: picture("RGBA")),
    Sample("animated.webp", MediaKind.IMAGE, _animated, is_odd=True),
    _saved("exif.webp", is_odd=True, exif=exif(8)),
    _saved("plain.avif", is_odd=True),
    _saved("turned.avif", is_odd=True, exif=exif(6)),
    _saved("plain.bmp"),
    _saved("one-bit.bmp", lambda: picture("1")),
    _saved("plain.tif"),
    _saved("packed.tiff", compression="tiff_lzw"),
    _saved("exif.tiff", is_odd=True, exif=exif(6)),
    _saved("big.tif", is_odd=True, big_tiff=True),
    Sample("pages.tiff", MediaKind.IMAGE, _pages, is_odd=True),
    _saved("unlisted.gif"),
    Sample(
        "grid.avif",
        MediaKind.IMAGE,
        ffmpeg(
            "-f",
            "lavfi",
            "-i",
            "testsrc=s=320x240",
            "-frames:v",
            "1",
            "-c:v",
            "libaom-av1",
            "-still-picture",
            "1",
            "-cpu-used",
            "8",
        ),
    ),
)
